{{/* Values that are each valid but contradict each other: all in one message, each with its fix. */}}
{{- define "scorer.failOnProblems" -}}
{{- with include "scorer.problems" . | trim -}}
{{- fail (printf "invalid values:\n%s" .) -}}
{{- end -}}
{{- end -}}

{{/* Properties that scorer.settings rejects; a test compares. */}}
{{- define "scorer.reservedProperties" -}}
acks auto.offset.reset bootstrap.servers delivery.report.only.error delivery.timeout.ms enable.auto.commit enable.auto.offset.store enable.idempotence enable.partition.eof group.id group.instance.id isolation.level max.in.flight max.in.flight.requests.per.connection message.max.bytes metadata.broker.list request.required.acks transactional.id
{{- end -}}

{{/* The rules of schemas.confidential for secrets and for URLs with a login or a token; a test compares. */}}
{{- define "scorer.plainProperties" -}}
sasl.kerberos.keytab sasl.kerberos.min.time.before.relogin sasl.kerberos.principal sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.assertion.algorithm sasl.oauthbearer.assertion.claim.aud sasl.oauthbearer.assertion.claim.exp.seconds sasl.oauthbearer.assertion.claim.iss sasl.oauthbearer.assertion.claim.jti.include sasl.oauthbearer.assertion.claim.nbf.seconds sasl.oauthbearer.assertion.claim.sub sasl.oauthbearer.client.credentials.client.id sasl.oauthbearer.client.id sasl.oauthbearer.extensions sasl.oauthbearer.grant.type sasl.oauthbearer.metadata.authentication.type sasl.oauthbearer.method sasl.oauthbearer.scope sasl.oauthbearer.sub.claim.name sasl.username ssl.ca.certificate.stores ssl.cipher.suites ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id ssl.providers ssl.sigalgs.list
{{- end -}}

{{- define "scorer.confidentialWords" -}}
pas+w|pas+ph|pas+code|pwd|secret|token|jaas|private\.?key|\.pem$|oauthbearer\.config
{{- end -}}

{{- define "scorer.pathSuffixes" -}}
\.(file|location|url)$
{{- end -}}

{{- define "scorer.urlLogin" -}}
(?i)(?:[a-z][a-z0-9+.-]{1,40}:/+|\b(?:s3a?|gc?s|https?|sftp|ssh|ftps?|abfss?|hdfs):)(?:[^/?#@]*@|[^@]*:[^@]*@)
{{- end -}}

{{- define "scorer.urlQuery" -}}
(?i)[?&;#](?:[^=&;#]*(?:token|secret|pas+w|pwd|credential|access.?key|api.?key|private.?key|signature)[^=&;#]*|(?:[^=&;#]*[^a-z=&;#])?(?:sig|auth|authorization|key|sas|code|pass|pw|jwt))=
{{- end -}}

{{- define "scorer.azureContainer" -}}
(?i)\b(abfss?|wasbs?)://([$a-z0-9-]+)@([a-z0-9-]+\.(?:dfs|blob)\.)
{{- end -}}

{{/* Whether a name is that of a secret, also if misspelt: "yes" or empty. */}}
{{- define "scorer.isSecretName" -}}
{{- $name := . | lower | replace "_" "." | replace "-" "." -}}
{{- if and (regexMatch (include "scorer.confidentialWords" .) $name) (not (regexMatch (include "scorer.pathSuffixes" .) $name)) }}yes{{ end -}}
{{- end -}}

{{/* Whether a property of librdkafka is a secret; an unknown one under sasl. or ssl. may be a misspelt secret. */}}
{{- define "scorer.isSecretProperty" -}}
{{- $name := . | lower | replace "_" "." | replace "-" "." -}}
{{- if include "scorer.isSecretName" . }}yes
{{- else if and (regexMatch "^(sasl|ssl)" $name) (not (regexMatch (include "scorer.pathSuffixes" .) $name)) (not (has $name (splitList " " (include "scorer.plainProperties" .)))) }}yes
{{- end -}}
{{- end -}}

{{/* Whether a text is a URL with a login, a token or a signature in it. */}}
{{- define "scorer.hasUrlCredentials" -}}
{{- $url := regexReplaceAll (include "scorer.azureContainer" .) . "${1}://${2}/${3}" -}}
{{- if or (regexMatch (include "scorer.urlLogin" .) $url) (and (regexMatch "(?i)[a-z][a-z0-9+.-]{1,40}:/" $url) (regexMatch (include "scorer.urlQuery" .) $url)) }}yes{{ end -}}
{{- end -}}

{{/* The protocol that the pods will use; librdkafka's default is PLAINTEXT. */}}
{{- define "scorer.protocolInForce" -}}
{{- get .Values.kafka.properties "security.protocol" | default (include "scorer.securityProtocol" .Values.kafka) | default "PLAINTEXT" | upper -}}
{{- end -}}

{{/* Values with which connections to the brokers are unencrypted or unverified; kafka.allowInsecure permits some. */}}
{{- define "scorer.transportProblems" -}}
{{- $protocol := include "scorer.protocolInForce" . -}}
{{- range $name, $value := .Values.kafka.properties }}
{{- if and (regexMatch "^(enable\\.)?ssl\\." $name) (not (has $protocol (list "SSL" "SASL_SSL"))) }}
- kafka.properties: {{ $name }} has no effect without TLS: enable kafka.tls
{{- end }}
{{- if and (regexMatch "^(enable\\.)?sasl\\." $name) (not (has $protocol (list "SASL_PLAINTEXT" "SASL_SSL"))) }}
- kafka.properties: {{ $name }} has no effect without a login: enable kafka.sasl, or set security.protocol to SASL_SSL
{{- end }}
{{- end }}
{{- with .Values.kafka }}
{{- if and (not .tls.enabled) (or .tls.ca.secretName .tls.certificate.secretName) }}
- kafka.tls.enabled: must be true with kafka.tls.ca.secretName or kafka.tls.certificate.secretName, which have no effect without it
{{- end }}
{{- if and (not .sasl.enabled) .sasl.secretName }}
- kafka.sasl.enabled: must be true with kafka.sasl.secretName, which has no effect without it
{{- end }}
{{- end }}
{{- if not .Values.kafka.allowInsecure }}
{{- if eq $protocol "SASL_PLAINTEXT" }}
- kafka.tls.enabled: a login without TLS lets others on the network read the records, and with PLAIN the password: enable kafka.tls, or allow it by kafka.allowInsecure
{{- end }}
{{- $disabled := dict "enable.ssl.certificate.verification" (list "false" "f" "0") "ssl.endpoint.identification.algorithm" (list "none") "enable.sasl.oauthbearer.unsecure.jwt" (list "true" "t" "1") -}}
{{- range $name, $value := .Values.kafka.properties }}
{{- if has (include "scorer.text" $value | lower) (get $disabled $name | default list) }}
- kafka.properties: {{ $name }} ({{ $value }}) lets others on the network pose as a broker or a client: remove it and see kafka.tls.ca, or allow it by kafka.allowInsecure
{{- end }}
{{- if and (eq $name "sasl.oauthbearer.token.endpoint.url") (hasPrefix "http:" (lower $value)) }}
- kafka.properties: {{ $name }} is not https, and others on the network can read the secret: use https, or allow it by kafka.allowInsecure
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "scorer.problems" -}}
{{- $values := .Values -}}
{{- $scaling := $values.autoscaling -}}
{{- $max := include "scorer.maxReplicas" . | int -}}
{{- if not $values.kafka.bootstrapServers }}
- kafka.bootstrapServers: required: the brokers' addresses, for example kafka.data.svc:9092
{{- end }}
{{- if and $values.kafka.sasl.enabled (not $values.kafka.sasl.secretName) }}
- kafka.sasl.secretName: required with kafka.sasl.enabled: the Secret with the user name and the password
{{- end }}
{{- range $name, $value := $values.kafka.properties }}
{{- if has $name (splitList " " (include "scorer.reservedProperties" $)) }}
- kafka.properties: {{ $name }} is set by the scorer itself; see kafka.bootstrapServers, settings and worker.staticMembership
{{- end }}
{{- if include "scorer.isSecretProperty" $name }}
- kafka.properties: {{ $name }} is a secret (or a misspelt one), and Helm stores and shows values in plain text: mount it with extraVolumes and set {{ $name }}.file to its path, or use kafka.sasl
{{- else if include "scorer.hasUrlCredentials" (toString $value) }}
- kafka.properties: {{ $name }} is a URL with a login or a token, and Helm stores and shows values in plain text: remove them
{{- end }}
{{- end }}
{{- include "scorer.transportProblems" . }}
{{- if contains "@" $values.kafka.bootstrapServers }}
- kafka.bootstrapServers: a login is not part of an address: use kafka.sasl
{{- end }}
{{- if include "scorer.hasUrlCredentials" $values.store.url }}
- store.url: is a URL with a login or a token, and Helm stores and shows values in plain text: pass credentials with extraEnvFrom, in the variables that the file system reads
{{- end }}
{{- range $values.extraEnv }}
{{- $isSecret := ternary (include "scorer.isSecretProperty" (trimPrefix "SCORER_KAFKA__" .name)) (include "scorer.isSecretName" .name) (hasPrefix "SCORER_KAFKA__" .name) }}
{{- if and (hasKey . "value") (or $isSecret (include "scorer.hasUrlCredentials" (toString .value))) }}
- extraEnv: {{ .name }} is a secret, and Helm stores and shows values in plain text: use valueFrom.secretKeyRef or extraEnvFrom
{{- end }}
{{- if regexMatch (printf "(?m)^- name: %s$" .name) (include "scorer.env" $) }}
- extraEnv: {{ .name }} is set by the chart: use kafka, settings or store
{{- end }}
{{- end }}
{{- if and $values.store.url $values.store.claim.enabled }}
- store.url and store.claim.enabled: mutually exclusive; a release has one store
{{- end }}
{{- if and $scaling.keda.enabled $scaling.cpu.enabled }}
- autoscaling.keda.enabled and autoscaling.cpu.enabled: mutually exclusive: both would set the number of workers
{{- end }}
{{- if or $scaling.keda.enabled $scaling.cpu.enabled }}
{{- if gt $max (int $values.topics.partitions) }}
- autoscaling.maxReplicas ({{ $max }}): more than topics.partitions ({{ int $values.topics.partitions }}); additional workers would be idle
{{- end }}
{{- if gt (int $scaling.minReplicas) $max }}
- autoscaling.minReplicas ({{ int $scaling.minReplicas }}): more than the maximum number of workers ({{ $max }})
{{- end }}
{{- end }}
{{- if $scaling.cpu.enabled }}
{{- if lt (int $scaling.minReplicas) 1 }}
- autoscaling.minReplicas (0): without workers there is no CPU load to scale on; only autoscaling.keda can start the first one
{{- end }}
{{- if not (dig "requests" "cpu" "" ($values.worker.resources | default dict)) }}
- worker.resources.requests.cpu: required with autoscaling.cpu.enabled, whose target is a percentage of it
{{- end }}
{{- end }}
{{- if and $values.console.enabled (not $values.console.tokenSecret.name) }}
- console.tokenSecret.name: required with console.enabled: the Secret with the token that the page asks for
{{- end }}
{{- if $values.console.ingress.enabled }}
{{- if not $values.console.enabled }}
- console.ingress.enabled: has no effect without a console: enable console.enabled
{{- end }}
{{- if not $values.console.ingress.host }}
- console.ingress.host: required with console.ingress.enabled: the host name under which browsers open the console
{{- end }}
{{- end }}
{{- end -}}
