"""The loop: poll, score, publish; and one worker's life around it.

A reader who knows this file and `scorer.core.score` knows what happens to an application. Nothing but a delivery can
be on its way when the loop polls, and the link waits for that one before it lets a partition go: so a rebalance needs
no machinery here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.decision import BundleReference
from scorer.core.score import Bundle, Scores, score_batch
from scorer.core.score import Record as ScorableRecord


class Record(ScorableRecord, Protocol):
    """A record on the input topic; a confluent_kafka Message is one."""

    def key(self) -> bytes | None: ...
    def headers(self) -> Sequence[tuple[str, bytes | None]] | None: ...
    def timestamp(self) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll returned.

    `offsets_next` has, for each partition that moved, the offset to go on from once the records are decided. A
    partition can be there without a record: transaction markers take up offsets too, and the group is told anew when
    another bundle decides.
    """

    records: Sequence[Record]
    offsets_next: Mapping[int, int]


class Link(Protocol):
    """The worker's hold on the topics. `publish` is the only commit there is."""

    def poll(self, reference: BundleReference) -> Batch:
        """Waits a moment for records and takes what is there; an empty batch if nothing is.

        Each partition whose committed offset does not say that this bundle decides is in `offsets_next` too.
        """
        ...

    def publish(self, batch: Batch, scores: Scores, bundle: Bundle) -> None:
        """Publishes one outcome a record and commits the offsets: all or none, and no commit before all is confirmed.

        The offsets' metadata say which bundle decided, so that the group knows how far a deployment has come.
        The delivery may still be on its way on return, one at most. If it fails, its records and all later ones are
        polled again. Raises BrokerError when going on makes no sense.
        """
        ...

    def settle(self) -> bool:
        """Waits for a delivery that is on its way; False if its records will be polled again instead."""
        ...


class Monitor(Protocol):
    """What watches the loop."""

    def lap(self, stage: str) -> None:
        """A step of the scoring ended; whoever holds a watch takes the time."""
        ...

    def polled(self, batch: Batch) -> None:
        """A poll was completed."""
        ...

    def serving(self, reference: BundleReference) -> None:
        """Another bundle decides from here on."""
        ...


def run(
    link: Link,
    current: Callable[[], Bundle],
    monitor: Monitor,
    record_bytes_max: int,
    stopping: Callable[[], bool],
    challenge: Callable[[Sequence[Record], Scores], None] = lambda _records, _scores: None,
) -> None:
    """Decides applications until it is told to stop; then the batch in hand has been committed.

    Args:
        link: the topics.
        current: what decides the next batch; a batch is never decided by two.
        monitor: what watches.
        record_bytes_max: the longest application that is read, in bytes.
        stopping: asked between two batches.
        challenge: given each batch and what became of it once that is on its way; it can change nothing any more.

    Raises:
        BrokerError: the broker cannot be worked with.
        BundleUnusableError: the bundle cannot score.
    """
    serving = None
    while not stopping():
        bundle = current()
        if bundle is not serving:
            serving = bundle
            monitor.serving(bundle.reference)
        batch = link.poll(bundle.reference)
        monitor.polled(batch)
        if not batch.offsets_next:
            continue
        scores = score_batch(batch.records, bundle, record_bytes_max, monitor.lap)
        link.publish(batch, scores, bundle)
        challenge(batch.records, scores)
    link.settle()
