{{/*
The arguments of the binary, as YAML: {args: [...], idle: [...]}.

files/flags.txt holds the flags that this version's binary has; a test keeps it so. What the values ask for is rendered when
the binary has the flag. A flag of ingress-nginx that it does not have is left out and told in the notes; any other is a
mistake, and better told here than by a pod that does not start.
*/}}
{{- define "ingora.args" -}}
{{- $controller := .Values.controller -}}
{{- $known := splitList "\n" (.Files.Get "files/flags.txt" | trim) -}}
{{- $foreign := splitList "\n" (.Files.Get "files/ingress-nginx-flags.txt" | trim) -}}
{{- $namespace := "$(POD_NAMESPACE)" -}}
{{- $name := include "ingora.controller" . -}}
{{- $want := dict "controller-class" $controller.ingressClassResource.controllerValue "configmap" (printf "%s/%s" (default $namespace $controller.configMapNamespace) $name) -}}
{{- with $controller.ingressClass }}{{- $_ := set $want "ingress-class" . }}{{- end -}}
{{- if $controller.disableLeaderElection -}}
{{- $_ := set $want "disable-leader-election" "true" -}}
{{- else -}}
{{- $_ := set $want "election-id" (include "ingora.electionID" .) -}}
{{- with $controller.electionTTL }}{{- $_ := set $want "election-ttl" . }}{{- end -}}
{{- end -}}
{{- with include "ingora.publishService" . }}{{- $_ := set $want "publish-service" . }}{{- end -}}
{{- range $flag, $on := dict "ingress-class-by-name" $controller.ingressClassByName "watch-ingress-without-class" $controller.watchIngressWithoutClass "report-node-internal-ip-address" $controller.reportNodeInternalIp "enable-topology-aware-routing" $controller.enableTopologyAwareRouting -}}
{{- if $on }}{{- $_ := set $want $flag "true" }}{{- end -}}
{{- end -}}
{{- if .Values.tcp }}{{- $_ := set $want "tcp-services-configmap" (printf "%s/%s-tcp" (default $namespace $controller.tcp.configMapNamespace) (include "ingora.fullname" .)) }}{{- end -}}
{{- if .Values.udp }}{{- $_ := set $want "udp-services-configmap" (printf "%s/%s-udp" (default $namespace $controller.udp.configMapNamespace) (include "ingora.fullname" .)) }}{{- end -}}
{{- if $controller.scope.enabled -}}
{{- $_ := set $want "watch-namespace" (default $namespace $controller.scope.namespace) -}}
{{- else if $controller.scope.namespaceSelector -}}
{{- $_ := set $want "watch-namespace-selector" $controller.scope.namespaceSelector -}}
{{- end -}}
{{- if ne (int $controller.containerPort.http) 80 }}{{- $_ := set $want "http-port" (toString $controller.containerPort.http) }}{{- end -}}
{{- if ne (int $controller.containerPort.https) 443 }}{{- $_ := set $want "https-port" (toString $controller.containerPort.https) }}{{- end -}}
{{- if ne (int $controller.metrics.port) 10254 }}{{- $_ := set $want "healthz-port" (toString $controller.metrics.port) }}{{- end -}}
{{- with $controller.healthCheckHost }}{{- $_ := set $want "healthz-host" . }}{{- end -}}
{{- with $controller.maxmindLicenseKey }}{{- $_ := set $want "maxmind-license-key" . }}{{- end -}}
{{- if .Values.defaultBackend.enabled }}{{- $_ := set $want "default-backend-service" (printf "%s/%s" $namespace (include "ingora.defaultBackend" .)) }}{{- end -}}
{{- if include "ingora.webhook" . -}}
{{- $_ := set $want "validating-webhook" (printf ":%v" $controller.admissionWebhooks.port) -}}
{{- $_ := set $want "validating-webhook-certificate" $controller.admissionWebhooks.certificate -}}
{{- $_ := set $want "validating-webhook-key" $controller.admissionWebhooks.key -}}
{{- end -}}
{{- range $flag, $value := $controller.extraArgs -}}
{{- if not (or (has $flag $known) (has $flag $foreign)) -}}
{{- fail (printf "controller.extraArgs.%s: ingora has no flag --%s; docs/configuration.md lists them" $flag $flag) -}}
{{- end -}}
{{- $_ := set $want $flag (toString $value) -}}
{{- end -}}
{{- $args := list -}}
{{- $idle := list -}}
{{- range $flag := keys $want | sortAlpha -}}
{{- $value := get $want $flag -}}
{{- if has $flag $known -}}
{{- $args = append $args (ternary (printf "--%s" $flag) (printf "--%s=%s" $flag $value) (eq $value "")) -}}
{{- else -}}
{{- $idle = append $idle $flag -}}
{{- end -}}
{{- end -}}
{{- dict "args" $args "idle" $idle | toYaml -}}
{{- end }}

{{/* "true" when the binary has this flag, else nothing. (list $ "FLAG") */}}
{{- define "ingora.has" -}}
{{- if has (index . 1) (splitList "\n" ((index . 0).Files.Get "files/flags.txt" | trim)) -}}true{{- end -}}
{{- end }}

{{/* The Service whose addresses are written to Ingresses, or nothing. */}}
{{- define "ingora.publishService" -}}
{{- $controller := .Values.controller -}}
{{- $name := include "ingora.controller" . -}}
{{- if $controller.publishService.enabled -}}
{{- if $controller.publishService.pathOverride -}}
{{ $controller.publishService.pathOverride }}
{{- else if $controller.service.enabled -}}
$(POD_NAMESPACE)/{{ ternary $name (printf "%s-internal" $name) $controller.service.external.enabled }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" when the webhook is asked for and there, else nothing. */}}
{{- define "ingora.webhook" -}}
{{- if and .Values.controller.admissionWebhooks.enabled (include "ingora.has" (list . "validating-webhook")) -}}true{{- end -}}
{{- end }}
