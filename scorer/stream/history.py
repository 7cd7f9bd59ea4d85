"""The deployment history: reads it, and folds it into the current state."""

import time
from collections.abc import Iterable, Mapping
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
from scorer.errors import BrokerError, SettingsError
from scorer.logs import HISTORY_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.approvals import SIGNATURE_HEADER, Approvals
from scorer.stream.explain import with_hint
from scorer.stream.faults import must_stop
from scorer.stream.line import Line
from scorer.stream.reaching import ANSWER_S, ask, connect_beside
from scorer.stream.rights import to_own_group
from scorer.stream.unreadable import UNREADABLE_CODES, end_of_unreadable

# Even years of history are a few hundred records; a broker that has not sent them by then is not available.
_READ_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class State:
    """The current state of the slots: by slot, its current bundle last, after the ones that a rollback restores."""

    bundles: Mapping[Slot, tuple[BundleReference, ...]]
    last: Mapping[Slot, DeploymentEvent]
    """By slot, its latest event."""
    signers: Mapping[Slot, tuple[str, ...]] = field(default_factory=dict)
    """By slot, the names of the trusted keys that have signed its latest event."""

    def current(self, slot: Slot) -> BundleReference | None:
        """Returns the current bundle of the slot; None if it has none."""
        return next(reversed(self.bundles.get(slot, ())), None)

    def before(self, slot: Slot) -> BundleReference | None:
        """Returns the bundle that a rollback restores; None if there is none."""
        bundles = self.bundles.get(slot, ())
        return bundles[-2] if len(bundles) > 1 else None


def fold(lines: Iterable[Line]) -> State:
    """Returns the state after all these events.

    Each slot is a stack: a deployment pushes its bundle, and a rollback removes all bundles above the one that it
    restores. So two rollbacks in a row go back two bundles.
    """
    bundles: dict[Slot, tuple[BundleReference, ...]] = {}
    last: dict[Slot, DeploymentEvent] = {}
    signers: dict[Slot, tuple[str, ...]] = {}
    for line in lines:
        event = line.event
        if event is None:
            continue
        stack = bundles.get(event.slot, ())
        if not stack and event.previous is not None:
            stack = (event.previous,)  # the bundle that was in the slot before the history began
        if event.bundle is None:
            stack = ()
        elif event.action == "deploy":
            if event.bundle not in stack[-1:]:  # otherwise the same deployment was signed again
                stack = (*stack, event.bundle)
        elif event.bundle in stack:
            stack = stack[: len(stack) - stack[::-1].index(event.bundle)]
        else:
            stack = (*stack[:-1], event.bundle)
        bundles[event.slot], last[event.slot], signers[event.slot] = stack, event, line.signers
    return State(bundles, last, signers)


def parse_line(offset: int, value: bytes | None) -> Line:
    """Parses a record of the history; a malformed record has a fault, which contains none of its values."""
    if not value:
        return Line(offset, None, "the record is empty")
    try:
        event = DeploymentEvent.model_validate_json(value)
    except ValidationError as error:
        return Line(offset, None, explain(error))
    if (event.bundle is None) != (event.action == "retire"):
        return Line(offset, None, "bundle: required for deploy and rollback, not allowed for retire")
    if event.action == "retire" and event.slot == "champion":
        return Line(offset, None, "slot: the champion cannot be retired, only replaced")
    try:
        event.at.astimezone(UTC)
    except OverflowError:
        return Line(offset, None, "at: the time cannot be converted to UTC")
    return Line(offset, event)


class HistoryReader:
    """Reads the history from its first event on, without joining a group or committing offsets."""

    def __init__(self, settings: Settings, group_operation: Operation = Operation.DESCRIBE) -> None:
        """Connects, and starts at the first record.

        Args:
            settings: the brokers and the topic.
            group_operation: the operation on the group that the caller needs, for the message if its right is missing.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._settings = settings
        self._topic = settings.deployments_topic
        self._rights = to_topic(Operation.READ, self._topic), to_own_group(settings, group_operation)
        options = {"auto.offset.reset": "error", "fetch.wait.max.ms": "50"}
        self._consumer, _ = connect_beside(settings, self._topic, options, ANSWER_S)
        try:
            # An explicit offset: librdkafka gives up OFFSET_BEGINNING while the leader does not know a new topic.
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
        """Reads from the current position to the current end of the topic.

        Raises:
            BrokerError: the end was not reached in time.
        """
        lines: list[Line] = []
        ends_at = time.monotonic() + _READ_S
        while time.monotonic() < ends_at:
            new_lines, at_the_end = self._consume(0.5)
            lines += new_lines
            if at_the_end:
                return lines
        raise BrokerError(f"the history in topic {self._topic} could not be read to its end within {_READ_S:g} s")

    def next(self, wait_s: float) -> list[Line]:
        """Returns the records that were added since; waits up to `wait_s` seconds for them."""
        return self._consume(wait_s)[0]

    def begin_again(self) -> bool:
        """Goes back to the first record if the trusted keys changed; returns whether they did."""
        changed = self.approvals.begin_again()
        if changed:
            self._consumer.assign([self._first])
        return changed

    def close(self) -> None:
        """Closes the consumer."""
        self._consumer.close()

    def _consume(self, wait_s: float) -> tuple[list[Line], bool]:
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
                lines.append(Line(offset, None, f"unreadable record batch: {error.str()}"))
                end = end_of_unreadable(self._settings, self._topic, 0, offset)
                self._consumer.assign([TopicPartition(self._topic, 0, end)])  # discards what was fetched after it
                return lines, False
            elif must_stop(error):
                raise self._unreadable(error)
            else:
                log(HISTORY_UNREADABLE, topic=self._topic, error=error.str())
        return lines, at_the_end

    def _unreadable(self, error: KafkaError) -> BrokerError:
        explained = with_hint(error, self._settings, *self._rights)
        return BrokerError(f"the history in topic {self._topic} cannot be read: {explained}")
