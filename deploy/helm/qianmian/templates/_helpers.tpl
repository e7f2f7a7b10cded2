{{- define "qianmian.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qianmian.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* What both containers are given. A variable overrides the same setting of the file. */ -}}
{{- define "qianmian.container" -}}
env:
  - { name: QIANMIAN_DATA, value: /var/lib/qianmian/data }
  - { name: QIANMIAN_SERVE__LISTEN, value: "0.0.0.0:50051" }
  - { name: QIANMIAN_SERVE__ADMIN_LISTEN, value: "0.0.0.0:50052" }
  {{- if .Values.tls.secretName }}
  - { name: QIANMIAN_SERVE__TLS__CERT, value: /etc/qianmian/tls/tls.crt }
  - { name: QIANMIAN_SERVE__TLS__KEY, value: /etc/qianmian/tls/tls.key }
  {{- else if .Values.insecure }}
  - { name: QIANMIAN_SERVE__INSECURE, value: "true" }
  {{- else }}
  {{- fail "tls.secretName must name a secret with tls.crt and tls.key; insecure=true goes without" }}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: data, mountPath: /var/lib/qianmian }
  - { name: settings, mountPath: /etc/qianmian/qianmian.toml, subPath: qianmian.toml, readOnly: true }
  {{- if .Values.tls.secretName }}
  - { name: tls, mountPath: /etc/qianmian/tls, readOnly: true }
  {{- end }}
  - { name: tmp, mountPath: /tmp }
{{- end }}
