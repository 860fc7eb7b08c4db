{{/*
What the controller may do: each rule is one that it uses, and a test in e2e/ proves that every other verb is refused.
The flags of the binary decide which features there are.
*/}}

{{/* Objects of the namespaces that are served. */}}
{{- define "ingora.rules.namespaced" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [list, watch]
# The metadata of all; what is in them only of those that are referred to.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
{{- if .Values.controller.healthCheck.readinessProbe }}
# The readinessProbe of some pods of each Service that asks for it.
- apiGroups: [""]
  resources: [pods]
  verbs: [get]
{{- end }}
{{- if include "ingora.has" (list . "update-status") }}
# Addresses of Ingresses, and events of what cannot be served; an event of a Service names its uid.
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- end }}

{{/* Objects of the cluster. */}}
{{- define "ingora.rules.cluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
{{- if and .Values.controller.scope.namespaceSelector (not .Values.controller.scope.enabled) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if and (include "ingora.has" (list . "update-status")) (not (include "ingora.publishService" .)) }}
# Without a Service the addresses of nodes are published.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end }}
{{- end }}

{{/* Objects of the controller itself, in the release's namespace. */}}
{{- define "ingora.rules.own" -}}
{{- if include "ingora.has" (list . "update-status") }}
# The other replicas: the last one to end takes back the addresses that were written.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list]
{{- with include "ingora.publishService" . }}
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ splitList "/" . | last }}]
  verbs: [get]
{{- end }}
{{- if not .Values.controller.disableLeaderElection }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "ingora.electionID" . }}]
  verbs: [get, update]
{{- end }}
{{- end }}
{{- end }}
