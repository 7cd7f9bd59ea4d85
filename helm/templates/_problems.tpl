{{/* Values that are each sound and do not fit together: all of them in one message, each with its cure. */}}
{{- define "scorer.refuseProblems" -}}
{{- with include "scorer.problems" . | trim -}}
{{- fail (printf "the values do not fit together:\n%s" .) -}}
{{- end -}}
{{- end -}}

{{/* Properties that scorer.settings refuses or takes from files alone; a test compares. */}}
{{- define "scorer.ownedProperties" -}}
acks auto.offset.reset bootstrap.servers delivery.report.only.error delivery.timeout.ms enable.auto.commit enable.auto.offset.store enable.idempotence enable.partition.eof group.id group.instance.id isolation.level max.in.flight max.in.flight.requests.per.connection message.max.bytes metadata.broker.list request.required.acks transactional.id
{{- end -}}

{{- define "scorer.secretProperties" -}}
sasl.oauthbearer.assertion.private.key.passphrase sasl.oauthbearer.assertion.private.key.pem sasl.oauthbearer.client.credentials.client.secret sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.password ssl.key.password ssl.key.pem ssl.keystore.password
{{- end -}}

{{- define "scorer.problems" -}}
{{- $values := .Values -}}
{{- $scaling := $values.autoscaling -}}
{{- $max := include "scorer.maxReplicas" . | int -}}
{{- if not $values.kafka.bootstrapServers }}
- kafka.bootstrapServers: must be given: where are the brokers? kafka.data.svc:9092, say
{{- end }}
{{- if and $values.kafka.sasl.enabled (not $values.kafka.sasl.secretName) }}
- kafka.sasl.secretName: must be given with kafka.sasl.enabled: which Secret has the name and the password?
{{- end }}
{{- range $name, $_ := $values.kafka.properties }}
{{- if has $name (splitList " " (include "scorer.ownedProperties" $)) }}
- kafka.properties: {{ $name }} is set by the scorer itself; see kafka.bootstrapServers, settings and worker.staticMembership
{{- end }}
{{- if has $name (splitList " " (include "scorer.secretProperties" $)) }}
- kafka.properties: {{ $name }} is a secret, and values are kept and shown in plain text: mount it by extraVolumes and give its path as {{ $name }}.file, or use kafka.sasl
{{- end }}
{{- end }}
{{- range $values.extraEnv }}
{{- if regexMatch (printf "(?m)^- name: %s$" .name) (include "scorer.env" $) }}
- extraEnv: {{ .name }} is set by the chart already: use kafka, settings or store
{{- end }}
{{- end }}
{{- if and $values.store.url $values.store.claim.enabled }}
- store.url and store.claim.enabled: bundles live in one place; which?
{{- end }}
{{- if and $scaling.keda.enabled $scaling.cpu.enabled }}
- autoscaling.keda.enabled and autoscaling.cpu.enabled: two would set the number of workers against each other; enable one
{{- end }}
{{- if or $scaling.keda.enabled $scaling.cpu.enabled }}
{{- if gt $max (int $values.topics.partitions) }}
- autoscaling.maxReplicas ({{ $max }}): more than topics.partitions ({{ int $values.topics.partitions }}); workers above it have nothing to do
{{- end }}
{{- if gt (int $scaling.minReplicas) $max }}
- autoscaling.minReplicas ({{ int $scaling.minReplicas }}): more than the most workers ({{ $max }})
{{- end }}
{{- end }}
{{- if $scaling.cpu.enabled }}
{{- if lt (int $scaling.minReplicas) 1 }}
- autoscaling.minReplicas (0): without workers there is no CPU to see; only autoscaling.keda wakes one
{{- end }}
{{- if not (dig "requests" "cpu" "" ($values.worker.resources | default dict)) }}
- worker.resources.requests.cpu: must be given with autoscaling.cpu.enabled, whose target is a percentage of it
{{- end }}
{{- end }}
{{- if and $values.console.enabled (not $values.console.tokenSecret.name) }}
- console.tokenSecret.name: must be given with console.enabled: which Secret has the token that the page asks for?
{{- end }}
{{- end -}}
