{{/* A pod of `helm test`: (list $ "name" "script.py" (list arguments)) */}}
{{- define "fettle.testPod" -}}
{{- $root := first . -}}
apiVersion: v1
kind: Pod
{{- include "fettle.metadata" (list $root "test" (include "fettle.name" (list $root (index . 1)))) }}
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  {{- include "fettle.podSettings" (dict "root" $root "part" "test" "pod" dict "user" 1000 "account" "default") | nindent 2 }}
  restartPolicy: Never
  containers:
    - {{- include "fettle.script" . | nindent 6 }}
      env:
        - {name: HOME, value: /tmp}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
  volumes:
    - name: tmp
      emptyDir: {}
{{- end }}
