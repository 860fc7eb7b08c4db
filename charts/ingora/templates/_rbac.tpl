{{/*
What the controller may do: each rule is one that it uses, and a test in e2e/ proves that every other verb is refused.
The flags of the binary decide which features there are.
*/}}

{{/* Objects that are watched in each namespace that is served. */}}
{{- define "ingora.rules.namespaced" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [services, secrets, configmaps]
  verbs: [list, watch]
{{- if include "ingora.has" (list . "update-status") }}
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
{{- end }}

{{/* Objects of the cluster. */}}
{{- define "ingora.rules.cluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
{{- if and .Values.controller.scope.namespaceSelector (not .Values.controller.scope.enabled) (include "ingora.has" (list . "watch-namespace-selector")) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- end }}

{{/* Objects of the controller itself, in the release's namespace. */}}
{{- define "ingora.rules.own" -}}
{{- $own := list -}}
{{- if and (include "ingora.has" (list . "election-id")) (not .Values.controller.disableLeaderElection) }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "ingora.electionID" . }}]
  verbs: [get, update, patch]
{{- end }}
{{- end }}
