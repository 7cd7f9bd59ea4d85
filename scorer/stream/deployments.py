"""The history of deployments: read, folded to what runs now, and added to by one operator at a time."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from pydantic import ValidationError

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot
from schemas.records import read_headers
from schemas.rights import Operation, to_topic
from scorer.bundle.manifest import explain
from scorer.bundle.signing import Signature, event_statement
from scorer.errors import BrokerError, DeploymentError, SettingsError
from scorer.logs import HISTORY_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.approvals import SIGNATURE_HEADER, Approvals
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.line import Line
from scorer.stream.operators import WRITE_S, explain_refusals, open_writer
from scorer.stream.reaching import ask
from scorer.stream.reading import ANSWER_S, connect_beside
from scorer.stream.rights import deployments_writer, to_own_group, to_transactions
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable

# The whole history, even of years, is a few hundred lines; a broker that has not given them by then is not there.
_READ_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class State:
    """What the history comes to: by slot, the bundle in it last, before it the ones that a rollback goes back to."""

    bundles: Mapping[Slot, tuple[BundleReference, ...]]
    last: Mapping[Slot, DeploymentEvent]
    """The event that put it there."""
    signers: Mapping[Slot, tuple[str, ...]] = field(default_factory=dict)
    """The names of the trusted keys that have signed that event."""

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
    signers: dict[Slot, tuple[str, ...]] = {}
    for line in lines:
        event = line.event
        if event is None:
            continue
        there = bundles.get(event.slot, ())
        if not there and event.previous is not None:
            there = (event.previous,)  # what decided before the history began
        if event.bundle is None:
            there = ()
        elif event.action == "deploy":
            if event.bundle not in there[-1:]:  # else it was signed again
                there = (*there, event.bundle)
        elif event.bundle in there:
            there = there[: len(there) - there[::-1].index(event.bundle)]
        else:
            there = (*there[:-1], event.bundle)
        bundles[event.slot], last[event.slot], signers[event.slot] = there, event, line.signers
    return State(bundles, last, signers)


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

    def __init__(self, settings: Settings, group_operation: Operation = Operation.DESCRIBE) -> None:
        """Begins at the beginning.

        Args:
            settings: where the history is.
            group_operation: what the reader wants of its group besides, for the message if that right is missing.

        Raises:
            SettingsError: a librdkafka property is wrong.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._topic = settings.deployments_topic
        self._needed = to_topic(Operation.READ, self._topic), to_own_group(settings, group_operation)
        options = {"auto.offset.reset": "error", "fetch.wait.max.ms": "50"}
        self._consumer, _ = connect_beside(settings, self._topic, options, ANSWER_S)
        try:
            # An offset, because librdkafka gives up the beginning where the leader does not know a new topic yet.
            first, _ = ask(
                lambda: self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=ANSWER_S), ANSWER_S
            )
            self.cluster_id = str(
                ask(lambda: self._consumer.list_topics(self._topic, timeout=ANSWER_S), ANSWER_S).cluster_id
            )
            self.approvals = Approvals(settings, self.cluster_id)
        except KafkaException as failure:
            self._consumer.close()
            raise self._unreadable(failure.args[0]) from failure
        except SettingsError:
            self._consumer.close()
            raise
        self._first = TopicPartition(self._topic, 0, first)
        self._consumer.assign([self._first])

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

    def begin_again(self) -> bool:
        """Whether other keys are trusted now; if so, it stands at the first line again."""
        changed = self.approvals.begin_again()
        if changed:
            self._consumer.assign([self._first])
        return changed

    def close(self) -> None:
        """Leaves nothing behind."""
        self._consumer.close()

    def _take(self, wait_s: float) -> tuple[list[Line], bool]:
        lines, at_the_end = [], False
        for message in self._consumer.consume(100, wait_s):
            error = message.error()
            if error is None:
                value = message.value()
                line = parse_line(message.offset() or 0, value)
                signatures = [
                    text.decode(errors="replace")
                    for name, text in read_headers(message) or ()
                    if name == SIGNATURE_HEADER and text
                ]
                lines.append(self.approvals.judge(line, value, signatures))
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
        explained = with_hint(error, self._settings, *self._needed)
        return BrokerError(f"the history in topic {self._topic} cannot be read: {explained}")


def read_history(settings: Settings) -> list[Line]:
    """All lines of the history, oldest first.

    Raises:
        SettingsError, TopicsError, BrokerError: it cannot be read.
    """
    with closing(HistoryReader(settings)) as reader:
        return reader.to_the_end()


def add_event(
    settings: Settings,
    decide: Callable[[State], DeploymentEvent],
    sign: Callable[[bytes], Iterable[str | Signature]] = lambda _: (),
) -> DeploymentEvent:
    """Adds an event to the history that was decided on knowing all of it.

    All operators write with one transactional id: whoever comes later fences whoever is not done, so that between the
    reading and the writing nobody else's event can come in.

    Args:
        settings: where the history is.
        decide: given what runs now, the event; what it raises leaves the history as it was.
        sign: given what has to be signed of the event, its signatures.

    Returns:
        The event.

    Raises:
        DeploymentError: another operator was quicker, or workers would not follow this event; nothing was written.
        SettingsError, TopicsError, BrokerError: the history cannot be read or written.
    """
    topic, transactional_id = settings.deployments_topic, deployments_writer(settings)
    producer = open_writer(settings, transactional_id)
    needed = to_topic(Operation.WRITE, topic), to_transactions(transactional_id)
    overtaken = DeploymentError(
        "somebody else changed the deployments at the same moment, and nothing of yours was written: see "
        "`scorer history`, and try again if you still want to"
    )

    def refused(why: str) -> str:
        return f"the history in topic {topic} could not be written: {why}"

    with explain_refusals(settings, overtaken, refused, needed):
        producer.init_transactions(WRITE_S)
        event, value, signatures, fault = _draft(settings, decide, sign)
        if fault:
            raise DeploymentError(f"workers would not follow this event ({fault}): nothing was written")
        headers: list[tuple[str, str | bytes | None]] = [(SIGNATURE_HEADER, signature) for signature in signatures]
        producer.begin_transaction()
        producer.produce(topic, value=value, key=event.slot.encode(), partition=0, headers=headers)
        producer.commit_transaction(WRITE_S)
    return event


def draft_event(
    settings: Settings, decide: Callable[[State], DeploymentEvent], sign: Callable[[bytes], Iterable[str | Signature]]
) -> tuple[DeploymentEvent, list[str]]:
    """What `add_event` would add now, and its signatures, without adding it.

    Raises:
        SettingsError, TopicsError, BrokerError: the history cannot be read.
    """
    event, _, signatures, _ = _draft(settings, decide, sign)
    return event, signatures


def _draft(
    settings: Settings, decide: Callable[[State], DeploymentEvent], sign: Callable[[bytes], Iterable[str | Signature]]
) -> tuple[DeploymentEvent, bytes, list[str], str]:
    """An event, its bytes, its signatures, and why it would count for nothing; empty if it would."""
    with closing(HistoryReader(settings)) as reader:
        lines = reader.to_the_end()
        event = decide(fold(lines))
        value = event.model_dump_json().encode()
        signatures = [str(s) for s in sign(event_statement(reader.cluster_id, settings.deployments_topic, value))]
        end = lines[-1].offset + 1 if lines else 0
        judged = reader.approvals.judge(parse_line(end, value), value, signatures)
    return event, value, signatures, judged.fault
