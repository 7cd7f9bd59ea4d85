"""The figures of a replay: how many decisions changed, how far probabilities moved, and which groups are affected."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from schemas.contract import ContractField, Kind
from schemas.decision import decision_id
from schemas.spreadsheet import SpreadsheetWriter
from scorer.core.columns import UNKNOWN_CATEGORY
from scorer.core.decode import Decoder
from scorer.core.policy import LABELS
from scorer.errors import MisuseError
from scorer.replay.decisions import OnProgress
from scorer.replay.groups import Changes, Group, Shift
from scorer.replay.plan import Origin, Plan
from scorer.replay.rescore import read_selected
from scorer.replay.results import PENDING, REJECTED, Results
from scorer.settings import Settings

NAMES: Final = (*LABELS, "rejected", "not yet decided")
"""The names of `Results.label_indexes`: the labels, then those of `REJECTED` and `PENDING`."""
_CSV_COLUMNS: Final = (
    "application_id", "partition", "offset", "decision_before", "decision_after", "probability_before",
    "probability_after", "bundle_before", "bundle_after", "decision_id_before", "decision_id_after",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Findings:
    """All figures of a replay report."""

    replay_id: str
    what: str
    created: str
    """When it was planned, in UTC."""
    origin: Origin
    ran: tuple[str, str] | None
    """When the first and the last correction were written, in UTC; None without corrections."""
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
    """Applications whose label changed."""
    rejected: dict[str, int]
    """Rescored applications that became dead letters, by rejection code."""
    flips: dict[str, dict[str, int]]
    """Number of applications by label before and after, including unchanged ones."""
    shift: Shift | None
    """None if no application was rescored."""
    bands: dict[str, Group]
    """By the previous probability, in intervals of 0.1."""
    deleted: int
    """Rescored applications that retention has deleted since: they are missing in the groups by field."""
    categories: dict[str, dict[str, Group]]
    """By category or boolean field and value of the new bundle's contract, without the applications that it rejects."""
    numbers: dict[str, dict[str, Group]]
    """By number field and band of its values, without applications of which the number is unknown."""
    dates: dict[str, dict[str, Group]]
    """By field with dates or date-times and period in UTC, without applications of which the date is unknown."""
    skipped: int = 0
    """Malformed records on the decisions and dead-letter topics, which are not included."""
    skipped_first: tuple[str, ...] = ()
    """The first of them, each with its error."""

    @property
    def same_label(self) -> int:
        """Applications that keep their label, and whose decision names the new bundle."""
        if self.published:
            return self.corrections - self.flipped
        return self.rescored - self.flipped - sum(self.rejected.values())

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON, for scripts."""
        return asdict(self) | {"same_label": self.same_label}


def compute_findings(
    settings: Settings, plan: Plan, results: Results, decoder: Decoder, flips_file: Path | None, on_progress: OnProgress
) -> Findings:
    """Computes the figures of a replay; reads the applications again for their fields.

    Args:
        settings: the topics.
        plan: the replay.
        results: the results of the replay.
        decoder: the decoder of the bundle to rescore with. An application whose label changed was decided by that
            bundle, so its contract is enough for all applications that the figures compare.
        flips_file: file in which to list each application whose label changed; None writes no file.
        on_progress: called with the progress of reading.

    Raises:
        MisuseError: the file cannot be written.
        TopicsError, BrokerError, ReplayError: the applications cannot be read.
    """
    rows, inputs = plan.selection.rows, decoder.contract.inputs
    is_rescored = results.label_indexes < REJECTED
    flipped = is_rescored & (rows["outcome"] != results.label_indexes)
    changes = Changes(
        flipped,
        flipped & (results.label_indexes > rows["outcome"]),
        np.where(is_rescored, results.probabilities.astype(np.float64) - rows["probability"], np.nan),
    )
    with _FlipsFile(flips_file, plan, results) as flips:
        fields = _read_fields(settings, plan, decoder, flips, flipped, on_progress)
    return Findings(
        replay_id=plan.replay_id,
        what=plan.what,
        created=plan.created.isoformat(timespec="seconds"),
        origin=plan.origin,
        ran=_times(results.written_ms),
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
        bands=dict(changes.by_probability(rows["probability"])),
        deleted=int((~fields.is_read).sum()),
        categories={
            name: {value: changes.group(column == index) for index, value in enumerate(_values_of(inputs[name]))}
            for name, column in fields.categories.items()
        },
        numbers={name: dict(changes.by_band(column)) for name, column in fields.numbers.items()},
        dates={name: dict(changes.by_period(column)) for name, column in fields.days.items()},
        skipped=results.skipped.count,
        skipped_first=tuple(map(str, results.skipped.first)),
    )


def _flips(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    pairs = np.bincount(before.astype(np.intp) * len(NAMES) + after, minlength=len(LABELS) * len(NAMES))
    table = pairs.reshape(len(LABELS), len(NAMES)).tolist()
    return {name: dict(zip(NAMES, row, strict=True)) for name, row in zip(LABELS, table, strict=True)}


def _times(written_ms: tuple[int, int] | None) -> tuple[str, str] | None:
    """Writes the first and the last timestamp; None without one, or if the clock of a writer was wrong by millennia."""
    if written_ms is None:
        return None
    try:
        first, last = (datetime.fromtimestamp(at_ms / 1_000, UTC).isoformat(timespec="seconds") for at_ms in written_ms)
    except (ValueError, OverflowError, OSError):
        return None
    return first, last


class _Fields(NamedTuple):
    """The fields of n applications.

    Attributes:
        categories: per category or boolean the index of each application's value in `_values_of`, shape (n,); -1 if
            unknown or not decoded.
        numbers: per number field the numbers, shape (n,); NaN if unknown or not decoded.
        days: per field with dates or date-times whole days since 1970-01-01 in UTC, shape (n,); NaN likewise.
        is_read: shape (n,): whether the application is still on its topic.
    """

    categories: dict[str, NDArray[np.int16]]
    numbers: dict[str, NDArray[np.float32]]
    days: dict[str, NDArray[np.float32]]
    is_read: NDArray[np.bool_]


def _values_of(field: ContractField) -> tuple[str, ...]:
    """The values of a category or a boolean, by their index in a column."""
    return ("false", "true") if field.kind is Kind.BOOLEAN else field.categories


def _read_fields(
    settings: Settings,
    plan: Plan,
    decoder: Decoder,
    flips: "_FlipsFile",
    flipped: NDArray[np.bool_],
    on_progress: OnProgress,
) -> _Fields:
    """Reads the applications again, and adds those whose label changed to the file."""
    n, inputs = len(plan.selection), decoder.contract.inputs
    categories = {name: np.full(n, UNKNOWN_CATEGORY, dtype=np.int16) for name, one in inputs.items() if _values_of(one)}
    numbers = {name: np.full(n, np.nan, dtype=np.float32) for name, one in inputs.items() if one.kind.is_numeric}
    days = {name: np.full(n, np.nan, dtype=np.float32) for name in inputs if name not in categories | numbers}
    is_read = np.zeros(len(flipped), dtype=np.bool_)
    for messages, rows in read_selected(settings, plan.selection, on_progress):
        decoded = decoder.decode_batch([message.value() for message in messages], settings.record_bytes_max)
        decoded_rows = rows[decoded.rows]
        values = decoded.columns.values
        for name, indexes in categories.items():
            indexes[decoded_rows] = np.nan_to_num(values[name], nan=UNKNOWN_CATEGORY)  # an unknown boolean is NaN
        for name, column in numbers.items():
            column[decoded_rows] = values[name]
        for name, column in days.items():
            column[decoded_rows] = np.floor(values[name])
        ids = zip(decoded.columns.ids, decoded_rows.tolist(), strict=True)
        flips.add([(application_id, row) for application_id, row in ids if flipped[row]])
        is_read[rows] = True
    # Applications that retention has deleted since are listed without id.
    flips.add([("", row) for row in np.flatnonzero(flipped & ~is_read).tolist()])
    return _Fields(categories, numbers, days, is_read)


class _FlipsFile:
    """Writes the applications whose label changed to a CSV file."""

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
