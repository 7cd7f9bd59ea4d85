"""Dead letters: reads them, finds one by partition and offset, and requeues each at most once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from schemas import rejection
from schemas.records import UNKNOWN, DeadLetter, Malformed, Mark, Position, ReadDecision, read_dead_letter, read_results
from schemas.rights import Operation, to_topic
from scorer.errors import DeadLetterError
from scorer.operate.operators import WRITE_S, explain_errors, open_writer
from scorer.operate.reading import Skipped, TopicReader, milliseconds
from scorer.settings import Settings
from scorer.stream.faults import Fault, triage
from scorer.stream.rights import requeue_writer, to_transactions

# Maximum per transaction: a thousand of the largest dead letters are a gigabyte, more than the producer can hold.
_TRANSACTION_BYTES_MAX: Final = 16_777_216


def read_dead_letters(
    settings: Settings, since: datetime | None = None, newest: int | None = None, skipped: Skipped | None = None
) -> Iterator[DeadLetter | Mark]:
    """Reads the dead-letter topic up to its current end, in order per partition: a mark follows its dead letter.

    Args:
        settings: the brokers and the topic.
        since: dead letters with an earlier timestamp are omitted; None omits none.
        newest: number of last offsets to read per partition, some of which are transaction markers; None reads all.
        skipped: counts records that are neither dead letters nor marks.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
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
            for _, record in read_results(records, settings.dead_letters_topic, skipped.add):
                is_recent = since_ms is None or not isinstance(record, DeadLetter) or record.timestamp_ms >= since_ms
                if is_recent and not isinstance(record, ReadDecision):
                    yield record


def find_dead_letter(settings: Settings, position: Position) -> DeadLetter:
    """Reads one dead letter.

    Raises:
        DeadLetterError: there is no dead letter at this partition and offset.
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    reason = "retention deletes old ones, and not every offset has one"
    with closing(TopicReader(settings, settings.dead_letters_topic)) as reader:
        first, end = reader.bounds().get(position.partition, (0, 0))
        if first <= position.offset < end:
            for records in reader.read({position.partition: (position.offset, position.offset + 1)}):
                for record in map(read_dead_letter, records):
                    if isinstance(record, DeadLetter):
                        return record
                    reason = record.why if isinstance(record, Malformed) else f"it is the mark of {record.position}"
    raise DeadLetterError(
        f"no dead letter at {position} of topic {settings.dead_letters_topic} ({reason}); `scorer dlq list` lists them"
    )


def find_mark(settings: Settings, position: Position, newest: int) -> Mark | None:
    """Returns the mark of a requeued dead letter: it follows the dead letter in the same partition.

    Args:
        settings: the brokers and the topic.
        position: the partition and offset of the dead letter.
        newest: number of last offsets of the partition to read; an older mark is not found.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: the topic cannot be read.
    """
    with closing(TopicReader(settings, settings.dead_letters_topic)) as reader:
        first, end = reader.bounds().get(position.partition, (0, 0))
        begin = max(first, end - newest, position.offset + 1)
        if begin < end:
            for records in reader.read({position.partition: (begin, end)}):
                for record in map(read_dead_letter, records):
                    if isinstance(record, Mark) and record.position == position:
                        return record
    return None


class Progress(NamedTuple):
    """The progress of a requeue.

    Attributes:
        committed: the dead letters that the last transaction requeued; empty before the first one.
        total: how many dead letters are to be requeued by all transactions.
    """

    committed: tuple[Position, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Requeued:
    """The effect of a requeue."""

    requeued: tuple[Position, ...]
    requeued_before: tuple[Mark, ...]
    """The marks of dead letters that were requeued earlier; these were skipped."""
    pointers: tuple[DeadLetter, ...]
    """Dead letters without a copy of their record; these were skipped."""
    skipped: Skipped
    """Records that are neither dead letters nor marks."""


def requeue(
    settings: Settings,
    is_selected: Callable[[DeadLetter], bool],
    actor: str,
    report: Callable[[Progress], object] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Requeued:
    """Requeues dead letters: publishes them to the input topic with their original key, value, headers and partition.

    Each is published in one transaction with a mark on the dead-letter topic, and a requeue fences an earlier one that
    has not finished. So none is requeued twice. Requeued records have the header `requeued-from`.

    Args:
        settings: the brokers and the topics.
        is_selected: selects the dead letters.
        actor: the operator, recorded in the marks.
        report: called with the progress, before the first transaction and after each one.
        should_stop: called before each transaction; if it returns True, the rest is not requeued.

    Raises:
        DeadLetterError: one of them came from another topic, or another operator requeued at the same time.
        TopicsError: the topic is missing.
        BrokerError: the topics cannot be read or written; the dead letters requeued until then have their marks.
    """
    skipped = Skipped()
    requeued: list[Position] = []
    with _writing(settings) as producer:
        letters, marks = _gather(settings, is_selected, skipped)
        for letter in letters:
            _require_own(settings, letter)
        unmarked = [letter for letter in letters if letter.position not in marks and not letter.pointer]
        report(Progress((), len(unmarked)))
        for chunk in _transactions(_within_partitions(settings, unmarked)):
            if should_stop():
                break
            _commit(settings, producer, chunk, actor)
            committed = tuple(letter.position for letter in chunk)
            requeued += committed
            report(Progress(committed, len(unmarked)))
    return Requeued(
        tuple(requeued),
        tuple(marks[letter.position] for letter in letters if letter.position in marks),
        tuple(letter for letter in letters if letter.position not in marks and letter.pointer),
        skipped,
    )


@contextmanager
def _writing(settings: Settings) -> Iterator[Producer]:
    """Opens the producer of a requeue, which fences all earlier ones, and explains its errors."""
    options = {
        "partitioner": "murmur2_random",  # for records whose partition is unknown, or no longer exists
        "compression.type": "zstd",  # an application that arrived compressed may fit only when it is compressed
        "message.max.bytes": "20000000",  # a dead letter contains the whole record; the topic's own limit decides
    }
    transactional_id = requeue_writer(settings)
    producer = open_writer(settings, transactional_id, options)
    topics = settings.applications_topic, settings.dead_letters_topic
    needed = [*(to_topic(Operation.WRITE, topic) for topic in topics), to_transactions(transactional_id)]
    conflict = DeadLetterError(
        "another operator requeued at the same time: `scorer dlq list` shows what was requeued; try again for the rest"
    )

    def describe(why: str) -> str:
        return (
            f"dead letters could not be requeued to {settings.applications_topic}: {why}. Those requeued before are "
            "marked: running this again requeues none twice"
        )

    with explain_errors(settings, conflict, describe, needed):
        producer.init_transactions(WRITE_S)
        yield producer


def _gather(
    settings: Settings, is_selected: Callable[[DeadLetter], bool], skipped: Skipped
) -> tuple[list[DeadLetter], Mapping[Position, Mark]]:
    letters, marks = [], {}
    for record in read_dead_letters(settings, skipped=skipped):
        if isinstance(record, Mark):
            marks[record.position] = record
        elif is_selected(record):
            letters.append(record)
    return letters, marks


def _require_own(settings: Settings, letter: DeadLetter) -> None:
    if letter.topic != settings.applications_topic:
        raise DeadLetterError(
            f"the dead letter at {letter.position} came from topic {letter.topic or '(unknown)'}, but "
            f"applications_topic is {settings.applications_topic}: nothing was requeued"
        )


def _within_partitions(settings: Settings, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Returns the dead letters; one whose partition no longer exists is left to the partitioner."""
    with closing(TopicReader(settings, settings.applications_topic, operation=Operation.WRITE)) as reader:
        existing = frozenset(reader.partitions)
    return [letter if letter.partition in existing else replace(letter, partition=UNKNOWN) for letter in letters]


def _transactions(letters: Sequence[DeadLetter]) -> Iterator[list[DeadLetter]]:
    """Splits the dead letters, in order, into chunks for one transaction each."""
    chunk: list[DeadLetter] = []
    chunk_bytes = 0
    for letter in letters:
        chunk.append(letter)
        chunk_bytes += len(letter.value or b"")
        if chunk_bytes > _TRANSACTION_BYTES_MAX or len(chunk) == 1_000:
            yield chunk
            chunk, chunk_bytes = [], 0
    if chunk:
        yield chunk


def _commit(settings: Settings, producer: Producer, letters: Sequence[DeadLetter], actor: str) -> None:
    """Requeues dead letters in one transaction."""
    producer.begin_transaction()
    try:
        for letter in letters:
            _requeue_one(settings, producer, letter, actor)
        producer.commit_transaction(WRITE_S)  # waits for each delivery, and fails if one does
    except KafkaException as failure:
        error = failure.args[0]
    else:
        return
    # `produce` reports every fatal error as _FATAL; the next call reports which one it is.
    if triage(error) is not Fault.FATAL or error.code() == KafkaError._FATAL:
        producer.abort_transaction(WRITE_S)
    raise KafkaException(error)


def _requeue_one(settings: Settings, producer: Producer, letter: DeadLetter, actor: str) -> None:
    topic = settings.dead_letters_topic
    requeued_from = (rejection.REQUEUED_FROM_HEADER, f"{topic}:{letter.position}".encode())
    mark = {
        rejection.REQUEUED_HEADER: str(letter.position.offset),
        rejection.ACTOR_HEADER: actor,
        rejection.AT_HEADER: datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    producer.produce(
        settings.applications_topic,
        letter.value,
        letter.key,
        letter.partition,
        headers=[*letter.headers, requeued_from],
    )
    producer.produce(topic, None, letter.key, letter.position.partition, headers=dict(mark))
