"""Where the brokers and topics are: defaults, under scorer.toml, under the environment, under flags.

The names are those of the scorer's own settings, so that one file serves both; what concerns only the scorer is left
for it to judge.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from producer.errors import MisuseError
from schemas import topics
from schemas.service_links import is_service_link
from schemas.text import FileMissingError, TextFileError, find_text_fault, read_secret, read_toml

FILE_NAME: Final = "scorer.toml"
_ENVIRONMENT: Final = "SCORER_"
_KAFKA: Final = "kafka."
_FROM_FILE: Final = ".file"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a publisher sends to and reads from.

    Attributes:
        bootstrap_servers: host:port, several by commas.
        applications_topic: where applications go.
        decisions_topic: where decisions come from.
        dead_letters_topic: where rejected applications come from.
        kafka: any librdkafka property, such as `security.protocol`; they go over what this package sets itself.
    """

    bootstrap_servers: str = "localhost:9092"
    applications_topic: str = topics.APPLICATIONS
    decisions_topic: str = topics.DECISIONS
    dead_letters_topic: str = topics.DEAD_LETTERS
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # there are passwords in it


_NAMES: Final = ("bootstrap_servers", "applications_topic", "decisions_topic", "dead_letters_topic")


def load_settings(
    flags: Mapping[str, str | None] | None = None,
    kafka: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Puts the settings together.

    Args:
        flags: settings given on the command line by name; None is as if not given.
        kafka: librdkafka properties given on the command line.
        environment: `SCORER_BOOTSTRAP_SERVERS`, `SCORER_KAFKA__SECURITY_PROTOCOL` and so on; the process's own if None.

    Raises:
        MisuseError: scorer.toml, or a file that holds a property's value, cannot be read.
    """
    given = {**_read_file(), **_read_environment(os.environ if environment is None else environment)}
    given.update({name: value for name, value in (flags or {}).items() if value is not None})
    given.update({_KAFKA + name: value for name, value in (kafka or {}).items()})
    for name, value in given.items():
        fault = "" if name.endswith(".pem") else find_text_fault(value)
        if fault:
            raise MisuseError(f"{name} {fault}")
    properties = dict(_read_property(n.removeprefix(_KAFKA), v) for n, v in given.items() if n.startswith(_KAFKA))
    return Settings(**{name: given[name] for name in _NAMES if name in given}, kafka=properties)


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for variable, value in environment.items():
        name = variable.removeprefix(_ENVIRONMENT).lower()
        if variable.startswith(_ENVIRONMENT) and not is_service_link(variable, value):
            found[_KAFKA + name[7:].replace("_", ".") if name.startswith("kafka__") else name] = value
    return found


def _read_file() -> dict[str, str]:
    path = Path(FILE_NAME)
    try:
        return dict(_leaves(read_toml(path)))
    except FileMissingError:
        return {}
    except TextFileError as error:
        raise MisuseError(f"{path}: the settings file {error}") from None


def _leaves(table: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """A TOML table's values by dotted name: `sasl.username = "x"` under `[kafka]` is a table in a table to TOML."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(value).lower() if isinstance(value, bool) else str(value)


def _read_property(name: str, value: str) -> tuple[str, str]:
    """`sasl.password.file` names a file that holds `sasl.password`, so that no secret need stand in the settings."""
    if not name.endswith(_FROM_FILE):
        return name, value
    try:
        return name.removesuffix(_FROM_FILE), read_secret(Path(value))
    except TextFileError as error:
        raise MisuseError(f"{_KAFKA}{name}: the file that it names {error}") from None
