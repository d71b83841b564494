{{/* Where each part answers: the one of this release, or the external one. */}}

{{/* NAME.NAMESPACE.svc, as all pods of the cluster reach it: (list $ "service") */}}
{{- define "fettle.host" -}}
{{ last . }}.{{ (first .).Release.Namespace }}.svc
{{- end }}

{{- define "fettle.storeEndpoint" -}}
{{- if .Values.store.enabled }}http://{{ include "fettle.host" (list . (include "fettle.name" (list . "minio"))) }}:9000
{{- else }}{{ required "`store.external.endpoint` is needed where store.enabled is false, such as https://s3.eu-west-1.amazonaws.com" .Values.store.external.endpoint | trimSuffix "/" }}
{{- end }}
{{- end }}

{{/* HOST:PORT of the store, with the port that its scheme implies. */}}
{{- define "fettle.storeAddress" -}}
{{- $url := urlParse (include "fettle.storeEndpoint" .) }}
{{- if contains ":" $url.host }}{{ $url.host }}{{ else }}{{ $url.host }}:{{ ternary "443" "80" (eq $url.scheme "https") }}{{ end }}
{{- end }}

{{- define "fettle.storeSecure" -}}
{{ hasPrefix "https://" (include "fettle.storeEndpoint" .) }}
{{- end }}

{{/* The model repository as Triton writes it. */}}
{{- define "fettle.tritonRepository" -}}
s3://{{ ternary "https" "http" (eq (include "fettle.storeSecure" .) "true") }}://{{ include "fettle.storeAddress" . }}/{{ .Values.store.modelBucket }}
{{- end }}

{{- define "fettle.databaseHost" -}}
{{- if .Values.database.enabled }}{{ include "fettle.host" (list . "mysql") }}
{{- else }}{{ required "`database.external.host` is needed where database.enabled is false" .Values.database.external.host }}
{{- end }}
{{- end }}

{{- define "fettle.databasePort" -}}
{{ ternary 3306 (int .Values.database.external.port) .Values.database.enabled }}
{{- end }}

{{/* HOST:PORT of Redis, or nothing. */}}
{{- define "fettle.cacheHost" -}}
{{- if .Values.cache.enabled }}{{ include "fettle.name" (list . "cache") }}{{ else }}{{ .Values.cache.external.host }}{{ end }}
{{- end }}

{{- define "fettle.cachePort" -}}
{{ ternary 6379 (int .Values.cache.external.port) .Values.cache.enabled }}
{{- end }}
