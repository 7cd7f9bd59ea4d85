"""Which applications a replay or a proof is asked for, and which of the current decisions that comes to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime

from schemas.decision import BundleReference
from scorer.errors import ReplayError
from scorer.replay.decisions import Tell, read_current
from scorer.replay.ids import without_decision
from scorer.replay.published import Period, published_in
from scorer.replay.selection import Selection
from scorer.settings import Settings
from scorer.stream.reading import Skipped, milliseconds


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for; all that is given must hold together."""

    decided_by: BundleReference | None = None
    """Whose current decisions."""
    begin: datetime | None = None
    """Published then or later."""
    end: datetime | None = None
    """Published before then."""
    offsets: Sequence[tuple[int, int, int]] = ()
    """In one of these: partition, first offset and last."""
    ids: Sequence[str] | None = None
    """The applications' ids; None wants all."""
    since: datetime | None = None
    """Decided then or later."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows what is asked for, but when it was decided."""
        return self.decided_by is None and not (self.begin or self.end or self.offsets) and self.ids is None

    def __str__(self) -> str:
        """For people."""
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


@dataclass(frozen=True, slots=True)
class Selected:
    """What was selected, and what was left out on the way."""

    selection: Selection
    skipped: Skipped
    """Records on the decisions topic that are not decisions."""
    circular: int
    """Applications whose decisions all supersede each other; the one written last was taken as the current one."""
    undated: int
    """Applications that are left out because their records are gone: nobody knows when they were published."""
    ids_without_decision: tuple[str, ...] | None
    """Those of the ids that were asked for which no decision names; None where none were asked for."""

    def notes(self, settings: Settings) -> list[str]:
        """What a result that goes by it has to be read with, a sentence each."""
        notes = [f"{self.skipped}"] if self.skipped.count else []
        if self.circular:
            notes.append(
                f"applications whose decisions on {settings.decisions_topic} supersede each other in a circle, so that "
                f"the one written last counts: {self.circular:,}"
            )
        if self.undated:
            notes.append(
                "applications left out because retention has taken their records, so that it is not known when they "
                f"were published: {self.undated:,}"
            )
        return notes

    @contextmanager
    def noted(self, settings: Settings) -> Iterator[None]:
        """Adds the notes to the message of a ReplayError: what was left out may be why there is nothing."""
        try:
            yield
        except ReplayError as error:
            raise ReplayError(". ".join([str(error), *self.notes(settings)])) from error

    def as_json(self) -> dict[str, object]:
        """The same for scripts."""
        found = self.skipped.as_json() | {"circular": self.circular, "undated": self.undated}
        if self.ids_without_decision is not None:
            found["ids_without_decision"] = self.ids_without_decision
        return found


def select(settings: Settings, asked: Asked, telling: Callable[[str], AbstractContextManager[Tell]]) -> Selected:
    """Selects applications by their current decisions.

    Args:
        settings: the topics.
        asked: which ones.
        telling: given what is being read, what is told how far the reading has come.

    Raises:
        TopicsError: a topic is missing.
        BrokerError: one cannot be read.
        ReplayError: the bundle that is asked for has no current decision.
    """
    with telling("reading the decisions") as tell:
        current = read_current(settings, asked.ids, asked.since, tell)
    selection, undated = current.selection, 0
    without = None if asked.ids is None else tuple(without_decision(asked.ids, current.ids_found))
    if asked.decided_by is not None:
        with Selected(selection, current.skipped, current.circular, 0, without).noted(settings):
            selection = selection.decided_by(asked.decided_by)
    if asked.offsets:
        selection = selection.within_any([(p, first, last + 1) for p, first, last in asked.offsets])
    if asked.begin or asked.end:
        period = Period(*(None if moment is None else milliseconds(moment) for moment in (asked.begin, asked.end)))
        with telling("reading the applications") as tell:
            selection, undated = published_in(settings, selection, period, tell)
    return Selected(selection, current.skipped, current.circular, undated, without)
