"""The figures of a replay: how many decisions changed, how far probabilities moved, and which groups are affected."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Kind
from schemas.decision import decision_id
from schemas.spreadsheet import SpreadsheetWriter
from scorer.core.decode import Decoder
from scorer.core.policy import LABELS
from scorer.errors import MisuseError
from scorer.replay.decisions import OnProgress
from scorer.replay.plan import Plan
from scorer.replay.rescore import read_selected
from scorer.replay.results import PENDING, REJECTED, Results
from scorer.settings import Settings

NAMES: Final = (*LABELS, "rejected", "not yet decided")
"""The names of `Results.label_indexes`: the labels, then those of `REJECTED` and `PENDING`."""
_BANDS: Final = 10
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
    """Applications whose decision became stricter."""
    shift_mean: float
    """Mean change of the probability of default, after minus before."""


@dataclass(frozen=True, slots=True)
class Shift:
    """Distribution of the change of the probability of default, after minus before."""

    mean: float
    p05: float
    median: float
    p95: float
    largest: float
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
    rescored: int
    corrections: int
    """Corrections published, because their bytes differ."""
    flipped: int
    """Applications whose decision changed."""
    rejected: dict[str, int]
    """Rescored applications that became dead letters, by rejection code."""
    flips: dict[str, dict[str, int]]
    """Number of applications by label before and after, including unchanged ones."""
    shift: Shift | None
    """None if no application was rescored."""
    bands: dict[str, Group]
    """By the previous probability, in intervals of 0.1."""
    deleted: int
    """Rescored applications that retention has deleted since: they are missing in `categories`."""
    categories: dict[str, dict[str, Group]]
    """By field and value of the new bundle's contract, without the applications that it rejects."""
    skipped: int = 0
    """Malformed records on the decisions and dead-letter topics, which are not included."""
    skipped_first: tuple[str, ...] = ()
    """The first of them, each with its error."""

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON, for scripts."""
        return asdict(self)


def compute_findings(
    settings: Settings, plan: Plan, results: Results, decoder: Decoder, flips_file: Path | None, on_progress: OnProgress
) -> Findings:
    """Computes the figures of a replay; reads the applications again for their categories.

    Args:
        settings: the topics.
        plan: the replay.
        results: the results of the replay.
        decoder: the decoder of the bundle to rescore with. An application whose decision changed was decided by that
            bundle, so its contract is enough for all applications that the figures compare.
        flips_file: file in which to list each application whose decision changed; None writes no file.
        on_progress: called with the progress of reading.

    Raises:
        MisuseError: the file cannot be written.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
    """
    rows = plan.selection.rows
    is_rescored = results.label_indexes < REJECTED
    flipped = is_rescored & (rows["outcome"] != results.label_indexes)
    changes = _Changes(
        flipped,
        flipped & (results.label_indexes > rows["outcome"]),
        np.where(is_rescored, results.probabilities.astype(np.float64) - rows["probability"], np.nan),
    )
    with _FlipsFile(flips_file, plan, results) as flips:
        categories = _read_categories(settings, plan, decoder, flips, flipped, on_progress)
    return Findings(
        replay_id=plan.replay_id,
        what=plan.what,
        created=plan.created.isoformat(timespec="seconds"),
        before={str(bundle): n for bundle, n in plan.selection.count_by_bundle().items()},
        after=str(plan.bundle),
        published=results.published,
        applications=len(rows),
        expired=plan.expired,
        rescored=int((results.label_indexes != PENDING).sum()),
        corrections=results.corrections,
        flipped=int(flipped.sum()),
        rejected=dict(results.rejected),
        flips=_flips(rows["outcome"], results.label_indexes),
        shift=changes.shift(),
        bands=dict(_by_band(rows["probability"], changes)),
        deleted=int((~categories.is_read).sum()),
        categories={
            name: {
                value: changes.group(column == index)
                for index, value in enumerate(decoder.contract.fields[name].categories)
            }
            for name, column in categories.indexes.items()
        },
        skipped=results.skipped.count,
        skipped_first=tuple(map(str, results.skipped.first)),
    )


@dataclass(frozen=True, slots=True)
class _Changes:
    """Per application: whether the decision changed, became stricter, and the change of the probability."""

    flipped: NDArray[np.bool_]
    stricter: NDArray[np.bool_]
    shifts: NDArray[np.float64]

    def group(self, members: NDArray[np.bool_]) -> Group:
        shifts = self.shifts[members]
        shifts = shifts[~np.isnan(shifts)]
        return Group(
            int(members.sum()),
            int(self.flipped[members].sum()),
            int(self.stricter[members].sum()),
            float(shifts.mean()) if len(shifts) else 0.0,
        )

    def shift(self) -> Shift | None:
        shifts = self.shifts[~np.isnan(self.shifts)]
        if not len(shifts):
            return None
        p05, median, p95 = np.quantile(shifts, (0.05, 0.5, 0.95)).tolist()
        return Shift(float(shifts.mean()), p05, median, p95, float(np.abs(shifts).max()))


def _flips(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    pairs = np.bincount(before.astype(np.intp) * len(NAMES) + after, minlength=len(LABELS) * len(NAMES))
    table = pairs.reshape(len(LABELS), len(NAMES)).tolist()
    return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(LABELS, table, strict=True)}


def _by_band(probabilities: NDArray[np.float32], changes: _Changes) -> Iterator[tuple[str, Group]]:
    bands = np.minimum((probabilities * _BANDS).astype(np.intp), _BANDS - 1)
    for band in range(_BANDS):
        yield f"{band / _BANDS:.1f}–{(band + 1) / _BANDS:.1f}", changes.group(bands == band)


class _Categories(NamedTuple):
    """The categories of n applications.

    Attributes:
        indexes: per categorical field the index of each application's value, shape (n,); -1 if unknown or not decoded.
        is_read: shape (n,): whether the application is still on its topic.
    """

    indexes: dict[str, NDArray[np.int16]]
    is_read: NDArray[np.bool_]


def _read_categories(
    settings: Settings,
    plan: Plan,
    decoder: Decoder,
    flips: "_FlipsFile",
    flipped: NDArray[np.bool_],
    on_progress: OnProgress,
) -> _Categories:
    """Reads the applications again, and adds those whose decision changed to the file."""
    fields = (name for name, field in decoder.contract.inputs.items() if field.kind is Kind.CATEGORY)
    columns = {name: np.full(len(plan.selection), -1, dtype=np.int16) for name in fields}
    is_read = np.zeros(len(flipped), dtype=np.bool_)
    for messages, rows in read_selected(settings, plan.selection, on_progress):
        decoded = decoder.decode_batch([message.value() for message in messages], settings.record_bytes_max)
        decoded_rows = rows[decoded.rows]
        for name, column in columns.items():
            column[decoded_rows] = decoded.columns.values[name]
        ids = zip(decoded.columns.ids, decoded_rows.tolist(), strict=True)
        flips.add([(application_id, row) for application_id, row in ids if flipped[row]])
        is_read[rows] = True
    # Applications that retention has deleted since are listed without id.
    flips.add([("", row) for row in np.flatnonzero(flipped & ~is_read).tolist()])
    return _Categories(columns, is_read)


class _FlipsFile:
    """Writes the applications whose decision changed to a CSV file."""

    def __init__(self, path: Path | None, plan: Plan, results: Results) -> None:
        self._plan = plan
        self._results = results
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
                    LABELS[self._results.label_indexes[row_index]],
                    float(row["probability"]),
                    float(self._results.probabilities[row_index]),
                    *(bundle.short for bundle in (before, after)),
                    *(decision_id(selection.topic, partition, offset, bundle) for bundle in (before, after)),
                )
            )
