"""Every knob: unit, default, limits and why. Flags over the environment over scorer.toml over the defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas import topics
from schemas.confidential import STORE_LOGIN, URL_FAULT, has_url_credentials, is_secret
from schemas.settings import SETTING_NAMES, find_servers_fault, gather_settings
from schemas.text import TextFileError
from schemas.transport import find_transport_faults
from scorer.errors import SettingsError
from scorer.folders import bundles_folder
from scorer.logs import LogFormat, LogLevel

MASK: Final = "********"
# How long a worker may take from one poll to the next. A batch takes some seconds at most; librdkafka's own default of
# five minutes is how long one worker that stands still would hold up a rebalance of all others.
POLL_INTERVAL_MS: Final = 60_000

# librdkafka properties on which the guarantees rest, and the setting to use instead, if there is one.
OWNED_PROPERTIES: Final[dict[str, str]] = {
    "bootstrap.servers": "use bootstrap_servers",
    "metadata.broker.list": "use bootstrap_servers",
    "group.id": "use group_id",
    "group.instance.id": "use instance_id",
    "transactional.id": "it is made from group_id and instance_id",
    "enable.idempotence": "it is always on",
    "acks": "it is always all",
    "request.required.acks": "it is always all",
    "max.in.flight.requests.per.connection": "it is always 1",
    "max.in.flight": "it is always 1",
    "enable.auto.commit": "offsets are committed with the decisions",
    "enable.auto.offset.store": "offsets are committed with the decisions",
    "auto.offset.reset": "a group without offsets starts at the beginning, and an expired offset is an error",
    "isolation.level": "applications are always read committed",
    "enable.partition.eof": "the worker needs it",
    "delivery.report.only.error": "the worker needs it",
    "delivery.timeout.ms": "use message.timeout.ms, another name of it",
    "message.max.bytes": "the max.message.bytes of the output topics decide",
}

TopicName = Annotated[str, Field(pattern=topics.NAME_PATTERN)]


def _default_store() -> str | None:
    folder = bundles_folder()
    return None if folder is None else str(folder)


class Settings(BaseModel):
    """What a worker and its tools run with."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    bootstrap_servers: str = Field(
        default="localhost:9092", min_length=1, description="Where the brokers are: host:port, several by commas."
    )
    group_id: str = Field(
        default="scorer",
        min_length=1,
        max_length=200,
        description="The consumer group. Workers of one group share the partitions.",
    )
    instance_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="This worker's own name, kept across restarts: static membership (no rebalance on a restart) and a "
        "stable transactional id (an unfinished transaction is ended at once). Two live workers must not share one.",
    )
    delivery: Literal["exactly-once", "at-least-once"] = Field(
        default="exactly-once",
        description="exactly-once: decisions and offsets in one transaction. at-least-once: every delivery confirmed "
        "before the commit; duplicates possible after a crash, loss not.",
    )
    batch_records_max: int = Field(
        default=5_000,
        ge=1,
        le=100_000,
        description="Most records in one batch and one transaction. More gains little throughput and costs latency.",
    )
    linger_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Milliseconds to wait for a batch to fill once it has a record. 0 takes what is there.",
    )
    record_bytes_max: int = Field(
        default=65_536,
        ge=1_024,
        le=8_388_608,
        description="Longest application that is read, in bytes; a longer one is rejected as too_large.",
    )
    fetch_memory_mb: int = Field(
        default=64,
        ge=8,
        le=16_384,
        description="Memory for records that are fetched and not yet processed, in MB after decompression, for records "
        "that compress up to 100 to 1, from each broker; a worker takes about 200 MB besides.",
    )
    drain_s: float = Field(
        default=25.0,
        gt=0,
        le=3_600,
        description="Seconds that a worker has to finish its batch after SIGTERM; below the supervisor's grace period.",
    )
    broker_wait_s: float = Field(
        default=15.0,
        gt=0,
        le=86_400,
        description="Seconds to wait at start for a broker that answers. A supervisor that waits longer and longer "
        "between restarts, such as Kubernetes, is better served by minutes: the worker then starts as soon as the "
        "brokers are back.",
    )
    store: str | None = Field(
        default_factory=_default_store,
        min_length=1,
        description="Where bundles live: a folder, or a URL such as s3://bucket/bundles (extras s3 and gcs). A user "
        "without a home folder has no default, and needs none to decide with a bundle that is shipped.",
    )
    trusted_keys: str | None = Field(
        default=None,
        min_length=1,
        description="The file of the keys whose signatures count, as `scorer trust add` writes it.",
    )
    require_signatures: bool = Field(
        default=False,
        description="Whether only bundles and deployments count that a trusted key has signed; needs trusted_keys.",
    )
    deployment_signatures: int = Field(
        default=1,
        ge=1,
        le=2,
        description="How many different keys must have signed a deployment; 2 is dual control: one proposes, another "
        "approves.",
    )
    signing_key: str | None = Field(
        default=None,
        min_length=1,
        description="The file of the private key with which commands sign what they deploy.",
    )
    http_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of /metrics, /healthz and /readyz, IPv4 or IPv6; 0.0.0.0 or :: for all.",
    )
    http_port: int = Field(default=9464, ge=0, le=65_535, description="Its port; 0 takes a free one, printed at start.")
    log_format: LogFormat = Field(
        default="auto", description="Lines of the log on stderr: json, text, or auto: text on a terminal, else json."
    )
    log_level: LogLevel = Field(
        default="info",
        description="What is logged: debug (a line a batch), info, warning, error. Other libraries: warnings and up.",
    )
    traces: Literal["off", "otlp"] = Field(
        default="off",
        description="otlp makes a span a batch and sends it by OTLP over HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT "
        "says (extra otel).",
    )
    console_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address of the console. Any but this machine's own (127.0.0.1, ::1) needs console_token_file.",
    )
    console_port: int = Field(
        default=8765, ge=0, le=65_535, description="Its port; 0 takes a free one, printed at start."
    )
    console_names: str = Field(
        default="",
        description="Host names, by commas, under which browsers may ask for the console; IP addresses and localhost "
        "always may. Any other name can be an attack (DNS rebinding) and is refused.",
    )
    console_token_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file with the token that opens the console: 16 characters or more, spaces around it ignored.",
    )
    applications_topic: TopicName = Field(default=topics.APPLICATIONS, description="Where applications come from.")
    decisions_topic: TopicName = Field(default=topics.DECISIONS, description="Where decisions go.")
    dead_letters_topic: TopicName = Field(default=topics.DEAD_LETTERS, description="Where rejected records go.")
    deployments_topic: TopicName = Field(default=topics.DEPLOYMENTS, description="The history of deployments.")
    kafka: dict[str, str] = Field(
        default_factory=dict,
        repr=False,  # there are passwords in it
        description="Any librdkafka property, such as security.protocol; see its CONFIGURATION.md.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        problems = []
        fault = find_servers_fault(self.bootstrap_servers)
        if fault:
            problems.append(f"bootstrap_servers: {fault}")
        names = [self.applications_topic, self.decisions_topic, self.dead_letters_topic, self.deployments_topic]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            problems.append(f"the four topics must differ: {', '.join(repeated)} stands more than once")
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
                "or the group takes the worker for dead while it waits"
            )
        problems += find_transport_faults(self.bootstrap_servers, self.kafka)
        if self.store is not None and has_url_credentials(self.store):
            problems.append(f"store {URL_FAULT}: {STORE_LOGIN}")
        if self.require_signatures and self.trusted_keys is None:
            problems.append("require_signatures needs trusted_keys, the file of the keys that are trusted")
        if problems:
            raise ValueError("; ".join(problems))
        return self


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """The settings in force, and where each came from: `default`, a file, an environment variable or `flag`."""

    settings: Settings
    origins: dict[str, str]
    service_links: tuple[str, ...]
    """Environment variables that Kubernetes set for a Service, and that are not settings."""

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value (secrets masked) and origin of every setting, `[kafka]` properties after the others."""
        plain = [
            (name, "" if (value := getattr(self.settings, name)) is None else str(value), self.origins[name])
            for name in Settings.model_fields
            if name != "kafka"
        ]
        kafka = [
            (f"kafka.{name}", MASK if is_secret(name) else value, self.origins[f"kafka.{name}"])
            for name, value in sorted(self.settings.kafka.items())
        ]
        return plain + kafka


def load_settings(
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> LoadedSettings:
    """Puts the settings together.

    Args:
        flags: settings given on the command line by name; None values are as if not given. `kafka` is a mapping.
        environment: `SCORER_GROUP_ID` for `group_id`, `SCORER_KAFKA__SASL_USERNAME` for `sasl.username` of `[kafka]`.
        file: a TOML file; without it `scorer.toml` in the current folder, if there is one.

    Raises:
        SettingsError: with every problem found, unknown names included, and where each value came from.
    """
    try:
        gathered = gather_settings(flags or {}, environment, file)
    except TextFileError as error:
        raise SettingsError(str(error)) from None
    problems = gathered.problems
    for name in gathered.property_values():
        if name in OWNED_PROPERTIES:
            origin = gathered.origins[f"kafka.{name}"]
            problems.append(f"kafka.{name} (from {origin}): the worker sets this itself: {OWNED_PROPERTIES[name]}")
    plain = {name: value for name, value in gathered.values.items() if name in SETTING_NAMES}
    try:
        settings = Settings.model_validate({**plain, "kafka": gathered.property_values()})
    except ValidationError as error:
        problems += [_explain(dict(fault), gathered.origins) for fault in error.errors(include_url=False)]
    if problems:
        raise SettingsError("The settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems))
    defaults = dict.fromkeys(SETTING_NAMES, "default")
    return LoadedSettings(settings, {**defaults, **gathered.origins}, tuple(gathered.service_links))


def _explain(fault: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"{name} (from {origins.get(name, 'default')}): {message}" if name else message
