{{/* Names and labels. Helpers take the root context and, where they serve a part, its name: (list $ "triton"). */}}

{{- define "fettle.chartName" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "fettle.fullname" -}}
{{- $name := include "fettle.chartName" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* FULLNAME-PART */}}
{{- define "fettle.name" -}}
{{- include "fettle.fullname" (first .) }}-{{ last . }}
{{- end }}

{{/* What selects the pods of a part; it never changes. */}}
{{- define "fettle.selector" -}}
app.kubernetes.io/name: {{ include "fettle.chartName" (first .) }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "fettle.labels" -}}
{{- $root := first . -}}
{{ include "fettle.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Metadata of an object that is called FULLNAME-PART; (list $ "part" "name") gives another name. */}}
{{- define "fettle.metadata" -}}
{{- $root := first . }}{{ $part := index . 1 }}
metadata:
  name: {{ if gt (len .) 2 }}{{ index . 2 }}{{ else }}{{ include "fettle.name" (list $root $part) }}{{ end }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "fettle.labels" (list $root $part) | nindent 4 }}
{{- end }}
