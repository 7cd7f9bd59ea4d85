"""Selects results while they are read: the newest ones so far, then new ones as they are committed."""

import heapq
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from producer.results import decode_result
from producer.settings import Settings
from producer.tail import TopicTail
from schemas.decision import Decision
from schemas.records import DeadLetter, Malformed, Mark, Record, written_at

REJECTED: Final = "REJECTED"
"""In place of a decision's label, the kind of a dead letter."""
# How long to block in librdkafka before checking whether the caller was interrupted.
_SLICE_S: Final = 0.2
# A topic of some million results is read in a minute.
_READ_S: Final = 600.0
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


class Result(NamedTuple):
    """The result of an application, and the timestamp of its record."""

    record: Decision | DeadLetter
    written_at: datetime | None


class Filter(NamedTuple):
    """Which results are shown.

    Attributes:
        id_prefix: the beginning of the application's id; "" for all.
        kind: a decision's label, or `REJECTED`; "" for all.
    """

    id_prefix: str = ""
    kind: str = ""

    def includes(self, record: Decision | DeadLetter) -> bool:
        """Whether a result is shown."""
        if isinstance(record, Decision):
            application_id, kind = record.application_id, str(record.decision)
        else:
            application_id, kind = record.id or "", REJECTED
        return application_id.startswith(self.id_prefix) and self.kind in {"", kind}


def topics_of(settings: Settings, shown: Filter, *, dead_letters: bool) -> list[str]:
    """The topics to read: that of the decisions, and that of the dead letters if they are requested."""
    if shown.kind == REJECTED:
        return [settings.dead_letters_topic]
    return [settings.decisions_topic, *([settings.dead_letters_topic] if dead_letters else [])]


class Watch:
    """Reads results from topics."""

    def __init__(
        self, tail: TopicTail, dead_letters_topic: str, shown: Filter, skip: Callable[[Malformed], object]
    ) -> None:
        """Creates the object; nothing is read yet.

        Args:
            tail: the reader of the topics.
            dead_letters_topic: the topic whose records are dead letters.
            shown: which results are selected.
            skip: called with each malformed record.
        """
        self._tail = tail
        self._dead_letters_topic = dead_letters_topic
        self._shown = shown
        self._skip = skip

    def results(self, last: int, interrupted: Callable[[], bool]) -> Iterator[Result]:
        """Yields the newest results, oldest first, and then the others as they are committed, until interrupted.

        Args:
            last: number of results to begin with; if it is not 0, the tail has `until_end`.
            interrupted: whether to stop.

        Raises:
            PublisherError: the topics cannot be read, or not to their end.
        """
        if last:
            so_far = enumerate(self._select(self._tail.read_to_end(_READ_S)))
            # A batch has one timestamp: of equal times, the result that was read later is the newer one.
            newest = heapq.nlargest(last, so_far, key=lambda one: (one[1].written_at or _EARLIEST, one[0]))
            yield from (result for _, result in reversed(newest))
        while not interrupted():
            message = self._tail.poll(_SLICE_S)
            if message is not None:
                yield from self._select([message])

    def _select(self, messages: Iterable[Record]) -> Iterator[Result]:
        for message in messages:
            record = decode_result(message, self._dead_letters_topic)
            if isinstance(record, Malformed):
                self._skip(record)
            elif not isinstance(record, Mark) and self._shown.includes(record):
                yield Result(record, written_at(message))
