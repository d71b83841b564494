{{/*
A NetworkPolicy: only these users reach these ports of a part. A dict:
  root, part, ports, users (components of this release), workflows (also the steps of pipelines), machines (also those
  of TrainJobs), peers (further ones)
*/}}
{{- define "fettle.networkPolicy" -}}
{{- $root := .root -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
{{- include "fettle.metadata" (list $root .part) }}
spec:
  podSelector:
    matchLabels:
      {{- include "fettle.selector" (list $root .part) | nindent 6 }}
  policyTypes: [Ingress]
  ingress: {{- if not (or .ports .metrics) }} []{{ end }}
    {{- if .ports }}
    - ports:
        {{- range .ports }}
        - port: {{ . }}
        {{- end }}
      from:
        {{- range .users }}
        - podSelector:
            matchLabels:
              {{- include "fettle.selector" (list $root .) | nindent 14 }}
        {{- end }}
        {{- if .workflows }}
        - podSelector:
            matchExpressions:
              - {key: workflows.argoproj.io/workflow, operator: Exists}
        {{- end }}
        {{- if .machines }}
        - podSelector:
            matchExpressions:
              - {key: jobset.sigs.k8s.io/jobset-name, operator: Exists}
        {{- end }}
        {{- with .peers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- end }}
    {{- if .metrics }}
    - ports:
        {{- range .metrics }}
        - port: {{ . }}
        {{- end }}
      from:
        - podSelector: {}
        {{- with $root.Values.monitoring.from }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- end }}
{{- end }}
