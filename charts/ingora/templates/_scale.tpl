{{/* spec of a HorizontalPodAutoscaler: (dict "name" NAME "kind" KIND "scale" VALUES "more" LIST) */}}
{{- define "ingora.autoscaler" -}}
scaleTargetRef:
  apiVersion: apps/v1
  kind: Deployment
  name: {{ .name }}
minReplicas: {{ .scale.minReplicas }}
maxReplicas: {{ .scale.maxReplicas }}
metrics:
{{- range $resource, $target := dict "cpu" .scale.targetCPUUtilizationPercentage "memory" .scale.targetMemoryUtilizationPercentage }}
{{- with $target }}
  - type: Resource
    resource:
      name: {{ $resource }}
      target:
        type: Utilization
        averageUtilization: {{ . }}
{{- end }}
{{- end }}
{{- with .more }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .scale.behavior }}
behavior:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* spec of a PodDisruptionBudget without its selector, or nothing when too few pods run: (dict "values" VALUES) */}}
{{- define "ingora.budget" -}}
{{- $values := .values -}}
{{- $replicas := $values.replicaCount -}}
{{- if $values.autoscaling.enabled -}}{{- $replicas = $values.autoscaling.minReplicas -}}{{- end -}}
{{- if and $values.keda $values.keda.enabled -}}{{- $replicas = $values.keda.minReplicas -}}{{- end -}}
{{- $bounded := not (kindIs "invalid" $values.maxUnavailable) -}}
{{- $percent := kindIs "string" $values.minAvailable -}}
{{- if or $bounded $percent (gt (int $replicas) (int $values.minAvailable)) (eq (toString $values.kind) "DaemonSet") -}}
{{- if gt (int (ternary 2 $replicas (eq (toString $values.kind) "DaemonSet"))) 1 -}}
{{- if $bounded }}
maxUnavailable: {{ $values.maxUnavailable }}
{{- else }}
minAvailable: {{ $values.minAvailable }}
{{- end }}
{{- with $values.unhealthyPodEvictionPolicy }}
unhealthyPodEvictionPolicy: {{ . }}
{{- end }}
{{- end -}}
{{- end -}}
{{- end }}
