{{/* Secrets: given by name, or made once. */}}

{{/* A value of a Secret that exists keeps it, else a new random one, in base64: (list $ "secret" "key") */}}
{{- define "fettle.kept" -}}
{{- $found := lookup "v1" "Secret" (first .).Release.Namespace (index . 1) }}
{{- if and $found (hasKey (default dict $found.data) (index . 2)) }}{{ index $found.data (index . 2) }}
{{- else }}{{ randAlphaNum 32 | b64enc }}
{{- end }}
{{- end }}

{{/* An environment variable out of a Secret: (list "VARIABLE" "secret" "key") */}}
{{- define "fettle.secretVariable" -}}
- name: {{ first . }}
  valueFrom:
    secretKeyRef:
      name: {{ index . 1 }}
      key: {{ index . 2 }}
{{- end }}

{{- define "fettle.storeSecret" -}}
{{- .Values.store.existingSecret | default (include "fettle.name" (list . "s3")) }}
{{- end }}

{{- define "fettle.databaseSecret" -}}
{{- .Values.database.existingSecret | default (include "fettle.name" (list . "database")) }}
{{- end }}

{{- define "fettle.tritonSecret" -}}
{{- .Values.triton.existingSecret | default (include "fettle.name" (list . "triton")) }}
{{- end }}

{{- define "fettle.cacheSecret" -}}
{{- .Values.cache.existingSecret | default (include "fettle.name" (list . "cache")) }}
{{- end }}

{{/* Variables with which Fettle, and whatever speaks to S3, finds the store. */}}
{{- define "fettle.storeVariables" -}}
- name: AWS_ENDPOINT_URL_S3
  value: {{ include "fettle.storeEndpoint" . | quote }}
- name: AWS_REGION
  value: {{ .Values.store.region | quote }}
{{ include "fettle.secretVariable" (list "AWS_ACCESS_KEY_ID" (include "fettle.storeSecret" .) "AWS_ACCESS_KEY_ID") }}
{{ include "fettle.secretVariable" (list "AWS_SECRET_ACCESS_KEY" (include "fettle.storeSecret" .) "AWS_SECRET_ACCESS_KEY") }}
{{- end }}
