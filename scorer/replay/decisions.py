"""Reads the decisions topic, and determines the current decision on each application."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from schemas.records import UNKNOWN, ReadDecision, read_results, timestamp_ms
from scorer.core.policy import LABELS
from scorer.errors import ReplayError
from scorer.operate.current import NOTHING, DecisionColumns, choose_current
from scorer.operate.reading import Bounds, Skipped, TopicReader, milliseconds
from scorer.replay.selection import BUNDLES_MAX, DECIDED, Selection, checksum
from scorer.settings import Settings
from scorer.stream.worker import Record

OnProgress = Callable[[int, int], None]
"""Callback for the progress of reading: records done, and records in total."""

_DECISION: Final = np.dtype(
    [
        *DECIDED.descr,
        ("identity", "<i8"),
        ("written_partition", "<i4"),
        ("written_offset", "<i8"),
        ("written_ms", "<i8"),
    ]
)
"""A decision with the columns for `choose_current` that every decision has."""
_CORRECTION: Final = np.dtype([("row", "<i8"), ("supersedes", "<i8"), ("replay", "<i8")])
"""The columns that only corrections have; `row` is the decision's index in read order."""
_LABEL_INDEXES: Final[dict[str, int]] = {label: index for index, label in enumerate(LABELS)}
# Maximum clock skew between writers of decisions: a correction can seem older than the decision it supersedes.
_CLOCK_SKEW_MAX_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class CurrentDecisions:
    """The current decisions, as read from the decisions topic."""

    selection: Selection
    skipped: Skipped
    """Records that are not decisions."""
    circular: int
    """Applications whose decisions supersede each other in a cycle; the one written last counts as current."""
    ids_found: frozenset[str]
    """The requested ids that have a decision; empty if all applications are read."""


class DecisionTable:
    """Decisions in read order, by column."""

    def __init__(self, topic: str, ids: Collection[str] | None = None, replay_id: str | None = None) -> None:
        """Creates an empty table.

        Args:
            topic: the applications topic; decisions on records of other topics are left out.
            ids: keep only decisions on these applications; None keeps all.
            replay_id: keep only decisions of this replay; None keeps all.
        """
        self.skipped = Skipped()
        self._topic = topic
        self._replay_id = replay_id
        self._ids = None if ids is None else frozenset(ids)
        self._ids_found: set[str] = set()
        self._bundles: dict[BundleReference, int] = {}
        self._rows: list[NDArray[np.void]] = []
        self._corrections: list[NDArray[np.void]] = []
        self._count = 0

    def add(self, records: Sequence[Record]) -> None:
        """Adds records of the decisions topic; malformed ones are skipped and counted.

        Raises:
            ReplayError: there are more bundles than a replay supports.
        """
        matching, decisions = [], []
        for record, decision in read_results(records, "", self.skipped.add):
            if isinstance(decision, ReadDecision) and self._matches(decision):
                matching.append(record)
                decisions.append(decision)
        if self._ids is not None:
            self._ids_found.update(d.application_id for d in decisions)
        rows = np.empty(len(matching), dtype=_DECISION)
        rows["partition"] = [d.source_partition for d in decisions]
        rows["offset"] = [d.source_offset for d in decisions]
        rows["probability"] = [d.probability_of_default for d in decisions]
        rows["outcome"] = [_LABEL_INDEXES[d.decision] for d in decisions]
        rows["bundle"] = self._bundle_indexes([d.bundle for d in decisions])
        rows["fingerprint"] = [hash(record.value()) for record in matching]
        rows["application"] = [checksum(d.application_id.encode()) for d in decisions]
        rows["identity"] = [_identity(d, d.decision_id) for d in decisions]
        rows["written_partition"] = [record.partition() for record in matching]
        rows["written_offset"] = [record.offset() for record in matching]
        rows["written_ms"] = [timestamp_ms(record) for record in matching]
        corrections = [
            (self._count + row, _identity(d, d.supersedes) if d.supersedes else NOTHING, hash(d.replay_id))
            for row, d in enumerate(decisions)
            if d.is_correction
        ]
        self._rows.append(rows)
        self._corrections.append(np.array(corrections, dtype=_CORRECTION))
        self._count += len(rows)

    def current(self, since: datetime | None = None) -> CurrentDecisions:
        """Returns the current decision on each application, independent of the order of adding.

        Args:
            since: leaves out applications whose current decision was written earlier; None keeps all.
        """
        rows = np.concatenate([np.empty(0, dtype=_DECISION), *self._rows])
        order = np.lexsort((rows["offset"], rows["partition"]))
        partition, offset = rows["partition"][order], rows["offset"][order]
        differs = (np.diff(partition) != 0) | (np.diff(offset) != 0)
        begins, ends = np.append(True, differs), np.append(differs, True)
        is_single = (begins & ends)[: len(rows)]
        chosen, circular = self._choose(rows, order[~is_single], np.cumsum(begins)[: len(rows)][~is_single])
        selected = np.concatenate([order[is_single], chosen])
        if since is not None:
            selected = selected[rows["written_ms"][selected] >= milliseconds(since)]
        current = np.empty(len(selected), dtype=DECIDED)
        for column in DECIDED.names or ():
            current[column] = rows[column][selected]
        current = current[np.lexsort((current["offset"], current["partition"]))]
        selection = Selection(self._topic, tuple(self._bundles), current)
        return CurrentDecisions(selection, self.skipped, circular, frozenset(self._ids_found))

    def written_ms(self) -> tuple[int, int] | None:
        """Returns the first and the last timestamp of the decisions' records, in ms since 1970; None without any."""
        written = np.concatenate([np.empty(0, dtype=np.int64), *(rows["written_ms"] for rows in self._rows)])
        known = written[written != UNKNOWN]
        return (int(known.min()), int(known.max())) if len(known) else None

    def _choose(
        self, rows: NDArray[np.void], indexes: NDArray[np.intp], application: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], int]:
        """Chooses the current decisions among these rows, of applications that have several decisions."""
        corrections = np.concatenate([np.empty(0, dtype=_CORRECTION), *self._corrections])
        positions = np.searchsorted(corrections["row"], indexes)
        is_correction = np.zeros(len(indexes), dtype=np.bool_)
        in_range = positions < len(corrections)
        is_correction[in_range] = corrections["row"][positions[in_range]] == indexes[in_range]

        def correction_column(column: str) -> NDArray[np.int64]:
            values = np.full(len(indexes), NOTHING, dtype=np.int64)
            values[is_correction] = corrections[column][positions[is_correction]]
            return values

        candidates = rows[indexes]
        columns = DecisionColumns(
            application,
            candidates["identity"],
            correction_column("supersedes"),
            correction_column("replay"),
            candidates["written_partition"],
            candidates["written_offset"],
            candidates["written_ms"],
        )
        chosen, circular = choose_current(columns)
        return indexes[chosen], circular

    def _matches(self, decision: ReadDecision) -> bool:
        return (
            decision.source_topic == self._topic
            and (self._ids is None or decision.application_id in self._ids)
            and (self._replay_id is None or decision.replay_id == self._replay_id)
        )

    def _bundle_indexes(self, bundles: Sequence[BundleReference]) -> list[int]:
        """Returns the index of each of n bundles."""
        indexes = {}  # hashing a reference is slow, and there are only a few distinct objects
        for object_id, bundle in {id(bundle): bundle for bundle in bundles}.items():
            indexes[object_id] = self._bundles.setdefault(bundle, len(self._bundles))
        if len(self._bundles) > BUNDLES_MAX:
            raise ReplayError(f"the decisions are by more than {BUNDLES_MAX} bundles; read fewer with --since")
        return [indexes[id(bundle)] for bundle in bundles]


def read_current(
    settings: Settings,
    ids: Collection[str] | None = None,
    since: datetime | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> CurrentDecisions:
    """Reads the decisions topic up to its current end, and returns the current decision on each application.

    Args:
        settings: the topics.
        ids: keep only these applications; None keeps all.
        since: leaves out applications whose current decision was written earlier; None keeps all.
        on_progress: called with the progress of reading.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
        ReplayError: there are more bundles than a replay supports.
    """
    table = DecisionTable(settings.applications_topic, ids)
    with closing(TopicReader(settings, settings.decisions_topic, table.skipped)) as reader:
        bounds = reader.bounds()
        if since is not None:
            bounds = reader.narrow(bounds, milliseconds(since) - _CLOCK_SKEW_MAX_MS)
        for records in with_progress(reader.read(bounds), bounds, on_progress):
            table.add(records)
    return table.current(since)


def with_progress(batches: Iterator[list[Record]], bounds: Bounds, on_progress: OnProgress) -> Iterator[list[Record]]:
    """Yields the same batches, and reports the progress."""
    done, total = 0, sum(end - first for first, end in bounds.values())
    for records in batches:
        yield records
        done += len(records)
        on_progress(done, total)
    # The total counts offsets. Transaction markers use some of them, so there are fewer records.
    on_progress(total, total)


def _identity(decision: ReadDecision, decision_id: str) -> int:
    """Hashes a decision_id with the application of a decision, so that ids of other applications never match."""
    return hash((decision.source_partition, decision.source_offset, decision_id)) or 1  # NOTHING is 0
