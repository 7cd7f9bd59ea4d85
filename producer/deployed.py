"""Finds the contract that applications must satisfy: that of a file, or of the newest deployment on Kafka."""

from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from producer.errors import BrokerUnreachableError, MisuseError, PublisherError, TopicMissingError
from producer.files import read_contract
from producer.settings import Settings
from producer.tail import TopicTail
from schemas.contract import Contract
from schemas.contracts import shipped_contract
from schemas.deployment import DeploymentEvent, find_event_fault

# The history of years is a few hundred records. A publisher that waits for its contract sends nothing.
_READ_S: Final = 5.0
# How long the broker waits for more records before the end of the topic is reported.
_FETCH_WAIT_MS: Final = 50


class KnownContract(NamedTuple):
    """A contract, and whether it is certain.

    Attributes:
        contract: the contract; the shipped one if the deployed one is not known.
        error: why the deployed one is not known; None if it is.
    """

    contract: Contract
    error: PublisherError | None = None

    @property
    def note(self) -> str:
        """Which contract is used instead of the deployed one, and why; "" if the deployed one is known."""
        return f"the deployed contract is not known, {self.contract} is used: {self.error}" if self.error else ""

    def require_broker(self) -> None:
        """Raises the error if no broker responds: a publisher needs one anyway.

        Raises:
            BrokerUnreachableError: no broker responds.
        """
        if isinstance(self.error, BrokerUnreachableError):
            raise self.error


def find_contract(file: Path | None, settings: Settings) -> KnownContract:
    """Reads a contract file, or the deployed contract without one.

    Raises:
        MisuseError: the file cannot be read, or is not a contract; or librdkafka rejects a property.
    """
    return find_deployed_contract(settings) if file is None else KnownContract(read_contract(file))


def find_deployed_contract(settings: Settings) -> KnownContract:
    """Reads the champion's contract from the deployment history; before any deployment it is the shipped one.

    Events are checked as workers check them, except for signatures: a publisher has no trusted keys. The worst that a
    forged event does is that valid applications are not sent, or invalid ones become dead letters.

    Raises:
        MisuseError: librdkafka rejects a property.
    """
    try:
        return KnownContract(_read_newest(settings) or shipped_contract())
    except MisuseError:
        raise
    except TopicMissingError as error:
        # A broker also reports a topic as missing to users without a right to it. Without authentication nobody is.
        is_open = settings.kafka.get("security.protocol", "PLAINTEXT").upper() == "PLAINTEXT"
        return KnownContract(shipped_contract(), None if is_open else error)
    except PublisherError as error:
        return KnownContract(shipped_contract(), error)


def _read_newest(settings: Settings) -> Contract | None:
    """Reads the history to its end, and returns the contract of the newest champion; None without one.

    Raises:
        PublisherError: the history cannot be read, or none of its records is a deployment.
    """
    topic = settings.deployments_topic
    properties = {"fetch.wait.max.ms": str(_FETCH_WAIT_MS), **settings.kafka}
    champion, ignored = None, 0
    with TopicTail(
        settings.model_copy(update={"kafka": properties}),
        [topic],
        from_beginning=True,
        skip=lambda _: None,
        until_end=True,
    ) as tail:
        for message in tail.read_to_end(_READ_S):
            event = _parse_event(message.value())
            ignored += event is None
            if event is not None and event.slot == "champion":
                champion = event
    if champion is None and ignored:
        raise PublisherError(f"the topic {topic} has no deployment, but {ignored} records that are not deployments")
    return champion.parse_contract() if champion else None


def _parse_event(value: bytes | None) -> DeploymentEvent | None:
    """A record of the history as an event; None if workers ignore it."""
    value = value or b""
    try:
        event = DeploymentEvent.model_validate_json(value)
    except ValidationError:
        return None
    return None if find_event_fault(event, value) else event
