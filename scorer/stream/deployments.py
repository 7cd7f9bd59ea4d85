"""The history of deployments: read, folded to what runs now, and added to by one operator at a time."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from scorer.bundle.manifest import explain
from scorer.errors import BrokerError, DeploymentError
from scorer.logs import HISTORY_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.faults import must_stop
from scorer.stream.operators import WRITE_S, explain_refusals, open_writer
from scorer.stream.reaching import ask
from scorer.stream.reading import ANSWER_S, connect_beside
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable

# The whole history, even of years, is a few hundred lines; a broker that has not given them by then is not there.
_READ_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Line:
    """A record of the history: an event, or why it is none and counts for nothing."""

    offset: int
    event: DeploymentEvent | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """What the history comes to: by slot, the bundle in it last, before it the ones that a rollback goes back to."""

    bundles: Mapping[Slot, tuple[BundleReference, ...]]
    last: Mapping[Slot, DeploymentEvent]
    """The event that put it there."""

    def current(self, slot: Slot) -> BundleReference | None:
        """What is in the slot; None if the history put nothing there."""
        return next(reversed(self.bundles.get(slot, ())), None)

    def before(self, slot: Slot) -> BundleReference | None:
        """What a rollback puts back; None if there is nothing."""
        found = self.bundles.get(slot, ())
        return found[-2] if len(found) > 1 else None


def fold(lines: Iterable[Line]) -> State:
    """What runs after all these events.

    A deployment goes on top of what was there, and a rollback takes away all that is above what it goes back to: two
    rollbacks in a row go back two bundles, not there and back again.
    """
    bundles: dict[Slot, tuple[BundleReference, ...]] = {}
    last: dict[Slot, DeploymentEvent] = {}
    for event in (line.event for line in lines if line.event is not None):
        there = bundles.get(event.slot, ())
        if not there and event.previous is not None:
            there = (event.previous,)  # what decided before the history began
        if event.bundle is None:
            there = ()
        elif event.action == "deploy":
            there = (*there, event.bundle)
        elif event.bundle in there:
            there = there[: len(there) - there[::-1].index(event.bundle)]
        else:
            there = (*there[:-1], event.bundle)
        bundles[event.slot], last[event.slot] = there, event
    return State(bundles, last)


def parse_line(offset: int, value: bytes | None) -> Line:
    """Reads a record of the history; what is no event has its fault said, without any of its values."""
    if not value:
        return Line(offset, None, "it is empty")
    try:
        event = DeploymentEvent.model_validate_json(value)
    except ValidationError as error:
        return Line(offset, None, explain(error))
    if (event.bundle is None) != (event.action == "retire"):
        return Line(offset, None, "bundle: a deploy or a rollback names one, a retire does not")
    if event.action == "retire" and event.slot == "champion":
        return Line(offset, None, "slot: the champion is replaced, never retired; somebody has to decide")
    try:
        event.at.astimezone(UTC)
    except OverflowError:
        return Line(offset, None, "at: no such moment in UTC")
    return Line(offset, event)


class HistoryReader:
    """A reader of the history from its first event on; it is in no group and commits nothing."""

    def __init__(self, settings: Settings) -> None:
        """Begins at the beginning.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._topic = settings.deployments_topic
        options = {"auto.offset.reset": "error", "fetch.wait.max.ms": "50"}
        self._consumer, _ = connect_beside(settings, self._topic, options, ANSWER_S)
        history = TopicPartition(self._topic, 0)
        try:
            # An offset, because librdkafka gives up the beginning where the leader does not know a new topic yet.
            history.offset, _ = ask(lambda: self._consumer.get_watermark_offsets(history, timeout=ANSWER_S), ANSWER_S)
        except KafkaException as failure:
            self._consumer.close()
            raise self._unreadable(failure.args[0]) from failure
        self._consumer.assign([history])

    def to_the_end(self) -> list[Line]:
        """All lines from where it stands to where the topic ends now.

        Raises:
            BrokerError: the end does not come.
        """
        lines: list[Line] = []
        ends_at = time.monotonic() + _READ_S
        while time.monotonic() < ends_at:
            found, at_the_end = self._take(0.5)
            lines += found
            if at_the_end:
                return lines
        raise BrokerError(f"the history in topic {self._topic} could not be read to its end within {_READ_S:g} s")

    def next(self, wait_s: float) -> list[Line]:
        """What was added since, after a moment's wait."""
        return self._take(wait_s)[0]

    def close(self) -> None:
        """Leaves nothing behind."""
        self._consumer.close()

    def _take(self, wait_s: float) -> tuple[list[Line], bool]:
        lines, at_the_end = [], False
        for message in self._consumer.consume(100, wait_s):
            error = message.error()
            if error is None:
                lines.append(parse_line(message.offset() or 0, message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                at_the_end = True
            elif error.code() in UNREADABLE_CODES:
                offset = message.offset() or 0
                lines.append(Line(offset, None, f"its batch cannot be read: {error.str()}"))
                end = end_of_unreadable(self._settings, self._topic, 0, offset)
                self._consumer.assign([TopicPartition(self._topic, 0, end)])  # without what was fetched behind it
                return lines, False
            elif must_stop(error):
                raise self._unreadable(error)
            else:
                log(HISTORY_UNREADABLE, topic=self._topic, error=error.str())
        return lines, at_the_end

    def _unreadable(self, error: KafkaError) -> BrokerError:
        return BrokerError(f"the history in topic {self._topic} cannot be read: {error.str()}")


def read_history(settings: Settings) -> list[Line]:
    """All lines of the history, oldest first.

    Raises:
        SettingsError, TopicsError, BrokerError: it cannot be read.
    """
    with closing(HistoryReader(settings)) as reader:
        return reader.to_the_end()


def add_event(settings: Settings, decide: Callable[[State], DeploymentEvent]) -> DeploymentEvent:
    """Adds an event to the history that was decided on knowing all of it.

    All operators write with one transactional id: whoever comes later fences whoever is not done, so that between the
    reading and the writing nobody else's event can come in.

    Args:
        settings: where the history is.
        decide: given what runs now, the event; what it raises leaves the history as it was.

    Returns:
        The event.

    Raises:
        DeploymentError: another operator was quicker; nothing was written.
        SettingsError, TopicsError, BrokerError: the history cannot be read or written.
    """
    topic = settings.deployments_topic
    producer = open_writer(settings, f"{topic}-writer")
    overtaken = DeploymentError(
        "somebody else changed the deployments at the same moment, and nothing of yours was written: see "
        "`scorer history`, and try again if you still want to"
    )
    with explain_refusals(settings, overtaken, lambda why: f"the history in topic {topic} could not be written: {why}"):
        producer.init_transactions(WRITE_S)
        event = decide(fold(read_history(settings)))
        producer.begin_transaction()
        producer.produce(topic, value=event.model_dump_json().encode(), key=event.slot.encode(), partition=0)
        producer.commit_transaction(WRITE_S)
    return event
