{{/* An image reference of (dict "root" $ "image" VALUES "tag" DEFAULT "path" WHERE). */}}
{{- define "ingora.image" -}}
{{- $image := .image -}}
{{- $name := default $image.image $image.repository -}}
{{- if contains "ingress-nginx/controller" $name -}}
{{- fail (printf "%s names the image of ingress-nginx (%s): remove image, repository, tag and digest from the values" .path $name) -}}
{{- end -}}
{{- $registry := default .root.Values.global.image.registry $image.registry -}}
{{- if and $registry (not $image.repository) -}}
{{- $name = printf "%s/%s" $registry $name -}}
{{- end -}}
{{- $tag := default .tag $image.tag -}}
{{ $name }}{{ with $tag }}:{{ . }}{{ end }}{{ with $image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/*
The security context of the controller's container. A process that is not root may listen below 1024 because the pod sets
net.ipv4.ip_unprivileged_port_start. Pods in the node's network cannot set that, so there it is root, but with nothing that
root can do beyond those ports.
*/}}
{{- define "ingora.containerSecurityContext" -}}
{{- $controller := .Values.controller -}}
{{- if $controller.containerSecurityContext -}}
{{ toYaml $controller.containerSecurityContext }}
{{- else -}}
{{- $image := $controller.image -}}
{{- if include "ingora.rootForPorts" . -}}
runAsNonRoot: false
runAsUser: 0
{{- else -}}
runAsNonRoot: {{ $image.runAsNonRoot }}
runAsUser: {{ $image.runAsUser }}
{{- end }}
runAsGroup: {{ $image.runAsGroup }}
allowPrivilegeEscalation: {{ $image.allowPrivilegeEscalation }}
readOnlyRootFilesystem: {{ $image.readOnlyRootFilesystem }}
capabilities:
  drop: [ALL]
  add: [NET_BIND_SERVICE]
seccompProfile:
  {{- toYaml $image.seccompProfile | nindent 2 }}
{{- end -}}
{{- end }}

{{/* "true" when a port below 1024 is wanted, else nothing. */}}
{{- define "ingora.lowPorts" -}}
{{- $low := dict -}}
{{- range $name, $port := .Values.controller.containerPort -}}
{{- if lt (int $port) 1024 -}}{{- $_ := set $low $name $port -}}{{- end -}}
{{- end -}}
{{- range $port, $_ := merge (dict) .Values.tcp .Values.udp -}}
{{- if lt (int $port) 1024 -}}{{- $_ := set $low (toString $port) $port -}}{{- end -}}
{{- end -}}
{{- if $low -}}true{{- end -}}
{{- end }}

{{- define "ingora.rootForPorts" -}}
{{- if and .Values.controller.hostNetwork (include "ingora.lowPorts" .) -}}true{{- end -}}
{{- end }}

{{- define "ingora.podSecurityContext" -}}
{{- $context := deepCopy (default (dict) .Values.controller.podSecurityContext) -}}
{{- $sysctls := default (list) $context.sysctls -}}
{{- $names := dict -}}
{{- range $sysctls }}{{- $_ := set $names .name true -}}{{- end -}}
{{- $wanted := deepCopy (default (dict) .Values.controller.sysctls) -}}
{{- if and (include "ingora.lowPorts" .) (not .Values.controller.hostNetwork) -}}
{{- $wanted = merge $wanted (dict "net.ipv4.ip_unprivileged_port_start" "0") -}}
{{- end -}}
{{- range $name := keys $wanted | sortAlpha -}}
{{- if not (hasKey $names $name) -}}
{{- $sysctls = append $sysctls (dict "name" $name "value" (toString (get $wanted $name))) -}}
{{- end -}}
{{- end -}}
{{- if $sysctls -}}{{- $_ := set $context "sysctls" $sysctls -}}{{- end -}}
{{- if $context -}}{{ toYaml $context }}{{- end -}}
{{- end }}
