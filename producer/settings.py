"""Where the brokers and topics are: defaults, under scorer.toml, under the environment, under flags.

The names are those of the scorer's own settings, so that one file serves both; the values of what concerns only the
scorer are left for it to judge.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from producer.errors import MisuseError
from schemas import topics
from schemas.settings import find_servers_fault, gather_settings
from schemas.text import TextFileError
from schemas.transport import find_transport_faults

_SERVERS: Final = "localhost:9092"
_is_topic = re.compile(topics.NAME_PATTERN.removesuffix("$")).fullmatch


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

    bootstrap_servers: str = _SERVERS
    applications_topic: str = topics.APPLICATIONS
    decisions_topic: str = topics.DECISIONS
    dead_letters_topic: str = topics.DEAD_LETTERS
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # there are passwords in it

    def __post_init__(self) -> None:
        """Compares the settings with each other.

        Raises:
            MisuseError: properties for TLS or a login have no effect; the message says what to set.
        """
        faults = find_transport_faults(self.bootstrap_servers, self.kafka)
        if faults:
            raise MisuseError(_explain(faults))


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
        MisuseError: with every problem found, unknown names included, and where each value came from.
    """
    try:
        gathered = gather_settings({**(flags or {}), "kafka": kafka or {}}, environment, None)
    except TextFileError as error:
        raise MisuseError(str(error)) from None
    ours = {name: str(gathered.values[name]) for name in _NAMES if name in gathered.values}
    for name in ours:
        fault = _find_fault(name, gathered.values[name])
        if fault:
            gathered.problems.append(f"{name} (from {gathered.origins[name]}): {fault}")
    kafka_values = gathered.property_values()
    servers = ours.get("bootstrap_servers", _SERVERS)
    problems = gathered.problems + find_transport_faults(servers, kafka_values)
    if problems:
        raise MisuseError(_explain(problems))
    return Settings(**ours, kafka=kafka_values)


def _explain(problems: Sequence[str]) -> str:
    return "The settings are wrong:\n" + "\n".join(f"  {problem}" for problem in problems)


def _find_fault(name: str, value: object) -> str:
    if not isinstance(value, str):
        return "must be a text"
    if name == "bootstrap_servers":
        return find_servers_fault(value) if value else "is empty: write host:port, several by commas"
    return "" if _is_topic(value) else "must be a topic: 1 to 249 letters, digits, dots, dashes and underscores"
