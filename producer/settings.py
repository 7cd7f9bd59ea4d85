"""Settings of publishers. Precedence, highest first: flags, environment variables, scorer.toml, defaults.

The names are those of the scorer's settings, so that both can share a file; values of settings that only the scorer
uses are not validated here.
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
    """Brokers, topics and client properties of a publisher.

    Attributes:
        bootstrap_servers: a comma-separated list of host:port.
        applications_topic: the topic to publish applications to.
        decisions_topic: the topic to read decisions from.
        dead_letters_topic: the topic to read dead letters from.
        kafka: librdkafka properties, such as `security.protocol`; they override this package's defaults.
    """

    bootstrap_servers: str = _SERVERS
    applications_topic: str = topics.APPLICATIONS
    decisions_topic: str = topics.DECISIONS
    dead_letters_topic: str = topics.DEAD_LETTERS
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)  # it may contain passwords

    def __post_init__(self) -> None:
        """Validates the combination of settings.

        Raises:
            MisuseError: properties for TLS or SASL have no effect; the message names the fix.
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
    """Loads the settings from all sources.

    Args:
        flags: settings from the command line by name; None means not given.
        kafka: librdkafka properties from the command line.
        environment: `SCORER_BOOTSTRAP_SERVERS`, `SCORER_KAFKA__SECURITY_PROTOCOL` and so on; None uses os.environ.

    Raises:
        MisuseError: lists all problems, including unknown names, with the source of each value.
    """
    try:
        gathered = gather_settings({**(flags or {}), "kafka": kafka or {}}, environment, None)
    except TextFileError as error:
        raise MisuseError(str(error)) from None
    values = {name: str(gathered.values[name]) for name in _NAMES if name in gathered.values}
    for name in values:
        fault = _find_fault(name, gathered.values[name])
        if fault:
            gathered.problems.append(f"{name} (from {gathered.origins[name]}): {fault}")
    kafka_values = gathered.property_values()
    servers = values.get("bootstrap_servers", _SERVERS)
    problems = gathered.problems + find_transport_faults(servers, kafka_values)
    if problems:
        raise MisuseError(_explain(problems))
    return Settings(**values, kafka=kafka_values)


def _explain(problems: Sequence[str]) -> str:
    return "Invalid settings:\n" + "\n".join(f"  {problem}" for problem in problems)


def _find_fault(name: str, value: object) -> str:
    if not isinstance(value, str):
        return "must be a string"
    if name == "bootstrap_servers":
        return find_servers_fault(value) if value else "is empty: write a comma-separated list of host:port"
    return "" if _is_topic(value) else "must be a topic name: 1 to 249 letters, digits, dots, dashes and underscores"
