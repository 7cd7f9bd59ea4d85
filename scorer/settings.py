"""The settings: units, defaults, limits and reasons. Precedence: flags, environment, scorer.toml, defaults."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

import schemas.settings
from schemas import topics
from schemas.confidential import STORE_LOGIN, URL_FAULT, has_url_credentials
from schemas.service_links import PORT_MAX
from schemas.settings import SERVERS_DEFAULT, InvalidSettingsError, LoadedSettings, Servers, TopicName
from schemas.transport import find_transport_faults
from scorer.errors import SettingsError
from scorer.folders import bundles_folder
from scorer.logs import LogFormat, LogLevel

# Maximum time of a worker from one poll to the next. A batch takes some seconds at most; with librdkafka's default of
# five minutes, one worker that hangs would delay a rebalance of all others for that long.
POLL_INTERVAL_MS: Final = 60_000
BATCH_RECORDS_DEFAULT: Final = 20_000
_is_web_address = re.compile(r"https?://[^\s/?#]+([/?#]\S*)?").fullmatch

# librdkafka properties that the guarantees depend on, and what to use instead, if possible.
RESERVED_PROPERTIES: Final[dict[str, str]] = {
    "bootstrap.servers": "use bootstrap_servers",
    "metadata.broker.list": "use bootstrap_servers",
    "group.id": "use group_id",
    "group.instance.id": "use instance_id",
    "transactional.id": "it is derived from group_id and instance_id",
    "enable.idempotence": "it is always on",
    "acks": "it is always all",
    "request.required.acks": "it is always all",
    "max.in.flight.requests.per.connection": "it is always 1",
    "max.in.flight": "it is always 1",
    "enable.auto.commit": "offsets are committed with the decisions",
    "enable.auto.offset.store": "offsets are committed with the decisions",
    "auto.offset.reset": "a group without offsets starts at the beginning, and an expired offset is an error",
    "isolation.level": "applications are always read committed",
    "enable.partition.eof": "the worker depends on it",
    "delivery.report.only.error": "the worker depends on it",
    "delivery.timeout.ms": "use message.timeout.ms, its alias",
    "message.max.bytes": "max.message.bytes of the output topics applies",
}


EngineSetting = Literal["auto", "compiled", "python"]


def _default_store() -> str | None:
    folder = bundles_folder()
    return None if folder is None else str(folder)


class Settings(BaseModel):
    """The settings of workers and commands."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: Servers = Field(
        default=SERVERS_DEFAULT, description="Kafka brokers: a comma-separated list of host:port."
    )
    group_id: str = Field(
        default="scorer",
        min_length=1,
        max_length=200,
        description="Consumer group. Workers of one group share the partitions.",
    )
    instance_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Unique name of this worker, kept across restarts: static membership (no rebalance on a restart) "
        "and a stable transactional id (an unfinished transaction is aborted at once). Two running workers must not "
        "share one.",
    )
    engine: EngineSetting = Field(
        default="auto",
        description="Engine that decides; both give the same bytes. auto: the compiled engine, if it is installed and "
        "passes a comparison with the Python engine when a bundle is loaded; otherwise the Python engine. compiled: as "
        "auto, but it is an error if the compiled engine is not installed. python: the Python engine.",
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        default="exactly-once",
        description="exactly-once: results and offsets commit in one transaction. at-least-once: results are "
        "acknowledged before offsets are committed; a crash can duplicate results but never lose them.",
    )
    batch_records_max: int = Field(
        default=BATCH_RECORDS_DEFAULT,
        ge=1,
        le=100_000,
        description="Maximum number of records per batch and transaction. A batch has the records that are available, "
        "at most 5,000; while there is a backlog, batches grow from there to this maximum, unless their values exceed "
        "an eighth of fetch_memory_mb, or they take longer than a second.",
    )
    linger_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Milliseconds to wait for a batch to fill once it has a record; 0 does not wait.",
    )
    record_bytes_max: int = Field(
        default=topics.RECORD_BYTES_DEFAULT,
        ge=1_024,
        le=topics.RECORD_BYTES_MAX,
        description="Maximum size of an application in bytes; a larger one is rejected as too_large.",
    )
    fetch_memory_mb: int = Field(
        default=64,
        ge=8,
        le=16_384,
        description="Memory per broker for records that are fetched but not yet processed, in MB after decompression "
        "(up to 100 to 1); a worker needs about 250 MB in addition.",
    )
    shutdown_timeout_s: float = Field(
        default=25.0,
        gt=0,
        le=3_600,
        description="Seconds to finish the current batch after SIGTERM; must be below the supervisor's grace period.",
    )
    broker_wait_s: float = Field(
        default=15.0,
        gt=0,
        le=86_400,
        description="Seconds to wait for a broker at start. With a supervisor that backs off between restarts, such as "
        "Kubernetes, use minutes: the worker then starts as soon as the brokers are back.",
    )
    store: str | None = Field(
        default_factory=_default_store,
        min_length=1,
        description="Bundle store: a folder, or a URL such as s3://bucket/bundles (extras s3 and gcs). Users "
        "without a home folder have no default; shipped bundles need no store.",
    )
    trusted_keys: str | None = Field(
        default=None,
        min_length=1,
        description="File of trusted public keys, written by `scorer trust add`.",
    )
    require_signatures: bool = Field(
        default=False,
        description="Accept only bundles and deployments signed by a trusted key; requires trusted_keys.",
    )
    deployment_signatures: int = Field(
        default=1,
        ge=1,
        le=2,
        description="Number of different keys that must sign a deployment; 2 is dual control: one person proposes, "
        "another approves.",
    )
    signing_key: str | None = Field(
        default=None,
        min_length=1,
        description="File of the private key with which commands sign deployments.",
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to bind for /metrics, /healthz and /readyz, IPv4 or IPv6; 0.0.0.0 or :: for all.",
    )
    http_port: int = Field(
        default=9464, ge=0, le=PORT_MAX, description="Port; 0 chooses a free one, which is logged at start."
    )
    log_format: LogFormat = Field(
        default="auto", description="Log format on stderr: json, text, or auto (text on a terminal, otherwise json)."
    )
    log_level: LogLevel = Field(
        default="info",
        description="Log level: debug (one line per batch), info, warning or error. Other libraries log from warning "
        "on.",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="otlp exports one span per batch with OTLP over HTTP to OTEL_EXPORTER_OTLP_ENDPOINT (extra otel).",
    )
    console_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to bind for the console. Any other than loopback (127.0.0.1, ::1) requires "
        "console_token_file, console_reviewers_file or console_operators_file.",
    )
    console_port: int = Field(
        default=8765, ge=0, le=PORT_MAX, description="Port; 0 chooses a free one, which is logged at start."
    )
    console_allowed_hosts: str = Field(
        default="",
        description="Comma-separated host names at which browsers may open the console; IP addresses and localhost are "
        "always allowed. Other names are rejected (protection against DNS rebinding).",
    )
    console_token_file: str | None = Field(
        default=None,
        min_length=1,
        description="File with the console's token: at least 16 characters; surrounding white space is ignored.",
    )
    console_reviewers_file: str | None = Field(
        default=None,
        min_length=1,
        description="File with the reviewers of MAYBE decisions: a name, a space and a token per line. Without it, "
        "reviews are off; with it, the console requires a login.",
    )
    console_operators_file: str | None = Field(
        default=None,
        min_length=1,
        description="File with those who may requeue dead letters in the console, as console_reviewers_file.",
    )
    console_review_days: int = Field(
        default=90,
        ge=1,
        le=775,
        description="Age in days of the oldest decisions in the review queue. The console reads the decisions of this "
        "time when it starts.",
    )
    console_grafana_url: str | None = Field(
        default=None,
        min_length=1,
        description="URL of Grafana (https:// or http://), to which the console's overview links.",
    )
    applications_topic: TopicName = Field(default=topics.APPLICATIONS, description="Input topic: applications.")
    decisions_topic: TopicName = Field(default=topics.DECISIONS, description="Output topic: decisions.")
    dead_letters_topic: TopicName = Field(
        default=topics.DEAD_LETTERS, description="Output topic: rejected records (dead letters)."
    )
    deployments_topic: TopicName = Field(default=topics.DEPLOYMENTS, description="Topic of the deployment history.")
    reviews_topic: TopicName = Field(default=topics.REVIEWS, description="Topic of the reviews of MAYBE decisions.")
    kafka: dict[str, str] = Field(
        default_factory=dict,
        repr=False,  # it contains passwords
        description="Any librdkafka property, such as security.protocol; see its CONFIGURATION.md.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = list(_find_repeated_topics(self))
        if not self.kafka.get("batch.size", "1").isdecimal():
            problems.append(f"kafka.batch.size ({self.kafka['batch.size']}) must be a number of bytes")
        problems += [
            f"kafka.{name} ({self.kafka[name]}) must be a number of milliseconds"
            for name in ("transaction.timeout.ms", "message.timeout.ms")
            if not self.kafka.get(name, "0").isdecimal()
        ]
        interval = self.kafka.get("max.poll.interval.ms", str(POLL_INTERVAL_MS))
        if not interval.isdecimal() or int(interval) <= self.linger_ms:
            problems.append(
                f"linger_ms ({self.linger_ms}) must be less than kafka.max.poll.interval.ms ({interval}), "
                "or the group would remove the worker while it waits"
            )
        problems += find_transport_faults(self.bootstrap_servers, self.kafka)
        if self.store is not None and has_url_credentials(self.store):
            problems.append(f"store {URL_FAULT}: {STORE_LOGIN}")
        problems += _find_link_faults(self)
        if self.require_signatures and self.trusted_keys is None:
            problems.append("require_signatures requires trusted_keys, the file of trusted public keys")
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _find_repeated_topics(settings: Settings) -> Iterator[str]:
    names = [
        settings.applications_topic,
        settings.decisions_topic,
        settings.dead_letters_topic,
        settings.deployments_topic,
        settings.reviews_topic,
    ]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        yield f"the topics must differ: {', '.join(repeated)} is used more than once"


def _find_link_faults(settings: Settings) -> Iterator[str]:
    """Yields what is wrong with the URL that the console links to: every user sees it, and browsers open it."""
    url = settings.console_grafana_url
    if url is not None and not _is_web_address(url):
        yield "console_grafana_url must begin with https:// or http:// and a host"
    elif url is not None and has_url_credentials(url):
        yield f"console_grafana_url {URL_FAULT}"


def load_settings(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> LoadedSettings[Settings]:
    """Loads the settings from all sources: `schemas.settings.load_settings` describes the arguments.

    Raises:
        SettingsError: the message has every problem, including unknown names, with the source of each value.
    """
    try:
        return schemas.settings.load_settings(Settings, flags, environment, file, RESERVED_PROPERTIES)
    except InvalidSettingsError as error:
        raise SettingsError(str(error)) from None
