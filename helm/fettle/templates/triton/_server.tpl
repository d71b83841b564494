{{/* What differs between a server on CPU and on GPU, with and without Redis. */}}

{{/* The same as fettle.serve.triton starts on a laptop, but for addresses. */}}
{{- define "fettle.tritonArguments" -}}
{{- $restricted := "model-repository,shared-memory,logging,trace:fettle-access=$(FETTLE_TRITON_TOKEN)" -}}
- --model-repository={{ include "fettle.tritonRepository" . }}
- --model-control-mode=explicit
- --http-port=8000
- --grpc-port=8001
- --metrics-port=8002
- --http-restricted-api={{ $restricted }}
- --grpc-restricted-protocol={{ $restricted }}
- --metrics-config=summary_latencies=true
- --metrics-config=summary_quantiles=0.5:0.05,0.95:0.005,0.99:0.001
- --exit-timeout-secs=30
{{- if include "fettle.cacheHost" . }}
{{- if ne .Values.triton.device "gpu" }}
{{- fail "`cache`: the CPU image of Triton has no Redis cache; take triton.device gpu, or triton.cacheBytes for a cache in each server." }}
{{- end }}
- --cache-config=redis,host={{ include "fettle.cacheHost" . }}
- --cache-config=redis,port={{ include "fettle.cachePort" . }}
{{- else if .Values.triton.cacheBytes }}
- --cache-config=local,size={{ int64 .Values.triton.cacheBytes }}
{{- end }}
{{- range .Values.triton.arguments }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Resources with the GPU, or its slice. */}}
{{- define "fettle.tritonResources" -}}
{{- $resources := deepCopy .Values.triton.resources }}
{{- if eq .Values.triton.device "gpu" }}
{{- $resources = merge $resources (dict "limits" (dict .Values.triton.gpu.resource .Values.triton.gpu.count)) }}
{{- end }}
{{- toYaml $resources }}
{{- end }}
