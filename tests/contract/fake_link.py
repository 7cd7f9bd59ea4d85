"""An in-memory Kafka for the worker: partitions, a group with its offsets, and a Link on them that goes wrong by plan.

Kept as small as the promises allow: a publish either happens or does not, a partition has one owner, and whoever is not
the owner any more cannot commit. Where KafkaLink and this one differ, the contract suite fails on one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Final, Literal, Protocol

from schemas.decision import TRACE_HEADERS, BundleReference
from scorer.core.encode import id_of
from scorer.core.score import Result, Scores
from scorer.core.slow_decode import Rejection
from scorer.errors import FencedError
from scorer.stream.delivery import Delivered
from scorer.stream.letters import dead_letter
from scorer.stream.worker import Batch, Record
from tests.fakes import FakeRecord, Headers, Tally

_AT = datetime(2026, 1, 1, tzinfo=UTC)
Delivery = Literal["exactly-once", "at-least-once"]


class CrashError(BaseException):
    """The process was killed: no handler runs, whatever it holds is gone."""


class Fault(Enum):
    """What may go wrong in one publish."""

    CRASH_BEFORE_COMMIT = auto()
    ABORT = auto()
    CRASH_AFTER_COMMIT = auto()


class Faults(Protocol):
    """Says what goes wrong, each time it is asked."""

    def in_publish(self) -> Fault | None: ...
    def rebalance_during_poll(self) -> bool: ...


class NoFaults:
    """Nothing goes wrong."""

    def in_publish(self) -> Fault | None:
        return None

    def rebalance_during_poll(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Written:
    """A record on an output topic as a read_committed reader sees it."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class FakeKafka:
    """The broker: an input topic, two outputs, one group. All members share it; nothing here runs by itself."""

    partition_count: Final[int] = 2
    committed: dict[int, int] = field(default_factory=dict)
    stamps: dict[int, str] = field(default_factory=dict)
    """By partition, what its committed offset says of who decided."""
    decisions: list[Written] = field(default_factory=list)
    dead_letters: list[Written] = field(default_factory=list)
    expired_below: dict[int, int] = field(default_factory=dict)
    members: list["FakeLink"] = field(default_factory=list)
    owners: dict[int, tuple["FakeLink", int]] = field(default_factory=dict)
    """Who has each partition, and the how-manieth owner that is: one who comes back is not the one who left."""

    def __post_init__(self) -> None:
        self.logs: list[list[FakeRecord | None]] = [[] for _ in range(self.partition_count)]

    def append(self, partition: int, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> None:
        """Publishes an application."""
        log = self.logs[partition]
        log.append(FakeRecord((partition, len(log)), value, key, tuple(headers), timestamp_ms=1_000 + len(log)))

    def append_marker(self, partition: int) -> None:
        """A transaction marker: it takes up an offset and no reader sees it."""
        self.logs[partition].append(None)

    def join(self, link: "FakeLink") -> None:
        """A member comes; one of the same instance id is fenced."""
        for other in [m for m in self.members if link.instance_id is not None and m.instance_id == link.instance_id]:
            other.fenced = True
            self.members.remove(other)
        self.members.append(link)
        self.rebalance()

    def leave(self, link: "FakeLink") -> None:
        """A member goes, or its session ends."""
        if link in self.members:
            self.members.remove(link)
            self.rebalance()

    def rebalance(self, shift: int = 0) -> None:
        """Gives the partitions to the members in turn; each learns of it when it polls next."""
        for partition in range(self.partition_count):
            before, epoch = self.owners.get(partition, (None, 0))
            owner = self.members[(partition + shift) % len(self.members)] if self.members else None
            if owner is not None and owner is not before:
                self.owners[partition] = owner, epoch + 1


class FakeLink:
    """A Link on a FakeKafka."""

    def __init__(
        self,
        kafka: FakeKafka,
        delivery: Delivery = "exactly-once",
        batch_records_max: int = 5_000,
        instance_id: str | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.observer = Tally()
        self._in_flight: tuple[Batch, Scores] | None = None
        self.instance_id = instance_id
        self.fenced = False
        self._kafka = kafka
        self._delivery = delivery
        self._batch_records_max = batch_records_max
        self.faults = faults or NoFaults()
        self._epochs: dict[int, int] = {}
        self._fetch_from: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        """Where the group goes on once what is in flight has landed; without a commit yet, it has none."""
        self._stamps: dict[int, str] = {}
        self._blocked: dict[int, str] = {}
        kafka.join(self)

    def poll(self, reference: BundleReference) -> Batch:
        """Takes what is there, partition after partition; rebalances come to be known here and nowhere else."""
        self._refuse_fenced()
        if self._owned() != self._epochs:
            self._land()  # what is in flight ends under the assignment that it was polled under
        self._learn_assignment()
        batch = self._take()
        if self.faults.rebalance_during_poll():
            self._kafka.rebalance(shift=1)
            dropped = set() if self._land() else set(self._fetch_from)
            dropped |= self._learn_assignment()
            self._kafka.rebalance()
            batch = self._without(batch, dropped | self._learn_assignment())
        if not batch.offsets_next:
            self._land()  # it had a moment's time
        unstamped = {p: offset for p, offset in self._positions.items() if self._stamps.get(p) != str(reference)}
        return Batch(batch.records, {**unstamped, **batch.offsets_next})

    def publish(self, batch: Batch, scores: Scores) -> None:
        """Takes the batch in flight, once the one before has landed well; it lands as late as it can."""
        assert len(scores.results) == len(batch.records), "one result a record"
        if self._land():
            self._in_flight = (batch, scores)
            self._positions |= batch.offsets_next
            self._stamps |= dict.fromkeys(batch.offsets_next, str(scores.bundle))

    def settle(self) -> bool:
        """Lands what is in flight."""
        return self._land()

    def blocked(self) -> dict[int, str]:
        """The partitions whose committed offset is gone."""
        return dict(self._blocked)

    def close(self) -> None:
        """Leaves the group."""
        self.settle()
        self._kafka.leave(self)

    def _land(self) -> bool:
        """Writes the results in flight and commits, unless the plan or the group says otherwise."""
        self._refuse_fenced()
        if self._in_flight is None:
            return True
        (batch, scores), self._in_flight = self._in_flight, None
        fault = self.faults.in_publish()
        if fault is Fault.CRASH_BEFORE_COMMIT:
            self._write_before_commit(batch, scores.results, scores.bundle)
            raise CrashError
        if fault is Fault.ABORT or not self._owns(batch):
            self._write_before_commit(batch, scores.results, scores.bundle)
            self._wind_back()
            self.observer.aborted()
            return False
        self._write_and_commit(batch, scores.results, scores.bundle)
        self.observer.committed(batch, scores, Delivered(0.0, 0.0, 0.0))
        if fault is Fault.CRASH_AFTER_COMMIT:
            raise CrashError
        return True

    def _refuse_fenced(self) -> None:
        if self.fenced:
            raise FencedError(f"instance id {self.instance_id} was fenced: do two workers share this instance_id?")

    def _owned(self) -> dict[int, int]:
        return {partition: epoch for partition, (owner, epoch) in self._kafka.owners.items() if owner is self}

    def _learn_assignment(self) -> set[int]:
        """Takes over what the group has decided meanwhile; returns the partitions that came or went."""
        owned = self._owned()
        touched = {partition for partition, _ in owned.items() ^ self._epochs.items()}
        kept = {partition: offset for partition, offset in self._fetch_from.items() if partition not in touched}
        self._blocked = {p: reason for p, reason in self._blocked.items() if p in owned and p not in touched}
        starts = {p: kept[p] if p in kept else self._start(p) for p in owned if p not in self._blocked}
        self._fetch_from = {p: start for p, start in starts.items() if p not in self._blocked}
        self._epochs = owned
        for partition in touched:
            self._stand_as_committed(partition)
        return touched

    def _start(self, partition: int) -> int:
        low = self._kafka.expired_below.get(partition, 0)
        start = self._kafka.committed.get(partition, low)
        if start < low:
            self._blocked[partition] = f"offset {start} no longer exists: retention deleted {low - start} records"
        return start

    def _stand_as_committed(self, partition: int) -> None:
        self._positions.pop(partition, None)
        self._stamps.pop(partition, None)
        if partition in self._fetch_from and partition in self._kafka.committed:
            self._positions[partition] = self._kafka.committed[partition]
            self._stamps[partition] = self._kafka.stamps[partition]

    def _take(self) -> Batch:
        records: list[Record] = []
        offsets_next: dict[int, int] = {}
        for partition, start in self._fetch_from.items():
            for entry in self._kafka.logs[partition][start : start + self._batch_records_max - len(records)]:
                if entry is not None:
                    records.append(entry)
                offsets_next[partition] = offsets_next.get(partition, start) + 1
        self._fetch_from |= offsets_next
        return Batch(records, offsets_next)

    def _without(self, batch: Batch, touched: set[int]) -> Batch:
        """Drops what was taken before a partition went or came back; of one that is here, it is fetched again."""
        for partition in touched & self._fetch_from.keys():
            self._fetch_from[partition] = self._start(partition)
        return Batch(
            [record for record in batch.records if record.partition() not in touched],
            {partition: offset for partition, offset in batch.offsets_next.items() if partition not in touched},
        )

    def _owns(self, batch: Batch) -> bool:
        return all(self._kafka.owners[p] == (self, self._epochs.get(p)) for p in batch.offsets_next)

    def _write_before_commit(self, batch: Batch, results: Sequence[Result], bundle: BundleReference) -> None:
        """What a reader sees of a publish whose commit failed: of a transaction nothing."""
        if self._delivery == "at-least-once":
            self._write(batch, results, bundle)

    def _write_and_commit(self, batch: Batch, results: Sequence[Result], bundle: BundleReference) -> None:
        self._write(batch, results, bundle)
        self._kafka.committed.update(batch.offsets_next)
        self._kafka.stamps.update(dict.fromkeys(batch.offsets_next, str(bundle)))

    def _write(self, batch: Batch, results: Sequence[Result], bundle: BundleReference) -> None:
        for record, result in zip(batch.records, results, strict=True):
            headers = record.headers() or ()
            if isinstance(result, Rejection):
                letter = dead_letter(record, result, headers, bundle, _AT, bytes_max=1_000_000)
                self._kafka.dead_letters.append(Written(letter.key, letter.value, tuple(letter.headers)))
            else:
                key = record.key()
                trace = tuple((name, value) for name, value in headers if name in TRACE_HEADERS)
                self._kafka.decisions.append(Written(id_of(result) if key is None else key, result, trace))

    def _wind_back(self) -> None:
        self._fetch_from = {partition: self._start(partition) for partition in self._fetch_from}
        for partition in self._fetch_from:
            self._stand_as_committed(partition)
