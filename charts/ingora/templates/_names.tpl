{{/* Names and labels. They follow the ingress-nginx chart, so that what refers to its objects needs one word changed. */}}

{{- define "ingora.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ingora.fullname" -}}
{{- $name := include "ingora.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "ingora.namespace" -}}
{{ default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* The controller's workload, Service and ConfigMap. */}}
{{- define "ingora.controller" -}}
{{ printf "%s-%s" (include "ingora.fullname" .) .Values.controller.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ingora.defaultBackend" -}}
{{ printf "%s-%s" (include "ingora.fullname" .) .Values.defaultBackend.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ingora.admission" -}}
{{ printf "%s-%s" (include "ingora.fullname" .) .Values.controller.admissionWebhooks.name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ingora.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "ingora.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "ingora.defaultBackend.serviceAccount" -}}
{{- if .Values.defaultBackend.serviceAccount.create -}}
{{ default (printf "%s-backend" (include "ingora.fullname" .)) .Values.defaultBackend.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.defaultBackend.serviceAccount.name }}
{{- end -}}
{{- end }}

{{/* The Lease that replicas hold in turn. */}}
{{- define "ingora.electionID" -}}
{{ default (printf "%s-leader" (include "ingora.fullname" .)) .Values.controller.electionID }}
{{- end }}

{{/* The namespace that is watched when the scope is one namespace; empty means all. */}}
{{- define "ingora.scope" -}}
{{- if .Values.controller.scope.enabled -}}
{{ default (include "ingora.namespace" .) .Values.controller.scope.namespace }}
{{- end -}}
{{- end }}

{{- define "ingora.selector" -}}
app.kubernetes.io/name: {{ include "ingora.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ingora.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "ingora.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "ingora.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object of the controller: (dict "root" $ "name" NAME "labels" DICT "annotations" DICT "cluster" BOOL) */}}
{{- define "ingora.metadata" -}}
{{- $component := default "controller" .component -}}
name: {{ .name }}
{{- if not .cluster }}
namespace: {{ default (include "ingora.namespace" .root) .namespace }}
{{- end }}
labels:
  {{- include "ingora.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ $component }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
