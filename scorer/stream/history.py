"""The deployment history: reads it, and folds it into the current state."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent, Slot, find_event_fault
from schemas.fault_words import describe_faults
from schemas.record_headers import read_headers
from schemas.rights import Operation
from scorer.errors import BrokerError, ScorerError
from scorer.logs import HISTORY_UNREADABLE, log
from scorer.settings import Settings
from scorer.stream.approvals import SIGNATURE_HEADER, Approvals
from scorer.stream.history_record import Line
from scorer.stream.reader import Reader
from scorer.stream.requests import ANSWER_S, metadata_of
from scorer.stream.worker import Record

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
    ever: Mapping[Slot, frozenset[BundleReference]] = field(default_factory=dict)
    """By slot, all bundles that were in it at some time."""

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
    ever: dict[Slot, frozenset[BundleReference]] = {}
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
        ever[event.slot] = ever.get(event.slot, frozenset()).union(stack)
    return State(bundles, last, signers, ever)


def parse_line(offset: int, value: bytes | None) -> Line:
    """Parses a record of the history; a malformed record has a fault, which contains none of its values."""
    if not value:
        return Line(offset, None, "the record is empty")
    try:
        event = DeploymentEvent.model_validate_json(value)
    except ValidationError as error:
        return Line(offset, None, describe_faults(error))
    fault = find_event_fault(event, value)
    return Line(offset, None, fault) if fault else Line(offset, event)


class HistoryReader:
    """Reads the history from its first event on, without joining a group or committing offsets."""

    def __init__(
        self, settings: Settings, group_operation: Operation = Operation.DESCRIBE, wait_s: float = ANSWER_S
    ) -> None:
        """Connects, and starts at the first record.

        Args:
            settings: the brokers and the topic.
            group_operation: the operation on the group that the caller needs, for the message if its right is missing.
            wait_s: how long to wait for a broker, in seconds.

        Raises:
            SettingsError: a librdkafka property is invalid.
            TopicsError: the topic is missing.
            BrokerError: no broker answers.
        """
        self._topic = settings.deployments_topic
        options = {"auto.offset.reset": "error", "fetch.wait.max.ms": "50"}
        self._reader = Reader(settings, [self._topic], options, wait_s, group_operation=group_operation)
        try:
            # An explicit offset: librdkafka gives up OFFSET_BEGINNING while the leader does not know a new topic.
            self._first = {(self._topic, 0): self._reader.bounds(self._topic)[0][0]}
            self.cluster_id = str(metadata_of(self._reader.consumer, settings, ANSWER_S, self._topic).cluster_id)
            self.approvals = Approvals(settings, self.cluster_id)
        except ScorerError:
            self._reader.close()
            raise
        self._reader.assign(self._first)

    def read_to_end(self) -> list[Line]:
        """Reads from the current position to the current end of the topic.

        Raises:
            BrokerError: the end was not reached in time.
        """
        lines: list[Line] = []
        ends_at = time.monotonic() + _READ_S
        while time.monotonic() < ends_at:
            new_lines, at_the_end = self._fetch(0.5)
            lines += new_lines
            if at_the_end:
                return lines
        raise BrokerError(f"the history in topic {self._topic} could not be read to its end within {_READ_S:g} s")

    def next(self, wait_s: float) -> list[Line]:
        """Returns the records that were added since; waits up to `wait_s` seconds for them."""
        return self._fetch(wait_s)[0]

    def begin_again(self) -> bool:
        """Goes back to the first record if the trusted keys changed; returns whether they did."""
        changed = self.approvals.begin_again()
        if changed:
            self._reader.assign(self._first)
        return changed

    def close(self) -> None:
        """Closes the consumer."""
        self._reader.close()

    def _fetch(self, wait_s: float) -> tuple[list[Line], bool]:
        """Returns the lines that were added, and whether the end was reached."""
        fetched = self._reader.fetch(wait_s)
        for error in fetched.transient:
            log(HISTORY_UNREADABLE, topic=self._topic, error=error.str())
        lines = [self._judge(record) for record in fetched.records]
        lines += [Line(batch.offset, None, batch.why) for batch in fetched.skipped]
        return lines, bool(fetched.ended)

    def _judge(self, record: Record) -> Line:
        value = record.value()
        signatures = [
            text.decode(errors="replace")
            for name, text in read_headers(record) or ()
            if name == SIGNATURE_HEADER and text
        ]
        return self.approvals.judge(parse_line(record.offset(), value), value, signatures)
