"""Collects settings for the scorer and for publishers. Precedence: flags, environment, scorer.toml."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.confidential import URL_FAULT, has_url_credentials, is_secret, strip_file_suffix
from schemas.service_links import is_service_link
from schemas.text import FileMissingError, TextFileError, expand_home, find_text_fault, read_secret, read_toml

FILE_NAME: Final = "scorer.toml"
ENV_PREFIX: Final = "SCORER_"
KAFKA_ENV_PREFIX: Final = "SCORER_KAFKA__"

# All settings of all programs, which share one file and environment.
SETTING_NAMES: Final = (
    "bootstrap_servers",
    "group_id",
    "instance_id",
    "delivery",
    "batch_records_max",
    "linger_ms",
    "record_bytes_max",
    "fetch_memory_mb",
    "drain_s",
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
    "console_names",
    "console_token_file",
    "applications_topic",
    "decisions_topic",
    "dead_letters_topic",
    "deployments_topic",
)
_BOOLEANS: Final = frozenset({"require_signatures"})

_KAFKA: Final = "kafka."
_FROM_FILE: Final = ".file"
_PORT_MAX: Final = 65_535
_split_server = re.compile(r"(?:\w+://)?(?:\[[^\]]*\]|[^:]*):([^:]*)").fullmatch


@dataclass(slots=True)
class GatheredSettings:
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

    def property_values(self) -> dict[str, str]:
        """The librdkafka properties by their own names."""
        return {name.removeprefix(_KAFKA): str(v) for name, v in self.values.items() if name.startswith(_KAFKA)}

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


def gather_settings(
    flags: Mapping[str, object], environment: Mapping[str, str] | None, file: Path | None
) -> GatheredSettings:
    """Gathers the settings of all sources; the result lists the problems.

    Args:
        flags: settings from the command line by name; None values count as not given. `kafka` is a mapping.
        environment: `SCORER_GROUP_ID` for `group_id`, `SCORER_KAFKA__SASL_USERNAME` for `sasl.username` of `[kafka]`;
            the process's own if None.
        file: a TOML file; default: `scorer.toml` in the current folder, if it exists.

    Raises:
        TextFileError: the settings file cannot be read; its text is the complete message for the user.
    """
    gathered = GatheredSettings()
    gathered.add_source(_of_file(file))
    environment = os.environ if environment is None else environment
    gathered.add_source(_of_environment(environment, gathered.service_links))
    gathered.add_source((name, value, "flag") for name, value in _flatten(flags) if value is not None)
    gathered.read_secrets()
    return gathered


def find_servers_fault(servers: str) -> str:
    """What is wrong with `host:port,host:port`; "" if nothing is."""
    if "@" in servers:
        return "a login is not part of an address: use kafka.sasl.username and kafka.sasl.password.file"
    for server in servers.split(","):
        parts = _split_server(server.strip())
        if parts and not (parts[1].isascii() and parts[1].isdecimal() and 0 < int(parts[1][:6]) <= _PORT_MAX):
            return f"a port is a number from 1 to {_PORT_MAX}: write host:port, separated by commas"
    return ""


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
        close = difflib.get_close_matches(name.casefold(), [*SETTING_NAMES, "kafka"], 1, 0.8)
        return "unknown setting" + (f"; did you mean {close[0]}?" if close else "")
    elif not isinstance(value, str | int | float) or (isinstance(value, bool) and name not in _BOOLEANS):
        return "must be a text or a number"
    return "" if name.endswith(".pem") else find_text_fault(str(value))  # PEM has several lines
