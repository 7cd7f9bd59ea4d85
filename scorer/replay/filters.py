"""The filters of a replay or verification, and the selection of current decisions by them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from schemas.decision import BundleReference
from scorer.errors import ReplayError
from scorer.operate.reading import Skipped, milliseconds
from scorer.replay.decisions import OnProgress, read_current
from scorer.replay.ids import without_decision
from scorer.replay.published import Period, select_published
from scorer.replay.selection import Selection
from scorer.settings import Settings


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters for applications, combined with AND."""

    decided_by: BundleReference | None = None
    """The bundle that made the current decision."""
    begin: datetime | None = None
    """Only records with this timestamp or a later one."""
    end: datetime | None = None
    """Only records with an earlier timestamp."""
    offsets: Sequence[tuple[int, int, int]] = ()
    """Only records in one of these ranges: partition, first offset, last offset."""
    ids: Sequence[str] | None = None
    """Only applications with these ids; None selects all."""
    since: datetime | None = None
    """Only decisions written at this time or later."""

    @property
    def is_empty(self) -> bool:
        """Whether all applications match: there is no filter, apart from `since`."""
        return self.decided_by is None and not (self.begin or self.end or self.offsets) and self.ids is None

    def __str__(self) -> str:
        """The filters in words, for messages."""
        words = []
        if self.decided_by is not None:
            words.append(f"decided by {self.decided_by.short}")
        if self.begin:
            words.append(f"published from {self.begin:%Y-%m-%d %H:%M:%S} UTC")
        if self.end:
            words.append(f"published before {self.end:%Y-%m-%d %H:%M:%S} UTC")
        words += [f"partition {p}, offsets {first} to {last}" for p, first, last in self.offsets]
        if self.ids is not None:
            words.append(f"{len(self.ids):,} application ids")
        if self.since:
            words.append(f"decided since {self.since:%Y-%m-%d %H:%M:%S} UTC")
        return f"applications {', '.join(words)}" if words else "any application"

    @contextmanager
    def with_hint(self) -> Iterator[None]:
        """Adds to the message of a ReplayError how to select more, if `since` may explain an empty selection."""
        try:
            yield
        except ReplayError as error:
            if self.since is None:
                raise
            read = f"Only decisions since {self.since:%Y-%m-%d %H:%M:%S} UTC were read"
            raise ReplayError(f"{error}. {read}: give an earlier time with --since, or leave it out") from error


@dataclass(frozen=True, slots=True)
class Selected:
    """The selected applications, and what was left out."""

    selection: Selection
    skipped: Skipped
    """Records on the decisions topic that are not decisions."""
    circular: int
    """Applications whose decisions supersede each other in a cycle; the one written last counts as current."""
    undated: int
    """Applications that are left out because their records were deleted, so their timestamps are unknown."""
    ids_without_decision: tuple[str, ...] | None
    """The requested ids without a decision; None if no ids were requested."""

    def notes(self, settings: Settings) -> list[str]:
        """Returns notes to show with every result of this selection, one sentence each."""
        notes = [f"{self.skipped}"] if self.skipped.count else []
        if self.circular:
            notes.append(
                f"applications whose decisions on {settings.decisions_topic} supersede each other in a cycle, so that "
                f"the one written last counts: {self.circular:,}"
            )
        if self.undated:
            notes.append(
                "applications left out because retention deleted their records, so that their timestamps are unknown: "
                f"{self.undated:,}"
            )
        return notes

    @contextmanager
    def with_notes(self, settings: Settings) -> Iterator[None]:
        """Adds the notes to the message of a ReplayError, because they may explain an empty selection."""
        try:
            yield
        except ReplayError as error:
            raise ReplayError(". ".join([str(error), *self.notes(settings)])) from error

    def as_json(self) -> dict[str, object]:
        """The notes as JSON, for scripts."""
        content = self.skipped.as_json() | {"circular": self.circular, "undated": self.undated}
        if self.ids_without_decision is not None:
            content["ids_without_decision"] = self.ids_without_decision
        return content


def select(
    settings: Settings, filters: Filters, progress_for: Callable[[str], AbstractContextManager[OnProgress]]
) -> Selected:
    """Selects applications by their current decisions.

    Args:
        settings: the topics.
        filters: the filters.
        progress_for: shows the progress of reading, given a description of what is read; yields the callback for it.

    Raises:
        TopicsError: a topic is missing.
        BrokerError: one cannot be read.
        ReplayError: the requested bundle made no current decision.
    """
    with progress_for("reading the decisions") as on_progress:
        current = read_current(settings, filters.ids, filters.since, on_progress)
    selection, undated = current.selection, 0
    undecided_ids = None if filters.ids is None else tuple(without_decision(filters.ids, current.ids_found))
    if filters.decided_by is not None:
        read = Selected(selection, current.skipped, current.circular, 0, undecided_ids)
        with read.with_notes(settings), filters.with_hint():
            selection = selection.decided_by(filters.decided_by)
    if filters.offsets:
        selection = selection.within_any([(p, first, last + 1) for p, first, last in filters.offsets])
    if filters.begin or filters.end:
        period = Period(*(None if time is None else milliseconds(time) for time in (filters.begin, filters.end)))
        with progress_for("reading the applications") as on_progress:
            selection, undated = select_published(settings, selection, period, on_progress)
    return Selected(selection, current.skipped, current.circular, undated, undecided_ids)
