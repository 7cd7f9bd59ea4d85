"""The dead letters: read, found by their place, and put back onto the input topic, each once at most."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, Producer

from schemas import rejection
from schemas.decision import REPLAY_ID_HEADER
from scorer.errors import DeadLetterError
from scorer.settings import Settings
from scorer.stream.delivery import headers_of
from scorer.stream.faults import Fault, triage
from scorer.stream.letters import Headers
from scorer.stream.operators import WRITE_S, explain_refusals, open_writer
from scorer.stream.reading import TopicReader
from scorer.stream.worker import Record

# Dead letters in one transaction: a thousand of the largest are a gigabyte, which the producer does not hold.
_TRANSACTION_BYTES_MAX: Final = 16_777_216
_OURS: Final = frozenset({*rejection.DEAD_LETTER_HEADERS, REPLAY_ID_HEADER, rejection.REQUEUED_FROM_HEADER})


class Place(NamedTuple):
    """Where a dead letter stands on its topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """`partition:offset`, as the command line takes it."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that could not be decided. What is of the sender's making is in no representation of it."""

    place: Place
    code: str
    reason: str
    topic: str
    """With `partition` and `offset`: where the record came from. Negative where the headers do not say."""
    partition: int
    offset: int
    at: str
    """When it was set aside, ISO 8601 in UTC."""
    bundle: str
    """The bundle that was current, spelt in full."""
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(repr=False)
    """The record's own headers."""

    @property
    def id(self) -> str:
        """The record's key as text: the application's id, if the sender kept to the contract."""
        return (self.key or b"").decode(errors="replace")


class Mark(NamedTuple):
    """That a dead letter was put back onto the input topic."""

    place: Place
    actor: str
    at: str


def parse(record: Record) -> DeadLetter | Mark | None:
    """Reads a record of the dead-letter topic; None if it is neither a dead letter nor the mark of one."""
    partition, offset = _number(record.partition()), _number(record.offset())
    headers = headers_of(record)
    told = {name: (raw or b"").decode(errors="replace") for name, raw in headers}
    if rejection.CODE_HEADER in told:
        return DeadLetter(
            place=Place(partition, offset),
            code=told[rejection.CODE_HEADER],
            reason=told.get(rejection.REASON_HEADER, ""),
            topic=told.get(rejection.TOPIC_HEADER, ""),
            partition=_number(told.get(rejection.PARTITION_HEADER)),
            offset=_number(told.get(rejection.OFFSET_HEADER)),
            at=told.get(rejection.AT_HEADER, ""),
            bundle=told.get(rejection.BUNDLE_HEADER, ""),
            key=record.key(),
            value=record.value(),
            headers=[(name, raw) for name, raw in headers if name not in _OURS],
        )
    if rejection.REQUEUED_HEADER in told:
        of = Place(partition, _number(told[rejection.REQUEUED_HEADER]))
        return Mark(of, told.get(rejection.ACTOR_HEADER, ""), told.get(rejection.AT_HEADER, ""))
    return None


def read_dead_letters(
    settings: Settings, since: datetime | None = None, newest: int | None = None
) -> Iterator[DeadLetter | Mark]:
    """Reads the dead-letter topic as it is now; of a partition in its order, so a mark comes after what it marks.

    Args:
        settings: the topic.
        since: what was set aside before it is passed over; None reads from the beginning.
        newest: of each partition only so many of the last offsets, of which transactions take up some.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    with closing(TopicReader(settings, settings.dead_letters_topic)) as reader:
        bounds = reader.bounds()
        if since is not None:
            first = reader.offsets_at(since)
            bounds = {p: (first[p], end) for p, (_, end) in bounds.items()}
        if newest is not None:
            bounds = {p: (max(first, end - newest), end) for p, (first, end) in bounds.items()}
        for records in reader.read(bounds):
            yield from filter(None, map(parse, records))


def find_dead_letter(settings: Settings, place: Place) -> DeadLetter:
    """Reads one dead letter.

    Raises:
        DeadLetterError: there is none at that place.
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    with closing(TopicReader(settings, settings.dead_letters_topic)) as reader:
        first, end = reader.bounds().get(place.partition, (0, 0))
        if first <= place.offset < end:
            for records in reader.read({place.partition: (place.offset, place.offset + 1)}):
                for found in map(parse, records):
                    if isinstance(found, DeadLetter):
                        return found
    raise DeadLetterError(
        f"{settings.dead_letters_topic} has no dead letter at {place}: `scorer dlq list` says which there are "
        "(retention takes the old ones, and not every offset holds one)"
    )


@dataclass(frozen=True, slots=True)
class Requeued:
    """What a requeue did."""

    put_back: tuple[Place, ...]
    before: tuple[Mark, ...]
    """The marks of those that had been put back earlier, and were left alone."""


def requeue(settings: Settings, wanted: Callable[[DeadLetter], bool], actor: str) -> Requeued:
    """Puts dead letters back onto the input topic: key, value and headers as they came, into their own partition.

    Each goes in one transaction with a mark behind the dead letter, and whoever requeues fences whoever has not
    finished: so none goes back twice, whoever asks however often. What is put back has the header `requeued-from`.

    Args:
        settings: the topics.
        wanted: which ones.
        actor: who does it; it stands in the mark.

    Raises:
        DeadLetterError: one of them came from another topic, or somebody else requeued at the same moment.
        TopicsError: the topic is missing.
        BrokerError: the topics cannot be read or written; what was committed until then has its marks.
    """
    options = {
        "partitioner": "murmur2_random",  # for the record that does not say which partition it came from
        "message.max.bytes": "20000000",  # a dead letter holds the whole record; the topic's own limit decides
    }
    producer = open_writer(settings, f"{settings.dead_letters_topic}-requeue", options)
    overtaken = DeadLetterError(
        "somebody else requeued at the same moment: `scorer dlq list` says what was put back; try again for the rest"
    )

    def refused(why: str) -> str:
        return (
            f"dead letters could not be put back onto {settings.applications_topic}: {why}. What was put back before "
            "has its mark: running it again repeats nothing"
        )

    with explain_refusals(overtaken, refused):
        producer.init_transactions(WRITE_S)
        letters, marks = _gather(settings, wanted)
        for letter in letters:
            _require_own(settings, letter)
        fresh = [letter for letter in letters if letter.place not in marks]
        for together in _transactions(fresh):
            _commit(settings, producer, together, actor)
    return Requeued(
        tuple(letter.place for letter in fresh),
        tuple(marks[letter.place] for letter in letters if letter.place in marks),
    )


def _gather(settings: Settings, wanted: Callable[[DeadLetter], bool]) -> tuple[list[DeadLetter], Mapping[Place, Mark]]:
    letters, marks = [], {}
    for found in read_dead_letters(settings):
        if isinstance(found, Mark):
            marks[found.place] = found
        elif wanted(found):
            letters.append(found)
    return letters, marks


def _require_own(settings: Settings, letter: DeadLetter) -> None:
    if letter.topic != settings.applications_topic:
        raise DeadLetterError(
            f"the dead letter at {letter.place} came from topic {letter.topic or '(it does not say)'} and "
            f"applications_topic is {settings.applications_topic}: nothing was put back"
        )


def _transactions(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """The dead letters in their order, as many at a time as one transaction takes."""
    together: list[DeadLetter] = []
    held_bytes = 0
    for letter in letters:
        together.append(letter)
        held_bytes += len(letter.value or b"")
        if held_bytes > _TRANSACTION_BYTES_MAX or len(together) == 1_000:
            yield together
            together, held_bytes = [], 0
    if together:
        yield together


def _commit(settings: Settings, producer: Producer, letters: Sequence[DeadLetter], actor: str) -> None:
    """Puts some back, all or none."""
    producer.begin_transaction()
    try:
        for letter in letters:
            _put_back(settings, producer, letter, actor)
        producer.commit_transaction(WRITE_S)  # waits for each delivery, and fails if one does
    except KafkaException as failure:
        if triage(failure.args[0]) is not Fault.FATAL:
            producer.abort_transaction(WRITE_S)
        raise


def _put_back(settings: Settings, producer: Producer, letter: DeadLetter, actor: str) -> None:
    topic = settings.dead_letters_topic
    came_from = (rejection.REQUEUED_FROM_HEADER, f"{topic}:{letter.place}".encode())
    mark = {
        rejection.REQUEUED_HEADER: str(letter.place.offset),
        rejection.ACTOR_HEADER: actor,
        rejection.AT_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    producer.produce(
        settings.applications_topic, letter.value, letter.key, letter.partition, headers=[*letter.headers, came_from]
    )
    producer.produce(topic, None, letter.key, letter.place.partition, headers=dict(mark))


def _number(text: str | int | None) -> int:
    if isinstance(text, int):
        return text
    return int(text) if text is not None and text.isascii() and text.isdecimal() else -1
