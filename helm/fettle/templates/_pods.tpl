{{/* What all pods and containers share. */}}

{{/* REGISTRY/REPOSITORY:TAG, or @DIGEST: (list $ .Values.images.step) */}}
{{- define "fettle.image" -}}
{{- $root := first . }}{{ $image := last . }}
{{- with $root.Values.global.imageRegistry | default $image.registry }}{{ . }}/{{ end }}
{{- $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Image and pull policy of a container. */}}
{{- define "fettle.pull" -}}
image: {{ include "fettle.image" . }}
imagePullPolicy: {{ (first .).Values.global.imagePullPolicy }}
{{- end }}

{{/* Metadata of a part's pods: (list $ "part" .Values.part.pod (dict further annotations)) */}}
{{- define "fettle.podMetadata" -}}
{{- $root := first . }}{{ $part := index . 1 }}
{{- $settings := merge (deepCopy (index . 2)) $root.Values.podDefaults }}
{{- $annotations := merge (dict) (index . 3) (default dict $settings.annotations) }}
metadata:
  labels: # Not those that change with the chart: a new version restarts only what it changes.
    {{- include "fettle.selector" (list $root $part) | nindent 4 }}
    {{- with $settings.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/*
The settings of a part's pods, after Pod Security "restricted". A dict:
  root, part, pod (its overrides of podDefaults), user (numeric), account (default FULLNAME-PART),
  api (whether its programs talk to Kubernetes), tolerations (beside those of the values)
*/}}
{{- define "fettle.podSettings" -}}
{{- $root := .root }}{{ $part := .part }}
{{- $settings := merge (deepCopy .pod) $root.Values.podDefaults }}
serviceAccountName: {{ .account | default (include "fettle.name" (list $root $part)) }}
automountServiceAccountToken: {{ .api | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .user }}
  fsGroup: {{ .user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- include "fettle.pullSecrets" $root }}
{{- range $key := list "nodeSelector" "affinity" "priorityClassName" }}
{{- with index $settings $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with concat (default list $settings.tolerations) (default list .tolerations) }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml (merge (deepCopy .) (dict "labelSelector" (dict "matchLabels" (fromYaml (include "fettle.selector" (list $root $part)))))) | nindent 4 | trim }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "fettle.pullSecrets" }}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "fettle.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* The account of a part; its token is mounted only where the pod says so. (list $ "part" .Values.part.pod) */}}
{{- define "fettle.account" -}}
{{- $root := first . }}{{ $part := index . 1 }}
{{- $settings := merge (deepCopy (index . 2)) $root.Values.podDefaults -}}
apiVersion: v1
kind: ServiceAccount
{{- include "fettle.metadata" (list $root $part) }}
  {{- with $settings.serviceAccountAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end }}

{{/* The Role of a part's account: (list $ "part" rules-as-YAML account) */}}
{{- define "fettle.role" -}}
{{- $root := first . }}{{ $part := index . 1 }}
{{- $name := include "fettle.name" (list $root $part) -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
{{- include "fettle.metadata" (list $root $part) }}
rules:
  {{- index . 2 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
{{- include "fettle.metadata" (list $root $part) }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: {{ if gt (len .) 3 }}{{ index . 3 }}{{ else }}{{ $name }}{{ end }}
    namespace: {{ $root.Release.Namespace }}
{{- end }}

{{/* A container of the light image that runs a script of files/: (list $ "name" "script.py" (list arguments)) */}}
{{- define "fettle.script" -}}
{{- $root := first . -}}
name: {{ index . 1 }}
{{ include "fettle.pull" (list $root $root.Values.images.light) }}
command: [python, -c]
args:
  - {{ $root.Files.Get (printf "files/%s" (index . 2)) | quote }}
  {{- range index . 3 }}
  - {{ . | quote }}
  {{- end }}
{{ include "fettle.security" $root }}
resources:
  requests: {cpu: 10m, memory: 32Mi}
  limits: {memory: 256Mi}
{{- end }}

{{/* The claim of a StatefulSet for its data; it stays when the release goes: (list $ "part" .Values.part.storage) */}}
{{- define "fettle.claim" -}}
{{- $storage := last . -}}
- metadata:
    name: data
    labels:
      {{- include "fettle.selector" (list (first .) (index . 1)) | nindent 6 }}
  spec:
    accessModes: [ReadWriteOnce]
    {{- with $storage.className }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ $storage.size }}
{{- end }}
