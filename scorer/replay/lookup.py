"""Finds the decisions on one application, and its record: of each topic one partition is read, which the key names."""

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from typing import Final, NamedTuple

import numpy as np

from schemas.printable import printable
from schemas.records import ReadDecision, read_results, timestamp_ms
from scorer.errors import ExplanationError, MisuseError
from scorer.operate.partitioner import find_partition
from scorer.operate.reading import Skipped, TopicReader
from scorer.replay.current import NOTHING, DecisionColumns, choose_current
from scorer.settings import Settings
from scorer.stream.worker import Record

_DECISION_ID: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9._-]+):(?P<partition>\d{1,10}):(?P<offset>\d{1,19})@[0-9a-f]{12}"
)
_LISTED_MAX: Final = 10


class Written(NamedTuple):
    """A decision with its record."""

    decision: ReadDecision
    record: Record


class Lookup(NamedTuple):
    """A decision, the record that it is about, and the other decisions on the same application.

    Attributes:
        application: the application's record.
        decision: the requested decision, or the current one.
        value: the bytes of the decision's record.
        current_id: the id of the current decision.
        others: the other decisions with this application id, in the order in which they were read.
    """

    application: Record
    decision: ReadDecision
    value: bytes
    current_id: str
    others: tuple[ReadDecision, ...]


def look_up(settings: Settings, sought_id: str) -> Lookup:
    """Finds a decision by its id, or the current decision on an application by the application's id.

    Records with the key of the application are in one partition of the decisions topic. If that has no such decision,
    because partitions were added or the publisher chose another key, the other partitions are read as well.

    Args:
        settings: the brokers and topics.
        sought_id: a decision's id (topic:partition:offset@digest), or an application's id.

    Raises:
        MisuseError: the decision's id is about another topic.
        ExplanationError: there is no such decision, or retention has deleted the application's record.
        TopicsError: a topic is missing.
        BrokerError: it cannot be read.
    """
    match = _DECISION_ID.fullmatch(sought_id)
    if match is None:
        return _look_up_application(settings, sought_id)
    if match["topic"] != settings.applications_topic:
        raise MisuseError(
            f"{sought_id} is about a record of topic {match['topic']}, but applications_topic is "
            f"{settings.applications_topic}: set applications_topic and decisions_topic of that environment"
        )
    position = int(match["partition"]), int(match["offset"])
    application = _read_application(settings, position)
    written = _read_decisions(settings, application.key(), lambda one: _position(one) == position)
    requested = [one for one in written if one.decision.decision_id == sought_id]
    if not requested:
        listed = ", ".join(sorted({printable(one.decision.decision_id, 300) for one in written})[:_LISTED_MAX])
        raise ExplanationError(
            f"no decision {sought_id} on topic {settings.decisions_topic}; "
            + (f"the decisions on this record are {listed}" if listed else _WHY_NONE)
        )
    return _make(application, requested[-1], _choose_current(written), written)


_WHY_NONE: Final = "`scorer dlq list` lists rejected applications, and retention deletes old decisions"


def _look_up_application(settings: Settings, application_id: str) -> Lookup:
    written = _read_decisions(settings, application_id.encode(), lambda one: one.application_id == application_id)
    if not written:
        raise ExplanationError(
            f"no decision with the application id {printable(application_id, 300)} on topic "
            f"{settings.decisions_topic}: {_WHY_NONE}"
        )
    current = _choose_current(written)
    return _make(_read_application(settings, _position(current.decision)), current, current, written)


def _make(application: Record, chosen: Written, current: Written, written: Sequence[Written]) -> Lookup:
    others = tuple(one.decision for one in written if one is not chosen)
    return Lookup(application, chosen.decision, chosen.record.value() or b"", current.decision.decision_id, others)


def _position(decision: ReadDecision) -> tuple[int, int]:
    return decision.source_partition, decision.source_offset


def _read_application(settings: Settings, position: tuple[int, int]) -> Record:
    topic, (partition, offset) = settings.applications_topic, position
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


def _read_decisions(settings: Settings, key: bytes | None, is_sought: Callable[[ReadDecision], bool]) -> list[Written]:
    """Returns decisions on the applications topic: those of the key's partition, or if there are none of all others."""
    with closing(TopicReader(settings, settings.decisions_topic)) as reader:
        partitions = set(reader.partitions)
        likely = partitions if key is None else partitions & {find_partition(key, len(partitions))}
        return _read(settings, reader, likely, is_sought) or _read(settings, reader, partitions - likely, is_sought)


def _read(
    settings: Settings, reader: TopicReader, partitions: Collection[int], is_sought: Callable[[ReadDecision], bool]
) -> list[Written]:
    bounds = {partition: ends for partition, ends in reader.bounds().items() if partition in partitions}
    return [
        Written(decision, record)
        for records in reader.read(bounds)
        for record, decision in read_results(records, "", Skipped().add)
        if isinstance(decision, ReadDecision)
        and decision.source_topic == settings.applications_topic
        and is_sought(decision)
    ]


def _choose_current(written: Sequence[Written]) -> Written:
    """Returns the current decision: that on the application's last record, and of this one what is not superseded."""
    positions = [_position(one.decision) for one in written]
    columns = DecisionColumns(
        np.array([positions.index(position) for position in positions], dtype=np.int64),
        np.array([_identity(one.decision, one.decision.decision_id) for one in written], dtype=np.int64),
        np.array([_superseded(one.decision) for one in written], dtype=np.int64),
        np.array([hash(one.decision.replay_id) for one in written], dtype=np.int64),
        np.array([one.record.partition() for one in written], dtype=np.int64),
        np.array([one.record.offset() for one in written], dtype=np.int64),
        np.array([timestamp_ms(one.record) for one in written], dtype=np.int64),
    )
    last: dict[int, Written] = {}
    for index in choose_current(columns)[0].tolist():
        partition, offset = positions[index]
        if partition not in last or offset > last[partition].decision.source_offset:
            last[partition] = written[index]
    return max(last.values(), key=lambda one: timestamp_ms(one.record))


def _superseded(decision: ReadDecision) -> int:
    return _identity(decision, decision.supersedes) if decision.supersedes else NOTHING


def _identity(decision: ReadDecision, decision_id: str) -> int:
    return hash((*_position(decision), decision_id)) or 1  # NOTHING is 0
