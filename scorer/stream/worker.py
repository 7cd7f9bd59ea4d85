"""The processing loop: poll, score, publish.

This file and `scorer.core.score` show everything that happens to an application. When the loop polls, at most one
delivery is in flight, and the link waits for it before it gives up a partition. So rebalances need no handling here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.decision import BundleReference
from scorer.core.records import Record as ScorableRecord
from scorer.core.score import Bundle, EngineName, Scores, score_batch


class Record(ScorableRecord, Protocol):
    """A record on the input topic; a confluent_kafka Message is one."""

    def key(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """The records that one poll returned.

    `offsets_next` has, for each partition that advanced, the offset to commit once the records are decided. It can
    include partitions without records: transaction markers take up offsets, too, and after a switch to another bundle
    the metadata are committed again.
    """

    records: Sequence[Record]
    offsets_next: Mapping[int, int]


class Link(Protocol):
    """The worker's connection to its topics. Only `publish` commits."""

    def poll(self, reference: BundleReference) -> Batch:
        """Waits briefly for records and returns all available records; the batch may be empty.

        `offsets_next` also includes each partition whose committed metadata do not name this bundle.
        """
        ...

    def publish(self, batch: Batch, scores: Scores) -> None:
        """Publishes one result per record and commits the offsets: all or none, and only after all are acknowledged.

        The offsets' metadata name the bundle of the scores, which shows the progress of a deployment. The delivery, at
        most one, may still be in flight on return. If it fails, its records and all later ones are polled again. Raises
        BrokerError if the worker cannot continue.
        """
        ...

    def settle(self) -> bool:
        """Waits for a delivery in flight; False if it failed and its records will be polled again."""
        ...


class Monitor(Protocol):
    """Observes the loop."""

    def lap(self, stage: str) -> None:
        """A step of the scoring ended; observers measure its duration."""
        ...

    def polled(self, batch: Batch) -> None:
        """A poll was completed."""
        ...

    def serving(self, reference: BundleReference) -> None:
        """The loop switched to this bundle."""
        ...

    def deciding(self, engine: EngineName, fault: str) -> None:
        """The loop decides with this engine; the fault says why the compiled one is not used although it may be."""
        ...


def run(
    link: Link,
    current: Callable[[], Bundle],
    monitor: Monitor,
    record_bytes_max: int,
    stopping: Callable[[], bool],
    challenge: Callable[[Sequence[Record], Scores], None] = lambda _records, _scores: None,
) -> None:
    """Decides applications until `stopping` returns True, and commits the last batch before it returns.

    Args:
        link: the connection to the topics.
        current: returns the champion for the next batch; a batch is never decided by two bundles.
        monitor: observes the loop.
        record_bytes_max: maximum size of an application, in bytes; a larger one is rejected.
        stopping: checked between batches.
        challenge: called with each batch and its results once these are being delivered; it cannot change them.

    Raises:
        BrokerError: the link cannot continue.
        BundleUnusableError: the bundle cannot score.
    """
    serving = None
    while not stopping():
        bundle = current()
        if bundle is not serving:
            serving = bundle
            monitor.serving(bundle.reference)
            monitor.deciding(bundle.engine_name, bundle.engine_fault)
        batch = link.poll(bundle.reference)
        monitor.polled(batch)
        if not batch.offsets_next:
            continue
        scores = score_batch(batch.records, bundle, record_bytes_max, monitor.lap)
        link.publish(batch, scores)
        challenge(batch.records, scores)
    link.settle()
