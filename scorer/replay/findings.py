"""The figures of a replay: how many decisions changed, how far probabilities moved, and which groups are affected."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Kind
from schemas.contracts import shipped_contract
from schemas.decision import decision_id
from schemas.spreadsheet import SpreadsheetWriter
from scorer.core.decode import Decoder
from scorer.core.policy import LABELS
from scorer.errors import MisuseError
from scorer.replay.decisions import Tell
from scorer.replay.plan import Plan
from scorer.replay.rescore import read_selected
from scorer.replay.results import PENDING, REFUSED, Outcomes
from scorer.settings import Settings

NAMES: Final = (*LABELS, "refused", "not yet decided")
"""Names by code: the labels, `REFUSED` and `PENDING`."""
_BANDS: Final = 10
_CATEGORIES: Final = {
    name: field.categories for name, field in shipped_contract().inputs.items() if field.kind is Kind.CATEGORY
}
_CSV_COLUMNS: Final = (
    "application_id", "partition", "offset", "decision_before", "decision_after", "probability_before",
    "probability_after", "bundle_before", "bundle_after", "decision_id_before", "decision_id_after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of a group of applications."""

    applications: int
    flipped: int
    """Applications whose decision changed."""
    stricter: int
    """Those of them with a stricter decision."""
    shift_mean: float
    """Mean change of the probability of default, after minus before."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Distribution of the change of the probability of default, after minus before."""

    mean: float
    p05: float
    median: float
    p95: float
    most: float
    """The largest absolute change."""


@dataclass(frozen=True, slots=True)
class Findings:
    """All figures of a replay report."""

    replay_id: str
    what: str
    created: str
    before: dict[str, int]
    """Number of applications by the bundle that had decided them."""
    after: str
    """The bundle of the replay."""
    published: bool
    """False for a dry run."""
    applications: int
    expired: int
    again: int
    """Rescored applications."""
    corrections: int
    """Corrections published, because their bytes differ."""
    flipped: int
    refused: dict[str, int]
    flips: dict[str, dict[str, int]]
    """Number of applications by label before and after, including unchanged ones."""
    shift: Shift | None
    """None if no application was rescored."""
    bands: dict[str, Group]
    """By the previous probability, in intervals of 0.1."""
    gone: int
    """Rescored applications that retention has deleted since: they are missing in `categories`."""
    categories: dict[str, dict[str, Group]]
    """By field and value."""
    skipped: int = 0
    """Malformed records on the decisions and dead-letter topics, which are not included."""
    skipped_first: tuple[str, ...] = ()
    """The first of them, each with its error."""

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON, for scripts."""
        return asdict(self)


def count(settings: Settings, plan: Plan, outcomes: Outcomes, flips_file: Path | None, tell: Tell) -> Findings:
    """Computes the figures of a replay; reads the applications again for their categories.

    Args:
        settings: the topics.
        plan: the replay.
        outcomes: the results of the replay.
        flips_file: file in which to list each application whose decision changed; None writes no file.
        tell: called with the progress of reading.

    Raises:
        MisuseError: the file cannot be written.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
    """
    rows = plan.selection.rows
    is_rescored = outcomes.outcomes < REFUSED
    flipped = is_rescored & (rows["outcome"] != outcomes.outcomes)
    changes = _Changes(
        flipped,
        flipped & (outcomes.outcomes > rows["outcome"]),
        np.where(is_rescored, outcomes.probabilities.astype(np.float64) - rows["probability"], np.nan),
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
        shift=changes.shift(),
        bands=dict(_by_band(rows["probability"], changes)),
        gone=int((next(iter(codes.values())) < 0).sum()),
        categories={
            field: {value: changes.group(column == index) for index, value in enumerate(_CATEGORIES[field])}
            for field, column in codes.items()
        },
        skipped=outcomes.skipped.count,
        skipped_first=tuple(map(str, outcomes.skipped.first)),
    )


@dataclass(frozen=True, slots=True)
class _Changes:
    """Per application: whether the decision changed, became stricter, and the change of the probability."""

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
    pairs = np.bincount(before.astype(np.intp) * len(NAMES) + after, minlength=len(LABELS) * len(NAMES))
    table = pairs.reshape(len(LABELS), len(NAMES)).tolist()
    return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(LABELS, table, strict=True)}


def _by_band(probabilities: NDArray[np.float32], changes: _Changes) -> Iterator[tuple[str, Group]]:
    bands = np.minimum((probabilities * _BANDS).astype(np.intp), _BANDS - 1)
    for band in range(_BANDS):
        yield f"{band / _BANDS:.1f}–{(band + 1) / _BANDS:.1f}", changes.group(bands == band)


def _read_categories(
    settings: Settings, plan: Plan, outcomes: Outcomes, flips_file: Path | None, flipped: NDArray[np.bool_], tell: Tell
) -> dict[str, NDArray[np.int16]]:
    """Returns per categorical field the index of each application's value, shape (n,); -1 if unknown."""
    columns = {field: np.full(len(plan.selection), -1, dtype=np.int16) for field in _CATEGORIES}
    decoder = Decoder(shipped_contract())
    listed = np.zeros(len(flipped), dtype=np.bool_)
    with _FlipsFile(flips_file, plan, outcomes) as flips:
        for messages, rows in read_selected(settings, plan.selection, tell):
            decoded = decoder.decode_batch([message.value() for message in messages], settings.record_bytes_max)
            known_rows = rows[decoded.rows]
            for field, column in columns.items():
                column[known_rows] = decoded.columns.values[field]
            ids = zip(decoded.columns.ids, known_rows.tolist(), strict=True)
            flips.add([(application_id, row) for application_id, row in ids if flipped[row]])
            listed[known_rows] = True
        # Applications that retention has deleted since are listed without id.
        flips.add([("", row) for row in np.flatnonzero(flipped & ~listed).tolist()])
    return columns


class _FlipsFile:
    """Writes the applications whose decision changed to a CSV file."""

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
        """Adds applications: id and row index in the plan."""
        if self._file is None:
            return
        selection = self._plan.selection
        for application_id, row_index in flipped:
            row = selection.rows[row_index]
            partition, offset = int(row["partition"]), int(row["offset"])
            before, after = selection.bundles[row["bundle"]], self._plan.bundle
            self._write(
                (
                    application_id,
                    partition,
                    offset,
                    LABELS[row["outcome"]],
                    LABELS[self._outcomes.outcomes[row_index]],
                    float(row["probability"]),
                    float(self._outcomes.probabilities[row_index]),
                    *(bundle.short for bundle in (before, after)),
                    *(decision_id(selection.topic, partition, offset, bundle) for bundle in (before, after)),
                )
            )
