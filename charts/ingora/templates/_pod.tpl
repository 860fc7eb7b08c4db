{{/* Parts of the controller's pod that need a thought. */}}

{{/* A port of .Values.tcp or .Values.udp: (list $ PORT PROTOCOL). */}}
{{- define "ingora.streamPort" -}}
{{- $prefix := (index . 0).Values.portNamePrefix -}}
{{ with $prefix }}{{ . }}-{{ end }}{{ index . 1 }}-{{ index . 2 }}
{{- end }}

{{/*
A probe. In ingress-nginx /healthz is both: alive and ready. Here readiness is /readyz: not before the first full table is
live, not after SIGTERM. A values file that names /healthz means readiness where it says so. The port is the one that metrics
have, which the values name twice.
*/}}
{{- define "ingora.probe" -}}
{{- $probe := deepCopy .probe -}}
{{- if and (eq .field "readinessProbe") $probe.httpGet (eq (toString $probe.httpGet.path) "/healthz") -}}
{{- $_ := set $probe.httpGet "path" "/readyz" -}}
{{- end -}}
{{- if and $probe.httpGet (eq (toString $probe.httpGet.port) "10254") -}}
{{- $_ := set $probe.httpGet "port" .port -}}
{{- end -}}
{{ toYaml $probe }}
{{- end }}

{{/* The hooks, without the program that only the image of ingress-nginx has. */}}
{{- define "ingora.lifecycle" -}}
{{- $hooks := deepCopy .Values.controller.lifecycle -}}
{{- with $hooks.preStop -}}
{{- if and .exec (has "/wait-shutdown" (default (list) .exec.command)) -}}
{{- $_ := unset $hooks "preStop" -}}
{{- end -}}
{{- end -}}
{{- if $hooks -}}{{ toYaml $hooks }}{{- end -}}
{{- end }}

{{/* The folder of the last good state when a volume has to be made for it, else nothing. It outlives a restart of the container. */}}
{{- define "ingora.stateDir" -}}
{{- $folder := get .Values.controller.extraArgs "state-dir" -}}
{{- range .Values.controller.extraVolumeMounts -}}
{{- if eq .mountPath (toString $folder) -}}{{- $folder = "" -}}{{- end -}}
{{- end -}}
{{- if and $folder (include "ingora.has" (list . "state-dir")) -}}{{ $folder }}{{- end -}}
{{- end }}

{{/* Is a volume to be made for temporary files? Not where one is mounted already. */}}
{{- define "ingora.temporary" -}}
{{- $make := "make" -}}
{{- range .Values.controller.extraVolumeMounts -}}
{{- if eq .mountPath "/tmp" -}}{{- $make = "" -}}{{- end -}}
{{- end -}}
{{ $make }}
{{- end }}
