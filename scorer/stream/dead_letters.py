"""The dead letters: read, found by their place, and put back onto the input topic, each once at most."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import KafkaException, Producer

from schemas import rejection
from schemas.records import UNKNOWN, DeadLetter, Malformed, Mark, Place, read_dead_letter
from schemas.rights import Operation, to_topic
from scorer.errors import DeadLetterError
from scorer.settings import Settings
from scorer.stream.faults import Fault, triage
from scorer.stream.operators import WRITE_S, explain_refusals, open_writer
from scorer.stream.reading import Skipped, TopicReader, milliseconds
from scorer.stream.rights import requeue_writer, to_transactions

# Dead letters in one transaction: a thousand of the largest are a gigabyte, which the producer does not hold.
_TRANSACTION_BYTES_MAX: Final = 16_777_216


def read_dead_letters(
    settings: Settings, since: datetime | None = None, newest: int | None = None, skipped: Skipped | None = None
) -> Iterator[DeadLetter | Mark]:
    """Reads the dead-letter topic as it is now; of a partition in its order, so a mark comes after what it marks.

    Args:
        settings: the topic.
        since: dead letters with an earlier timestamp are left out; None leaves out none.
        newest: of each partition only so many of the last offsets, of which transactions take up some.
        skipped: counts the records that are neither.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    skipped = Skipped() if skipped is None else skipped
    since_ms = None if since is None else milliseconds(since)
    with closing(TopicReader(settings, settings.dead_letters_topic, skipped)) as reader:
        bounds = reader.bounds()
        if since_ms is not None:
            bounds = reader.narrow(bounds, since_ms)
        if newest is not None:
            bounds = {p: (max(first, end - newest), end) for p, (first, end) in bounds.items()}
        for records in reader.read(bounds):
            for record in map(read_dead_letter, records):
                if isinstance(record, Malformed):
                    skipped.add(record)
                elif since_ms is None or isinstance(record, Mark) or record.timestamp_ms >= since_ms:
                    yield record


def find_dead_letter(settings: Settings, place: Place) -> DeadLetter:
    """Reads one dead letter.

    Raises:
        DeadLetterError: there is none at that place.
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    why = "retention takes the old ones, and not every offset holds one"
    with closing(TopicReader(settings, settings.dead_letters_topic)) as reader:
        first, end = reader.bounds().get(place.partition, (0, 0))
        if first <= place.offset < end:
            for records in reader.read({place.partition: (place.offset, place.offset + 1)}):
                for record in map(read_dead_letter, records):
                    if isinstance(record, DeadLetter):
                        return record
                    why = record.why if isinstance(record, Malformed) else f"it is the mark that {record.place} has"
    raise DeadLetterError(
        f"{settings.dead_letters_topic} has no dead letter at {place}: `scorer dlq list` says which there are ({why})"
    )


@dataclass(frozen=True, slots=True)
class Requeued:
    """What a requeue did."""

    put_back: tuple[Place, ...]
    before: tuple[Mark, ...]
    """The marks of those that had been put back earlier, and were left alone."""
    pointers: tuple[DeadLetter, ...]
    """Those that have no copy of their record, and were left alone."""
    skipped: Skipped
    """Records that are neither dead letters nor marks."""


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
        "partitioner": "murmur2_random",  # for records whose partition is not known, or no longer there
        "compression.type": "zstd",  # an application that came in compressed may fit only when it is compressed
        "message.max.bytes": "20000000",  # a dead letter holds the whole record; the topic's own limit decides
    }
    transactional_id = requeue_writer(settings)
    producer = open_writer(settings, transactional_id, options)
    topics = settings.applications_topic, settings.dead_letters_topic
    needed = [*(to_topic(Operation.WRITE, topic) for topic in topics), to_transactions(transactional_id)]
    overtaken = DeadLetterError(
        "somebody else requeued at the same moment: `scorer dlq list` says what was put back; try again for the rest"
    )

    def refused(why: str) -> str:
        return (
            f"dead letters could not be put back onto {settings.applications_topic}: {why}. What was put back before "
            "has its mark: running it again repeats nothing"
        )

    with explain_refusals(settings, overtaken, refused, needed):
        producer.init_transactions(WRITE_S)
        skipped = Skipped()
        letters, marks = _gather(settings, wanted, skipped)
        for letter in letters:
            _require_own(settings, letter)
        fresh = [letter for letter in letters if letter.place not in marks and not letter.pointer]
        for together in _transactions(_within_partitions(settings, fresh)):
            _commit(settings, producer, together, actor)
    return Requeued(
        tuple(letter.place for letter in fresh),
        tuple(marks[letter.place] for letter in letters if letter.place in marks),
        tuple(letter for letter in letters if letter.place not in marks and letter.pointer),
        skipped,
    )


def _gather(
    settings: Settings, wanted: Callable[[DeadLetter], bool], skipped: Skipped
) -> tuple[list[DeadLetter], Mapping[Place, Mark]]:
    letters, marks = [], {}
    for record in read_dead_letters(settings, skipped=skipped):
        if isinstance(record, Mark):
            marks[record.place] = record
        elif wanted(record):
            letters.append(record)
    return letters, marks


def _require_own(settings: Settings, letter: DeadLetter) -> None:
    if letter.topic != settings.applications_topic:
        raise DeadLetterError(
            f"the dead letter at {letter.place} came from topic {letter.topic or '(it does not say)'} and "
            f"applications_topic is {settings.applications_topic}: nothing was put back"
        )


def _within_partitions(settings: Settings, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """The same; one whose partition the topic no longer has goes where its key belongs."""
    with closing(TopicReader(settings, settings.applications_topic, operation=Operation.WRITE)) as reader:
        existing = frozenset(reader.partitions)
    return [letter if letter.partition in existing else replace(letter, partition=UNKNOWN) for letter in letters]


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
