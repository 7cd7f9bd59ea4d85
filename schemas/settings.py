"""Loads and validates settings, of the scorer and of publishers. Precedence: flags, environment, file, defaults."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from schemas import topics
from schemas.confidential import URL_FAULT, has_url_credentials, is_secret, strip_file_suffix
from schemas.fault_words import describe_fault
from schemas.service_links import PORT_MAX, is_service_link
from schemas.text import FileMissingError, TextFileError, expand_home, find_text_fault, read_secret, read_toml

FILE_NAME: Final = "scorer.toml"
ENV_PREFIX: Final = "SCORER_"
KAFKA_ENV_PREFIX: Final = "SCORER_KAFKA__"
MASK: Final = "********"
SERVERS_DEFAULT: Final = "localhost:9092"

# All settings of all programs, which share one file and environment.
SETTING_NAMES: Final = (
    "bootstrap_servers",
    "group_id",
    "instance_id",
    "engine",
    "delivery",
    "batch_records_max",
    "linger_ms",
    "record_bytes_max",
    "fetch_memory_mb",
    "shutdown_timeout_s",
    "broker_wait_s",
    "store",
    "trusted_keys",
    "require_signatures",
    "deployment_signatures",
    "signing_key",
    "http_host",
    "http_port",
    "log_format",
    "log_level",
    "traces",
    "console_host",
    "console_port",
    "console_allowed_hosts",
    "console_token_file",
    "console_reviewers_file",
    "console_operators_file",
    "console_review_days",
    "console_grafana_url",
    "applications_topic",
    "decisions_topic",
    "dead_letters_topic",
    "deployments_topic",
    "reviews_topic",
)
_BOOLEANS: Final = frozenset({"require_signatures"})

_KAFKA: Final = "kafka."
_FROM_FILE: Final = ".file"
_split_server = re.compile(r"(?:\w+://)?(?:\[[^\]]*\]|[^:]*):([^:]*)").fullmatch


def _require_servers(servers: str) -> str:
    if "@" in servers:
        raise ValueError("a login is not part of an address: use kafka.sasl.username and kafka.sasl.password.file")
    for server in servers.split(","):
        parts = _split_server(server.strip())
        if parts and not (parts[1].isascii() and parts[1].isdecimal() and 0 < int(parts[1][:6]) <= PORT_MAX):
            raise ValueError(f"a port is a number from 1 to {PORT_MAX}: write host:port, separated by commas")
    return servers


Servers = Annotated[str, Field(min_length=1), AfterValidator(_require_servers)]
TopicName = Annotated[str, Field(pattern=topics.NAME_PATTERN)]
Model = TypeVar("Model", bound=BaseModel)


class InvalidSettingsError(ValueError):
    """Settings are invalid; `str()` of it is the complete message for the user."""


@dataclass(frozen=True, slots=True)
class LoadedSettings(Generic[Model]):
    """The effective settings, and the source of each: `default`, a file, an environment variable or `flag`."""

    settings: Model
    origins: dict[str, str]
    service_links: tuple[str, ...]
    """Environment variables that Kubernetes set for a Service, which are not settings."""

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value (secrets masked) and origin of every setting, `[kafka]` properties after the others."""
        values = dict(self.settings)
        properties = sorted(values.pop("kafka").items())
        plain = [(name, "" if value is None else str(value), self.origins[name]) for name, value in values.items()]
        kafka = [(f"{_KAFKA}{name}", MASK if is_secret(name) else value) for name, value in properties]
        return plain + [(name, value, self.origins[name]) for name, value in kafka]


def load_settings(
    model: type[Model],
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
    owned_properties: Mapping[str, str] | None = None,
) -> LoadedSettings[Model]:
    """Loads the settings of a program from all sources.

    Args:
        model: the program's settings, with the field `kafka` for librdkafka properties. Settings of other programs in
            the same sources are neither used nor validated.
        flags: settings from the command line by name; None values count as not given. `kafka` is a mapping.
        environment: `SCORER_GROUP_ID` for `group_id`, `SCORER_KAFKA__SASL_USERNAME` for `sasl.username` of `[kafka]`;
            the process's own if None.
        file: a TOML file; default: `scorer.toml` in the current folder, if it exists.
        owned_properties: librdkafka properties that users cannot set, and what to use instead.

    Raises:
        InvalidSettingsError: the message has every problem, including unknown names, with the source of each value.
    """
    sources = _Sources()
    try:
        sources.add_source(_of_file(file))
    except TextFileError as error:
        raise InvalidSettingsError(str(error)) from None
    sources.add_source(_of_environment(os.environ if environment is None else environment, sources.service_links))
    sources.add_source((name, value, "flag") for name, value in _flatten(flags or {}) if value is not None)
    sources.read_secrets()
    origins, problems = sources.origins, sources.problems
    problems += [
        f"{_KAFKA}{name} (from {origins[_KAFKA + name]}): the worker sets this itself: {reason}"
        for name, reason in (owned_properties or {}).items()
        if _KAFKA + name in origins
    ]
    values = {name: value for name, value in sources.values.items() if name in model.model_fields}
    properties = {name.removeprefix(_KAFKA): v for name, v in sources.values.items() if name.startswith(_KAFKA)}
    try:
        settings = model.model_validate({**values, "kafka": properties})
    except ValidationError as error:
        problems += [_explain(dict(fault), origins) for fault in error.errors(include_url=False)]
    if problems:
        raise InvalidSettingsError("Invalid settings:\n" + "\n".join(f"  {problem}" for problem in problems))
    origins = {**dict.fromkeys(model.model_fields, "default"), **origins}
    return LoadedSettings(settings, origins, tuple(sources.service_links))


def _explain(fault: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "string_pattern_mismatch":  # only topics have a pattern
        message = "must have 1 to 249 letters, digits, dots, dashes and underscores"
    else:
        message = describe_fault(fault)
    return f"{name} (from {origins.get(name, 'default')}): {message}" if name else message


@dataclass(slots=True)
class _Sources:
    """The given settings, each from the source with the highest precedence; their values are not validated yet.

    Attributes:
        values: by name; librdkafka properties as `kafka.` and their own name, always as text.
        origins: the source of each: a file, an environment variable or `flag`.
        problems: the problems found so far, as lines for the user.
        service_links: environment variables that Kubernetes set for a Service, which are not settings.
    """

    values: dict[str, object] = field(default_factory=dict, repr=False)  # it contains passwords
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    service_links: list[str] = field(default_factory=list)

    def add_source(self, given: Iterable[tuple[str, object, str]]) -> None:
        """Adds the settings of a source (name, value, origin), which override those of earlier sources."""
        names: dict[str, str] = {}
        for name, value, origin in given:
            target = _target(name)
            if target in names:
                self.problems.append(f"{name} (from {origin}): is also given as {names[target]}; remove one of them")
                continue
            names[target] = name
            self._put(name, value, origin)

    def read_secrets(self) -> None:
        """Reads secrets from files: `sasl.password.file` names a file with the value of `sasl.password`."""
        for name in [name for name in self.values if _target(name) != name]:
            path, origin, target = expand_home(str(self.values.pop(name))), self.origins.pop(name), _target(name)
            try:
                secret = read_secret(path)
            except TextFileError as error:
                self.problems.append(f"{name} (from {origin}): the file {error}")
                continue
            self._put(target, secret, origin)

    def _put(self, name: str, value: object, origin: str) -> None:
        fault = _find_fault(name, value)
        if fault:
            self.problems.append(f"{name} (from {origin}): {fault}")
            return
        for other in (_target(name), _target(name) + _FROM_FILE):
            self.values.pop(other, None)
            self.origins.pop(other, None)
        if name.startswith(_KAFKA):
            value = str(value).lower() if isinstance(value, bool) else str(value)
        self.values[name] = value
        self.origins[name] = origin


def _of_file(named: Path | None) -> list[tuple[str, object, str]]:
    path = named or Path(FILE_NAME)
    try:
        return [(name, value, str(path)) for name, value in _flatten(read_toml(path))]
    except TextFileError as error:
        if named is None and isinstance(error, FileMissingError):
            return []
        hint = "" if named else " (in the current folder; `scorer --config` names another file)"
        raise TextFileError(f"{path}: the settings file {error}{hint}") from None


def _of_environment(environment: Mapping[str, str], service_links: list[str]) -> Iterator[tuple[str, object, str]]:
    for variable in sorted(environment):
        if variable.startswith(ENV_PREFIX) and is_service_link(variable, environment[variable]):
            service_links.append(variable)
        elif variable.startswith(KAFKA_ENV_PREFIX):
            name = variable.removeprefix(KAFKA_ENV_PREFIX).lower().replace("_", ".")
            yield f"{_KAFKA}{name}", environment[variable], variable
        elif variable.startswith(ENV_PREFIX):
            yield variable.removeprefix(ENV_PREFIX).lower(), environment[variable], variable


def _flatten(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """The settings by name, with the properties of the table `kafka` as dotted names."""
    for name, value in document.items():
        if name == "kafka" and isinstance(value, Mapping):
            yield from _leaves(value, _KAFKA)
        else:
            yield name, value


def _leaves(table: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    """A TOML table's values by dotted name: `sasl.password = "x"` under `[kafka]` is a table in a table to TOML."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _target(name: str) -> str:
    """The setting that a name sets: `kafka.sasl.password` for `kafka.sasl.password.file`."""
    return _KAFKA + strip_file_suffix(name.removeprefix(_KAFKA)) if name.startswith(_KAFKA) else name


def _find_fault(name: str, value: object) -> str:
    """Why a value is invalid for a setting, apart from the setting's own type; "" if it is valid."""
    if name == "kafka":
        return "is a table of librdkafka properties, not one value"
    if name.startswith(_KAFKA):
        if not isinstance(value, str | bool | int | float):
            return "must be one value: a text, a number, true or false"
        if has_url_credentials(str(value)) and not is_secret(name.removeprefix(_KAFKA)):
            return f"{URL_FAULT}: remove it"
    elif name not in SETTING_NAMES:
        return f"unknown setting{_suggest(name.casefold())}"
    elif not isinstance(value, str | int | float) or (isinstance(value, bool) and name not in _BOOLEANS):
        return "must be a text or a number"
    return "" if name.endswith(".pem") else find_text_fault(str(value))  # PEM has several lines


def _suggest(name: str) -> str:
    """A question about the setting that was probably meant; "" if none is similar."""
    close = difflib.get_close_matches(name, [*SETTING_NAMES, "kafka"], 1, 0.8)
    begun = [setting for setting in SETTING_NAMES if setting.startswith(name)]
    if not close and len(begun) == 1:
        close = begun
    return f"; did you mean {close[0]}?" if close else ""
