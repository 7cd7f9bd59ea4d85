"""Finds the decisions on one application, and its record: of each topic one partition is read, which the key names."""

from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import Final, NamedTuple, Self

import numpy as np

from schemas.records import ReadDecision, read_results, timestamp_ms
from scorer.errors import ExplanationError
from scorer.operate.current import NOTHING, DecisionColumns, choose_current
from scorer.operate.partitioner import find_partition
from scorer.operate.reading import Skipped, TopicReader
from scorer.settings import Settings
from scorer.stream.worker import Record

WHY_NO_DECISION: Final = "`scorer dlq list` lists rejected applications, and retention deletes old decisions"


class Written(NamedTuple):
    """A decision, and the position and timestamp of its own record."""

    decision: ReadDecision
    partition: int
    offset: int
    at_ms: int
    """Milliseconds since 1970."""

    @classmethod
    def of(cls, record: Record, decision: ReadDecision) -> Self:
        """A decision that was read from this record."""
        return cls(decision, record.partition(), record.offset(), timestamp_ms(record))

    @property
    def source(self) -> tuple[int, int]:
        """Partition and offset of the application's record."""
        return self.decision.source_partition, self.decision.source_offset


def read_decisions(
    settings: Settings, key: bytes | None, is_sought: Callable[[ReadDecision], bool]
) -> list[tuple[Written, Record]]:
    """Reads decisions on the applications topic: those of the key's partition, or if there are none of all others.

    Records with the key of the application are in one partition. If that has no such decision, because partitions were
    added or the publisher chose another key, the other partitions are read as well.

    Args:
        settings: the brokers and topics.
        key: the key of the application's record; None reads all partitions.
        is_sought: whether to return a decision.

    Raises:
        TopicsError: a topic is missing.
        BrokerError: it cannot be read.
    """
    with closing(TopicReader(settings, settings.decisions_topic)) as reader:
        partitions = set(reader.partitions)
        likely = partitions if key is None else partitions & {find_partition(key, len(partitions))}
        return _read(settings, reader, likely, is_sought) or _read(settings, reader, partitions - likely, is_sought)


def _read(
    settings: Settings, reader: TopicReader, partitions: Collection[int], is_sought: Callable[[ReadDecision], bool]
) -> list[tuple[Written, Record]]:
    bounds = {partition: ends for partition, ends in reader.bounds().items() if partition in partitions}
    return [
        (Written.of(record, decision), record)
        for records in reader.read(bounds)
        for record, decision in read_results(records, "", Skipped().add)
        if isinstance(decision, ReadDecision)
        and decision.source_topic == settings.applications_topic
        and is_sought(decision)
    ]


def read_application(settings: Settings, source: tuple[int, int]) -> Record:
    """Reads the record of an application.

    Args:
        settings: the brokers and topics.
        source: its partition and offset.

    Raises:
        ExplanationError: there is none, or retention has deleted it.
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
    """
    topic, (partition, offset) = settings.applications_topic, source
    with closing(TopicReader(settings, topic)) as reader:
        first, end = reader.bounds().get(partition, (0, 0))
        if first <= offset < end:
            for records in reader.read({partition: (offset, offset + 1)}):
                for record in records:
                    if record.offset() == offset:
                        return record
    if offset < first:
        raise ExplanationError(
            f"the application's record {topic}[{partition}]@{offset} was deleted by retention (the partition begins at "
            f"{first}): a decision can only be explained from the record. If you keep the application elsewhere, use "
            "--file FILE --bundle REF"
        )
    raise ExplanationError(f"no record at {topic}[{partition}]@{offset}: was the topic deleted and created again?")


def choose_current_decision(written: Sequence[Written]) -> Written:
    """Returns the current decision: that on the application's last record, and of this one what is not superseded.

    Args:
        written: decisions on one application, at least one.
    """
    sources = [one.source for one in written]
    numbers = {source: number for number, source in enumerate(dict.fromkeys(sources))}
    columns = DecisionColumns(
        np.array([numbers[source] for source in sources], dtype=np.int64),
        np.array([_identity(one, one.decision.decision_id) for one in written], dtype=np.int64),
        np.array([_superseded(one) for one in written], dtype=np.int64),
        np.array([hash(one.decision.replay_id) for one in written], dtype=np.int64),
        np.array([one.partition for one in written], dtype=np.int64),
        np.array([one.offset for one in written], dtype=np.int64),
        np.array([one.at_ms for one in written], dtype=np.int64),
    )
    last: dict[int, Written] = {}
    for index in choose_current(columns)[0].tolist():
        partition, offset = sources[index]
        if partition not in last or offset > last[partition].decision.source_offset:
            last[partition] = written[index]
    return max(last.values(), key=lambda one: one.at_ms)


def _superseded(written: Written) -> int:
    return _identity(written, written.decision.supersedes) if written.decision.supersedes else NOTHING


def _identity(written: Written, decision_id: str) -> int:
    return hash((*written.source, decision_id)) or 1  # NOTHING is 0
