"""The decisions topic, read back: the current decision on each application."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from schemas.records import Malformed, ReadDecision, read_decision, timestamp_ms
from scorer.core.policy import OUTCOMES
from scorer.errors import ReplayError
from scorer.replay.current import NOTHING, Written, choose_current
from scorer.replay.selection import BUNDLES_MAX, DECIDED, Selection, checksum
from scorer.settings import Settings
from scorer.stream.reading import Bounds, Skipped, TopicReader, milliseconds
from scorer.stream.worker import Record

Tell = Callable[[int, int], None]
"""Told how far a reading has come: so many records of so many."""

_READ: Final = np.dtype(
    [
        *DECIDED.descr,
        ("identity", "<i8"),
        ("written_partition", "<i4"),
        ("written_offset", "<i8"),
        ("written_ms", "<i8"),
    ]
)
"""A decision with what `choose_current` goes by, as far as every decision has it."""
_CORRECTION: Final = np.dtype([("row", "<i8"), ("supersedes", "<i8"), ("replay", "<i8")])
"""What corrections alone have; `row` is the decision's place in the order of reading."""
_PLACES: Final[dict[str, int]] = {outcome: place for place, outcome in enumerate(OUTCOMES)}
# Clocks of those who write decisions may differ by this much: a correction can seem older than what it supersedes.
_CLOCKS_DIFFER_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class CurrentDecisions:
    """What a reading of the decisions topic found."""

    selection: Selection
    skipped: Skipped
    """Records that are not decisions."""
    circular: int
    """Applications whose decisions all supersede each other; the one written last was taken as the current one."""
    ids_found: frozenset[str]
    """Those of the wanted ids that a decision names; none where all are wanted."""


class DecisionTable:
    """Decisions in the order in which they were read, by column."""

    def __init__(self, topic: str, ids: Collection[str] | None = None, replay_id: str | None = None) -> None:
        """Begins empty.

        Args:
            topic: the applications topic; decisions on records of another are left out.
            ids: the only applications that are wanted; None wants all.
            replay_id: the only replay whose decisions are wanted; None wants all.
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
        """Takes in some records of the decisions topic; malformed ones are skipped and counted.

        Raises:
            ReplayError: there are more bundles than a replay can number.
        """
        kept, decisions = [], []
        for record in records:
            decision = read_decision(record)
            if isinstance(decision, Malformed):
                self.skipped.add(decision)
            elif self._wants(decision):
                kept.append(record)
                decisions.append(decision)
        if self._ids is not None:
            self._ids_found.update(d.application_id for d in decisions)
        rows = np.empty(len(kept), dtype=_READ)
        rows["partition"] = [d.source_partition for d in decisions]
        rows["offset"] = [d.source_offset for d in decisions]
        rows["probability"] = [d.probability_of_default for d in decisions]
        rows["outcome"] = [_PLACES[d.decision] for d in decisions]
        rows["bundle"] = self._places([d.bundle for d in decisions])
        rows["fingerprint"] = [hash(record.value()) for record in kept]
        rows["application"] = [checksum(d.application_id.encode()) for d in decisions]
        rows["identity"] = [_identity(d, d.decision_id) for d in decisions]
        rows["written_partition"] = [record.partition() for record in kept]
        rows["written_offset"] = [record.offset() for record in kept]
        rows["written_ms"] = [timestamp_ms(record) for record in kept]
        corrections = [
            (self._count + row, _identity(d, d.supersedes) if d.supersedes else NOTHING, hash(d.replay_id))
            for row, d in enumerate(decisions)
            if d.is_correction
        ]
        self._rows.append(rows)
        self._corrections.append(np.array(corrections, dtype=_CORRECTION))
        self._count += len(rows)

    def current(self, since: datetime | None = None) -> CurrentDecisions:
        """The current decision on each application, in whatever order decisions were added.

        Args:
            since: leaves out applications whose current decision was written before; None leaves out none.
        """
        rows = np.concatenate([np.empty(0, dtype=_READ), *self._rows])
        order = np.lexsort((rows["offset"], rows["partition"]))
        partition, offset = rows["partition"][order], rows["offset"][order]
        differs = (np.diff(partition) != 0) | (np.diff(offset) != 0)
        begins, ends = np.append(True, differs), np.append(differs, True)
        alone = (begins & ends)[: len(rows)]
        chosen, circular = self._choose(rows, order[~alone], np.cumsum(begins)[: len(rows)][~alone])
        kept = np.concatenate([order[alone], chosen])
        if since is not None:
            kept = kept[rows["written_ms"][kept] >= milliseconds(since)]
        found = np.empty(len(kept), dtype=DECIDED)
        for column in DECIDED.names or ():
            found[column] = rows[column][kept]
        found = found[np.lexsort((found["offset"], found["partition"]))]
        selection = Selection(self._topic, tuple(self._bundles), found)
        return CurrentDecisions(selection, self.skipped, circular, frozenset(self._ids_found))

    def _choose(
        self, rows: NDArray[np.void], places: NDArray[np.intp], application: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], int]:
        """The current ones among these places of rows, whose applications have several decisions each."""
        corrections = np.concatenate([np.empty(0, dtype=_CORRECTION), *self._corrections])
        among = np.searchsorted(corrections["row"], places)
        is_correction = np.zeros(len(places), dtype=np.bool_)
        within = among < len(corrections)
        is_correction[within] = corrections["row"][among[within]] == places[within]

        def of_corrections(column: str) -> NDArray[np.int64]:
            found = np.full(len(places), NOTHING, dtype=np.int64)
            found[is_correction] = corrections[column][among[is_correction]]
            return found

        mine = rows[places]
        written = Written(
            application,
            mine["identity"],
            of_corrections("supersedes"),
            of_corrections("replay"),
            mine["written_partition"],
            mine["written_offset"],
            mine["written_ms"],
        )
        chosen, circular = choose_current(written)
        return places[chosen], circular

    def _wants(self, decision: ReadDecision) -> bool:
        return (
            decision.source_topic == self._topic
            and (self._ids is None or decision.application_id in self._ids)
            and (self._replay_id is None or decision.replay_id == self._replay_id)
        )

    def _places(self, bundles: Sequence[BundleReference]) -> list[int]:
        """The place of each of n bundles among all."""
        places = {}  # a reference's own hash is slow, and these are the same few objects again and again
        for known_as, bundle in {id(bundle): bundle for bundle in bundles}.items():
            places[known_as] = self._bundles.setdefault(bundle, len(self._bundles))
        if len(self._bundles) > BUNDLES_MAX:
            raise ReplayError(f"more than {BUNDLES_MAX} bundles have decided; narrow what is read with --since")
        return [places[id(bundle)] for bundle in bundles]


def read_current(
    settings: Settings, ids: Collection[str] | None = None, since: datetime | None = None, tell: Tell = lambda *_: None
) -> CurrentDecisions:
    """Reads the decisions topic as it is now, and finds the current decision on each application.

    Args:
        settings: the topics.
        ids: the only applications that are wanted; None wants all.
        since: leaves out applications whose current decision was written before; None leaves out none.
        tell: told how far the reading has come.

    Raises:
        TopicsError: the topic is missing.
        BrokerError: it cannot be read.
        ReplayError: there are more bundles than a replay can number.
    """
    table = DecisionTable(settings.applications_topic, ids)
    with closing(TopicReader(settings, settings.decisions_topic, table.skipped)) as reader:
        bounds = reader.bounds()
        if since is not None:
            bounds = reader.narrow(bounds, milliseconds(since) - _CLOCKS_DIFFER_MS)
        for records in counted(reader.read(bounds), bounds, tell):
            table.add(records)
    return table.current(since)


def counted(batches: Iterator[list[Record]], bounds: Bounds, tell: Tell) -> Iterator[list[Record]]:
    """The same batches; tells how far they have come."""
    done, total = 0, sum(end - first for first, end in bounds.values())
    for records in batches:
        yield records
        done += len(records)
        tell(done, total)
    # Offsets, of which transaction markers take up some, so that the records are fewer.
    tell(total, total)


def _identity(decision: ReadDecision, decision_id: str) -> int:
    """A number for a decision_id on the application of a decision: what is said of another application says nothing."""
    return hash((decision.source_partition, decision.source_offset, decision_id)) or 1  # NOTHING is 0
