{{- define "qianmian.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qianmian.trainerLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-trainer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "qianmian.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- /* Number of servers. */ -}}
{{- define "qianmian.servers" -}}
{{ ternary .Values.objectStore.servers 1 (ne .Values.objectStore.url "") }}
{{- end }}

{{- /* What containers are given. A variable overrides the same setting of the file. */ -}}
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
  {{- if .Values.objectStore.url }}
  - { name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
  - { name: QIANMIAN_OBJECT_STORE__URL, value: {{ .Values.objectStore.url | quote }} }
  - name: QIANMIAN_OBJECT_STORE__ADVERTISE
    value: "{{ if .Values.tls.secretName }}https://{{ end }}$(POD).{{ .Release.Name }}-pods.{{ .Release.Namespace }}.svc:50051"
  {{- if .Values.objectStore.trainers }}
  - { name: QIANMIAN_OBJECT_STORE__MAY_TRAIN, value: "false" }
  {{- end }}
  {{- end }}
{{- with .Values.objectStore.secretName }}
envFrom:
  - secretRef: { name: {{ . }} }
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

{{- /* What every pod begins with. */ -}}
{{- define "qianmian.pod" -}}
automountServiceAccountToken: false
# Kubernetes would add variables of a service named qianmian-…, which the server takes for settings.
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- /* Where a pod runs, and its volumes. */ -}}
{{- define "qianmian.place" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: settings
    configMap: { name: {{ .Release.Name }} }
  {{- with .Values.tls.secretName }}
  - name: tls
    secret: { secretName: {{ . }}, defaultMode: 0440 }
  {{- end }}
  - name: tmp
    emptyDir: {}
{{- end }}

{{- /* The volume of each pod. */ -}}
{{- define "qianmian.claims" -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .Values.storage.className }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: { storage: {{ .Values.storage.size }} }
{{- end }}
