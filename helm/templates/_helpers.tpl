{{/* Names of resources: at most 50 characters, so that Kubernetes' suffixes still fit into a label. */}}
{{- define "scorer.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- end -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "scorer.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "scorer.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "scorer.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest }}{{ $image.repository }}@{{ $image.digest }}{{ else }}{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* Selector labels of a component's pods. A selector is immutable, so it contains nothing that an upgrade changes. */}}
{{- define "scorer.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "scorer.labels" -}}
{{ include "scorer.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* A value as the text of an environment variable. Helm reads numbers as floats and would write 8388608 as 8.388608e+06. */}}
{{- define "scorer.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end -}}

{{/* The security.protocol that follows from kafka.tls and kafka.sasl. */}}
{{- define "scorer.securityProtocol" -}}
{{- if .tls.enabled }}{{ ternary "SASL_SSL" "SSL" .sasl.enabled }}{{ else }}{{ ternary "SASL_PLAINTEXT" "" .sasl.enabled }}{{ end -}}
{{- end -}}

{{- define "scorer.maxReplicas" -}}
{{- .Values.autoscaling.maxReplicas | default .Values.topics.partitions | int -}}
{{- end -}}

{{/* Limits and stabilization windows of scaling; each change of the number of workers moves partitions. */}}
{{- define "scorer.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: {{ .scaleUp.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ .scaleUp.pods }}
      periodSeconds: {{ .scaleUp.periodSeconds }}
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDown.stabilizationSeconds }}
  policies:
    - type: Pods
      value: {{ .scaleDown.pods }}
      periodSeconds: {{ .scaleDown.periodSeconds }}
{{- end -}}

{{/* Egress rules of the pods: DNS, the brokers, and a store at a URL. */}}
{{- define "scorer.egress" -}}
{{- $egress := .Values.networkPolicy.egress -}}
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
- ports:
    {{- range $egress.kafkaPorts | default (include "scorer.kafkaPorts" . | fromJsonArray) }}
    - port: {{ . }}
    {{- end }}
{{- if .Values.store.url }}
- ports:
    - port: {{ $egress.storePort }}
{{- end }}
{{- with $egress.extra }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The ports of the bootstrap servers, as JSON. */}}
{{- define "scorer.kafkaPorts" -}}
{{- $ports := list -}}
{{- range splitList "," .Values.kafka.bootstrapServers -}}
{{- $ports = append $ports (regexFind ":[0-9]+\\s*$" . | trimPrefix ":" | trim | default "9092" | int) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* URL of the alerts' runbooks; empty if they have none. */}}
{{- define "scorer.runbooksUrl" -}}
{{- $ingress := .Values.console.ingress -}}
{{- $default := ternary (printf "https://%s/runbooks" $ingress.host) "" (and .Values.console.enabled $ingress.enabled) -}}
{{- .Values.prometheusRule.runbooksUrl | default $default | trimSuffix "/" -}}
{{- end -}}

{{/* The URL in the generated files; a test compares. */}}
{{- define "scorer.generatedRunbooksUrl" -}}
http://localhost:8765/runbooks
{{- end -}}

{{/* A dashboard as generated, with links to the runbooks at this URL, or without links. */}}
{{- define "scorer.dashboard" -}}
{{- if .runbooks -}}
{{- .text | replace (include "scorer.generatedRunbooksUrl" .) .runbooks -}}
{{- else -}}
{{- regexReplaceAll "\"value\": \\[[^\\]]*/runbooks/[^\\]]*\\]" .text "\"value\": []" -}}
{{- end -}}
{{- end -}}

{{/* Rules as generated, with links to the runbooks at this URL, or without links. */}}
{{- define "scorer.rules" -}}
{{- $document := .text | replace (include "scorer.generatedRunbooksUrl" .) .runbooks | fromYaml -}}
{{- if not .runbooks -}}
{{- range $document.groups -}}
{{- range .rules -}}
{{- if hasKey . "annotations" -}}
{{- $_ := unset .annotations "runbook_url" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $document -}}
{{- end -}}
