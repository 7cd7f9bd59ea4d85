{{/*
Parts of the pods of all components. Each takes a dict with `root` and `component`. The Job that creates the topics runs
before the release's other resources exist, the bundles' volume claim included, and does not use them.
*/}}

{{/*
No service links: for a Service named "scorer" Kubernetes would set environment variables such as SCORER_PORT, which
look like settings.
*/}}
{{- define "scorer.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  {{- include "scorer.volumes" . | nindent 2 }}
{{- end -}}

{{- define "scorer.container" -}}
image: {{ include "scorer.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
env:
  {{- include "scorer.env" .root | nindent 2 }}
  {{- with .env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  {{- include "scorer.volumeMounts" . | nindent 2 }}
  {{- with .mounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The settings. Secrets are mounted as files, and only their paths are set here; a user name is not a secret. */}}
{{- define "scorer.env" -}}
{{- $kafka := .Values.kafka -}}
- name: SCORER_BOOTSTRAP_SERVERS
  value: {{ $kafka.bootstrapServers | quote }}
- name: SCORER_HTTP_HOST
  value: "0.0.0.0"
{{- range $name, $value := .Values.settings }}
- name: SCORER_{{ upper $name }}
  value: {{ include "scorer.text" $value | quote }}
{{- end }}
{{- if or .Values.store.url .Values.store.claim.enabled }}
- name: SCORER_STORE
  value: {{ .Values.store.url | default "/var/lib/scorer/bundles" | quote }}
{{- end }}
- name: XDG_CACHE_HOME
  value: /var/cache/scorer
{{- with ternary "" (include "scorer.securityProtocol" $kafka) (hasKey $kafka.properties "security.protocol") }}
- name: SCORER_KAFKA__SECURITY_PROTOCOL
  value: {{ . }}
{{- end }}
{{- if $kafka.tls.enabled }}
{{- if $kafka.tls.ca.secretName }}
- name: SCORER_KAFKA__SSL_CA_LOCATION
  value: /run/kafka/ca.crt
{{- end }}
{{- if $kafka.tls.certificate.secretName }}
- name: SCORER_KAFKA__SSL_CERTIFICATE_LOCATION
  value: /run/kafka/tls.crt
- name: SCORER_KAFKA__SSL_KEY_LOCATION
  value: /run/kafka/tls.key
{{- end }}
{{- end }}
{{- if $kafka.sasl.enabled }}
- name: SCORER_KAFKA__SASL_MECHANISM
  value: {{ $kafka.sasl.mechanism }}
- name: SCORER_KAFKA__SASL_USERNAME
  {{- if $kafka.sasl.username }}
  value: {{ $kafka.sasl.username | quote }}
  {{- else }}
  valueFrom:
    secretKeyRef:
      name: {{ $kafka.sasl.secretName }}
      key: {{ $kafka.sasl.usernameKey }}
  {{- end }}
- name: SCORER_KAFKA__SASL_PASSWORD_FILE
  value: /run/kafka/password
{{- end }}
{{- range $name, $value := $kafka.properties }}
- name: SCORER_KAFKA__{{ $name | replace "." "_" | upper }}
  value: {{ include "scorer.text" $value | quote }}
{{- end }}
{{- end -}}

{{/* The root file system is read-only; files are written to volumes that are deleted with the pod. */}}
{{- define "scorer.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 1Gi
- name: cache
  emptyDir:
    sizeLimit: {{ .root.Values.store.cacheSize }}
{{- with include "scorer.kafkaSecrets" .root.Values.kafka }}
- name: kafka
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- if and .root.Values.store.claim.enabled (ne .component "topics") }}
- name: bundles
  persistentVolumeClaim:
    claimName: {{ .root.Values.store.claim.existingClaim | default (printf "%s-bundles" (include "scorer.fullname" .root)) }}
{{- end }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "scorer.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
- name: cache
  mountPath: /var/cache/scorer
{{- if include "scorer.kafkaSecrets" .root.Values.kafka }}
- name: kafka
  mountPath: /run/kafka
  readOnly: true
{{- end }}
{{- if and .root.Values.store.claim.enabled (ne .component "topics") }}
- name: bundles
  mountPath: /var/lib/scorer/bundles
{{- end }}
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The keys of Kafka's Secrets, under fixed file names; empty if none is needed. */}}
{{- define "scorer.kafkaSecrets" -}}
{{- $sources := list -}}
{{- if .tls.enabled -}}
{{- with .tls.ca -}}
{{- if .secretName -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secretName "items" (list (dict "key" .key "path" "ca.crt")))) -}}
{{- end -}}
{{- end -}}
{{- with .tls.certificate -}}
{{- if .secretName -}}
{{- $items := list (dict "key" .certificateKey "path" "tls.crt") (dict "key" .privateKeyKey "path" "tls.key") -}}
{{- $sources = append $sources (dict "secret" (dict "name" .secretName "items" $items)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .sasl.enabled -}}
{{- $items := list (dict "key" .sasl.passwordKey "path" "password") -}}
{{- $sources = append $sources (dict "secret" (dict "name" .sasl.secretName "items" $items)) -}}
{{- end -}}
{{- if $sources }}{{ toYaml $sources }}{{ end -}}
{{- end -}}
