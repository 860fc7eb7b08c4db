{{/*
spec of the external or the internal Service: (dict "root" $ "service" VALUES). What the internal one does not set for ports
follows the external one.
*/}}
{{- define "ingora.service" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $main := $root.Values.controller.service -}}
{{- $type := default $main.type $service.type -}}
type: {{ $type }}
{{- range $field := list "clusterIP" "clusterIPs" "externalIPs" "externalTrafficPolicy" "internalTrafficPolicy" "trafficDistribution" "sessionAffinity" "ipFamilies" "ipFamilyPolicy" }}
{{- with index $service $field }}
{{ $field }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if eq $type "LoadBalancer" }}
{{- range $field := list "loadBalancerIP" "loadBalancerClass" "loadBalancerSourceRanges" "healthCheckNodePort" }}
{{- with index $service $field }}
{{ $field }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- if kindIs "bool" $service.allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: {{ $service.allocateLoadBalancerNodePorts }}
{{- end }}
{{- end }}
ports:
{{- range $name, $on := dict "http" $main.enableHttp "https" $main.enableHttps }}
{{- if $on }}
  - name: {{ $name }}
    port: {{ default (index $main.ports $name) (index $service.ports $name) }}
    protocol: TCP
    targetPort: {{ default (index $main.targetPorts $name) (index $service.targetPorts $name) }}
    {{- if $service.appProtocol }}
    appProtocol: {{ $name }}
    {{- end }}
    {{- if has $type (list "NodePort" "LoadBalancer") }}
    {{- with index $service.nodePorts $name }}
    nodePort: {{ . }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}
{{- range $protocol, $streams := dict "tcp" $root.Values.tcp "udp" $root.Values.udp }}
{{- range $port, $_ := $streams }}
  - name: {{ include "ingora.streamPort" (list $root $port $protocol) }}
    port: {{ $port }}
    protocol: {{ upper $protocol }}
    targetPort: {{ include "ingora.streamPort" (list $root $port $protocol) }}
    {{- if has $type (list "NodePort" "LoadBalancer") }}
    {{- with index (default (dict) (index $service.nodePorts $protocol)) (toString $port) }}
    nodePort: {{ . }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end }}
selector:
  {{- include "ingora.selector" $root | nindent 2 }}
  app.kubernetes.io/component: controller
{{- end }}
