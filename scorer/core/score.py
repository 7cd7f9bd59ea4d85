"""The hot path: records to decisions and rejections, one outcome a record, in five steps that read top to bottom."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from schemas.rejection import RejectionCode
from scorer.core.features import FeatureEncoding
from scorer.core.policy import OUTCOMES, Policy
from scorer.core.wire import Application, DecisionEncoder, Rejection, decode_batch, too_large
from scorer.errors import BundleUnusableError, ModelError

# So many records that all fail in one batch are the bundle's fault, even if its golden examples still pass.
_COINCIDENCE_RECORDS_MAX: Final = 20


class Record(Protocol):
    """What the core needs of a record; a confluent_kafka Message is one. Its length is that of its value, in bytes."""

    def __len__(self) -> int: ...
    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of which only its place is known: its batch is damaged, or too large to be decompressed."""

    topic_name: str
    partition_number: int
    offset_number: int

    def __len__(self) -> int:
        """Longer than anything that is read."""
        return sys.maxsize

    def topic(self) -> str:
        """Its topic."""
        return self.topic_name

    def partition(self) -> int:
        """Its partition."""
        return self.partition_number

    def offset(self) -> int:
        """Its offset."""
        return self.offset_number

    def key(self) -> None:
        """Not known."""

    def value(self) -> None:
        """Not known."""

    def headers(self) -> None:
        """Not known."""

    def timestamp(self) -> tuple[int, int]:
        """Not available, as the Kafka client says it."""
        return 0, -1

    def error(self) -> None:
        """It stands for a record, not for an error."""

    def leader_epoch(self) -> None:
        """Not known."""


class Model(Protocol):
    """What turns a matrix into probabilities."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probability of default of each row: shape (n, columns) to (n,). Raises ModelError when it cannot."""
        ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, opened: all that scoring needs."""

    reference: BundleReference
    encoding: FeatureEncoding
    model: Model
    policy: Policy
    encoder: DecisionEncoder
    golden_matrix: NDArray[np.float32]
    golden_probabilities: NDArray[np.float32]

    def works(self) -> bool:
        """True when the model still gives its golden examples' probabilities (within 1e-6)."""
        try:
            found = checked_predict(self.model, self.golden_matrix)
        except ModelError:
            return False
        return bool(np.allclose(found, self.golden_probabilities, rtol=0, atol=1e-6, equal_nan=False))


Outcome = bytes | Rejection
"""A decision, encoded, or why there is none."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What became of a batch: `outcomes` has one entry a record, in the records' order."""

    bundle: BundleReference
    """What decided."""
    outcomes: list[Outcome]
    probabilities: NDArray[np.float32]
    """Of the decided records, in order."""
    decided: NDArray[np.intp]
    """Places in `OUTCOMES` of the decided records, in order."""
    slow_decodes: int = 0
    """How many of the records the contract itself had to read."""

    @property
    def is_decided(self) -> NDArray[np.bool_]:
        """Whether each record is decided, shape (n,); the others are rejected."""
        return np.fromiter((type(o) is bytes for o in self.outcomes), dtype=np.bool_, count=len(self.outcomes))


def score_batch(
    records: Sequence[Record], bundle: Bundle, record_bytes_max: int, lap: Callable[[str], None] = lambda _: None
) -> Scores:
    """Decides a batch of applications with one bundle.

    Args:
        records: n records of one topic, as they came.
        bundle: what decides.
        record_bytes_max: the longest value that is read, in bytes.
        lap: called with the name of each step when it ends, for whoever holds a watch.

    Returns:
        One outcome for each record, in the same order, and what the decisions were.

    Raises:
        BundleUnusableError: the bundle can score none of them, and the fault is not theirs.
    """
    # The value of a record that is too long is not even asked for: a copy of it may not fit into the memory.
    decoded, slow_decodes = decode_batch(
        [
            record.value() if len(record) <= record_bytes_max else _unread(record, record_bytes_max)
            for record in records
        ],
        record_bytes_max,
    )
    lap("decode")
    sound = [i for i, application in enumerate(decoded) if type(application) is not Rejection]
    applications: list[Application] = [decoded[i] for i in sound]  # type: ignore[misc]
    matrix = bundle.encoding.matrix(applications)
    lap("features")
    predicted = _predict(bundle, matrix)
    lap("predict")
    failed = np.isnan(predicted)
    rows = [row for row, has_failed in zip(sound, failed.tolist(), strict=True) if not has_failed]
    probabilities = predicted[~failed]
    decided = bundle.policy.decide(probabilities)
    outcomes = _encode(records, decoded, (rows, probabilities, decided), bundle.encoder)
    lap("encode")
    assert len(outcomes) == len(records), "one outcome a record"
    return Scores(bundle.reference, outcomes, probabilities, decided, slow_decodes)


def _unread(record: Record, bytes_max: int) -> Rejection:
    return _UNREADABLE if isinstance(record, UnreadableRecord) else too_large(len(record), bytes_max)


def _predict(bundle: Bundle, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (n,): the probability of each row, NaN for rows on which the model fails."""
    n = len(matrix)
    if n == 0:
        return np.empty(0, dtype=np.float32)
    try:
        return checked_predict(bundle.model, matrix)
    except ModelError as error:
        if not bundle.works():
            raise BundleUnusableError(_unusable(bundle, "its golden examples fail too", error)) from error
        cause = error
    probabilities = np.full(n, np.nan, dtype=np.float32)
    _predict_by_halves(bundle.model, matrix, probabilities)
    if n >= _COINCIDENCE_RECORDS_MAX and np.isnan(probabilities).all():
        raise BundleUnusableError(_unusable(bundle, f"it fails on each of {n} applications", cause))
    return probabilities


def _predict_by_halves(model: Model, matrix: NDArray[np.float32], into: NDArray[np.float32]) -> None:
    """Fills in the probabilities of the rows that the model can score, knowing that it fails on the whole."""
    if len(matrix) == 1:
        return
    middle = len(matrix) // 2
    for half in (slice(None, middle), slice(middle, None)):
        try:
            into[half] = checked_predict(model, matrix[half])
        except ModelError:
            _predict_by_halves(model, matrix[half], into[half])


def checked_predict(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """The model's answer, if it is one probability a row; a NaN would otherwise pass every threshold as approved.

    Raises:
        ModelError: it is not, or the model fails.
    """
    probabilities = model.predict(matrix)
    if probabilities.shape != (len(matrix),) or probabilities.dtype != np.float32:
        got = f"{probabilities.dtype} {probabilities.shape}"
        msg = f"the model gave {got} for {len(matrix)} rows, not float32 ({len(matrix)},)"
        raise ModelError(msg)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        msg = "the model gave something that is no probability from 0 to 1"
        raise ModelError(msg)
    return probabilities


def _unusable(bundle: Bundle, what: str, cause: ModelError) -> str:
    name, version = bundle.reference.name, bundle.reference.version
    return (
        f"bundle {name}:{version} cannot score: {what} ({cause}). "
        "Nothing of this batch was committed; start the workers with a bundle that works and they go on from there."
    )


def _encode(
    records: Sequence[Record],
    decoded: list[Application | Rejection],
    predicted: tuple[list[int], NDArray[np.float32], NDArray[np.intp]],
    encoder: DecisionEncoder,
) -> list[Outcome]:
    """The outcomes in the records' order: decisions for the rows predicted, rejections for the others."""
    rows, probabilities, decided = predicted
    outcomes: list[Outcome] = [d if type(d) is Rejection else _MODEL_FAILED for d in decoded]
    if not rows:
        return outcomes
    found = [records[row] for row in rows]
    decisions = encoder.encode(
        (found[0].topic(), [record.partition() for record in found], [record.offset() for record in found]),
        [decoded[row].application_id for row in rows],  # type: ignore[union-attr]
        [OUTCOMES[place] for place in decided.tolist()],
        probabilities.astype(np.float64).tolist(),
    )
    for row, decision in zip(rows, decisions, strict=True):
        outcomes[row] = decision
    return outcomes


_UNREADABLE: Final = Rejection(
    RejectionCode.UNREADABLE, "the record's batch is damaged, or too large to be decompressed; it stays on its topic"
)
_MODEL_FAILED: Final = Rejection(RejectionCode.MODEL_ERROR, "the record is sound; the model fails on it")
