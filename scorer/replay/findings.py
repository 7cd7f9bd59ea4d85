"""What a replay found, counted: who would hear another answer, how far probabilities moved, and whom it concerns."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.application import CreditApplication
from schemas.decision import decision_id
from schemas.spreadsheet import SpreadsheetWriter
from scorer.core.features import CATEGORIES
from scorer.core.policy import OUTCOMES
from scorer.core.wire import Application, decode_batch
from scorer.errors import MisuseError
from scorer.replay.again import read_selected
from scorer.replay.decisions import Tell
from scorer.replay.outcomes import PENDING, REFUSED, Outcomes
from scorer.replay.plan import Plan
from scorer.settings import Settings

NAMES: Final = (*OUTCOMES, "refused", "not yet decided")
"""Of an outcome's place, of `REFUSED` and of `PENDING`."""
_BANDS: Final = 10
_CSV_COLUMNS: Final = (
    "application_id", "partition", "offset", "decision_before", "decision_after", "probability_before",
    "probability_after", "bundle_before", "bundle_after", "decision_id_before", "decision_id_after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Applications that have something in common."""

    applications: int
    flipped: int
    """With another decision now."""
    stricter: int
    """Of those, towards DECLINED."""
    shift_mean: float
    """Of the probability of default, after less before."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How the probability of default moved, after less before."""

    mean: float
    p05: float
    median: float
    p95: float
    most: float
    """The largest move either way."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All figures of a report."""

    replay_id: str
    what: str
    created: str
    before: dict[str, int]
    """Who had decided, and how many applications."""
    after: str
    """Who decides now."""
    published: bool
    """False for a dry run."""
    applications: int
    expired: int
    again: int
    """Decided again."""
    corrections: int
    """Of those, published because their bytes differ."""
    flipped: int
    refused: dict[str, int]
    flips: dict[str, dict[str, int]]
    """From what to what; the diagonal too."""
    shift: Shift | None
    """None where nothing has been decided again."""
    bands: dict[str, Group]
    """By the probability before, in tenths."""
    gone: int
    """Applications that were decided again and have since been taken by retention: no category counts them."""
    categories: dict[str, dict[str, Group]]
    """By field and value."""
    skipped: int = 0
    """Malformed records on the topics of decisions and dead letters: what they might have said is not in it."""
    skipped_first: tuple[str, ...] = ()
    """Some of them, each with what is wrong with it."""

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def count(settings: Settings, plan: Plan, outcomes: Outcomes, flips_file: Path | None, tell: Tell) -> Findings:
    """Counts what came of a replay, reading the applications once more for what they have in common.

    Args:
        settings: the topics.
        plan: the replay.
        outcomes: what came of it.
        flips_file: where to list each application whose decision is another one now; None lists none.
        tell: told how far the reading has come.

    Raises:
        MisuseError: the file cannot be written.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
    """
    rows = plan.selection.rows
    is_again = outcomes.outcomes < REFUSED
    flipped = is_again & (rows["outcome"] != outcomes.outcomes)
    moved = _Moved(
        flipped,
        flipped & (outcomes.outcomes > rows["outcome"]),
        np.where(is_again, outcomes.probabilities.astype(np.float64) - rows["probability"], np.nan),
    )
    codes = _read_categories(settings, plan, outcomes, flips_file, flipped, tell)
    return Findings(
        replay_id=plan.replay_id,
        what=plan.what,
        created=plan.created.isoformat(timespec="seconds"),
        before={str(bundle): n for bundle, n in plan.selection.count_by_bundle().items()},
        after=str(plan.bundle),
        published=outcomes.published,
        applications=len(rows),
        expired=plan.expired,
        again=int((outcomes.outcomes != PENDING).sum()),
        corrections=outcomes.corrections,
        flipped=int(flipped.sum()),
        refused=dict(outcomes.refused),
        flips=_flips(rows["outcome"], outcomes.outcomes),
        shift=moved.shift(),
        bands=dict(_by_band(rows["probability"], moved)),
        gone=int((next(iter(codes.values())) < 0).sum()),
        categories={
            field: {value: moved.group(column == place) for place, value in enumerate(CATEGORIES[field])}
            for field, column in codes.items()
        },
        skipped=outcomes.skipped.count,
        skipped_first=tuple(map(str, outcomes.skipped.first)),
    )


@dataclass(frozen=True, slots=True)
class _Moved:
    """Of n applications: whether the decision is another one, a stricter one, and how far the probability moved."""

    flipped: NDArray[np.bool_]
    stricter: NDArray[np.bool_]
    shift_each: NDArray[np.float64]

    def group(self, members: NDArray[np.bool_]) -> Group:
        shifts = self.shift_each[members]
        shifts = shifts[~np.isnan(shifts)]
        return Group(
            int(members.sum()),
            int(self.flipped[members].sum()),
            int(self.stricter[members].sum()),
            float(shifts.mean()) if len(shifts) else 0.0,
        )

    def shift(self) -> Shift | None:
        known = self.shift_each[~np.isnan(self.shift_each)]
        if not len(known):
            return None
        p05, median, p95 = np.quantile(known, (0.05, 0.5, 0.95)).tolist()
        return Shift(float(known.mean()), p05, median, p95, float(np.abs(known).max()))


def _flips(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    pairs = np.bincount(before.astype(np.intp) * len(NAMES) + after, minlength=len(OUTCOMES) * len(NAMES))
    table = pairs.reshape(len(OUTCOMES), len(NAMES)).tolist()
    return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(OUTCOMES, table, strict=True)}


def _by_band(probabilities: NDArray[np.float32], moved: _Moved) -> Iterator[tuple[str, Group]]:
    bands = np.minimum((probabilities * _BANDS).astype(np.intp), _BANDS - 1)
    for band in range(_BANDS):
        yield f"{band / _BANDS:.1f}–{(band + 1) / _BANDS:.1f}", moved.group(bands == band)


def _read_categories(
    settings: Settings, plan: Plan, outcomes: Outcomes, flips_file: Path | None, flipped: NDArray[np.bool_], tell: Tell
) -> dict[str, NDArray[np.int8]]:
    """Of each categorical field the value's place of each application, shape (n,); -1 where it is not known."""
    found = {field: np.full(len(plan.selection), -1, dtype=np.int8) for field in CATEGORIES}
    places_of = {field: _places_of(field) for field in CATEGORIES}
    listed = np.zeros(len(flipped), dtype=np.bool_)
    with _FlipsFile(flips_file, plan, outcomes) as flips:
        for messages, places in read_selected(settings, plan.selection, tell):
            decoded = decode_batch([message.value() for message in messages], settings.record_bytes_max).applications
            known = [
                (a, place) for a, place in zip(decoded, places.tolist(), strict=True) if isinstance(a, Application)
            ]
            applications, among_rows = [a for a, _ in known], [place for _, place in known]
            for field, column in found.items():
                column[among_rows] = [places_of[field][getattr(a, field)] for a in applications]
            flips.add([(a.application_id, place) for a, place in known if flipped[place]])
            listed[among_rows] = True
        # Of those that retention has taken since nothing but the place is known.
        flips.add([("", place) for place in np.flatnonzero(flipped & ~listed).tolist()])
    return found


def _places_of(field: str) -> dict[str | None, int]:
    """Of each value of a categorical field its place; an absent one stands for the default."""
    places: dict[str | None, int] = {value: place for place, value in enumerate(CATEGORIES[field])}
    default = CreditApplication.model_fields[field].default
    return places | ({None: places[default]} if default in places else {})


class _FlipsFile:
    """The applications whose decision is another one now, as CSV, written as they are found."""

    def __init__(self, path: Path | None, plan: Plan, outcomes: Outcomes) -> None:
        self._plan = plan
        self._outcomes = outcomes
        try:
            self._file = None if path is None else path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise MisuseError(f"{path}: cannot be written: {error.strerror}") from error
        if self._file is not None:
            self._write = SpreadsheetWriter(self._file, _CSV_COLUMNS).write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, flipped: list[tuple[str, int]]) -> None:
        """Lists applications: id and place among the plan's rows."""
        if self._file is None:
            return
        selection = self._plan.selection
        for application_id, place in flipped:
            row = selection.rows[place]
            partition, offset = int(row["partition"]), int(row["offset"])
            before, after = selection.bundles[row["bundle"]], self._plan.bundle
            self._write(
                (
                    application_id,
                    partition,
                    offset,
                    OUTCOMES[row["outcome"]],
                    OUTCOMES[self._outcomes.outcomes[place]],
                    float(row["probability"]),
                    float(self._outcomes.probabilities[place]),
                    *(bundle.short for bundle in (before, after)),
                    *(decision_id(selection.topic, partition, offset, bundle) for bundle in (before, after)),
                )
            )
