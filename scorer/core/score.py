"""The hot path: scores a batch of records. Each record gets one result, a decision or a rejection."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from schemas.rejection import RejectionCode
from scorer.core.decode import DecodedBatch, Decoder, too_large
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS, Policy
from scorer.core.slow_decode import Rejection
from scorer.errors import BundleUnusableError, ModelError

# If a batch of at least this many records fails as a whole, the bundle is at fault, even if its golden examples pass.
_COINCIDENCE_RECORDS_MAX: Final = 20


class Record(Protocol):
    """A Kafka record, for example a confluent_kafka Message. Its length is the size of its value in bytes."""

    def __len__(self) -> int: ...
    def topic(self) -> str: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def value(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of which only the offset is known: its batch is corrupt, or too large to be decompressed."""

    topic_name: str
    partition_number: int
    offset_number: int

    def __len__(self) -> int:
        """Larger than every limit."""
        return sys.maxsize

    def topic(self) -> str:
        """The topic."""
        return self.topic_name

    def partition(self) -> int:
        """The partition."""
        return self.partition_number

    def offset(self) -> int:
        """The offset."""
        return self.offset_number

    def key(self) -> None:
        """Unknown."""

    def value(self) -> None:
        """Unknown."""

    def headers(self) -> None:
        """Unknown."""

    def timestamp(self) -> tuple[int, int]:
        """Not available, in the Kafka client's notation."""
        return 0, -1

    def error(self) -> None:
        """None: this is a record, not an error event."""

    def leader_epoch(self) -> None:
        """Unknown."""


class Model(Protocol):
    """Predicts probabilities of default."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the probability of default of each row: shape (n, columns) to (n,). Raises ModelError on failure."""
        ...


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle, ready to score."""

    reference: BundleReference
    decoder: Decoder
    encoding: FeatureEncoding
    model: Model
    policy: Policy
    encoder: DecisionEncoder
    golden_matrix: NDArray[np.float32]
    golden_probabilities: NDArray[np.float32]

    def works(self) -> bool:
        """Whether the model still reproduces its golden examples (within 1e-6)."""
        try:
            probabilities = checked_predict(self.model, self.golden_matrix)
        except ModelError:
            return False
        return bool(np.allclose(probabilities, self.golden_probabilities, rtol=0, atol=1e-6, equal_nan=False))


Result = bytes | Rejection
"""The result of one record: an encoded decision, or a rejection."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The results of a batch: `outcomes` has one result per record, in the records' order."""

    bundle: BundleReference
    """The bundle that scored the batch."""
    results: list[Result]
    probabilities: NDArray[np.float32]
    """Of the decided records, in order."""
    decided: NDArray[np.intp]
    """Labels of the decided records, in order, as indexes into `LABELS`."""
    slow_decodes: int = 0
    """Number of records that needed the slow decoder (`scorer.core.slow_decode`)."""

    @property
    def is_decided(self) -> NDArray[np.bool_]:
        """Whether each record is decided, shape (n,); the others are rejected."""
        return np.fromiter((type(o) is bytes for o in self.results), dtype=np.bool_, count=len(self.results))


def score_batch(
    records: Sequence[Record], bundle: Bundle, record_bytes_max: int, lap: Callable[[str], None] = lambda _: None
) -> Scores:
    """Scores a batch of applications with one bundle.

    Args:
        records: n records of one topic.
        bundle: the bundle to score with.
        record_bytes_max: maximum size of a value, in bytes; larger ones are rejected.
        lap: called with the name of each step when it ends, to measure durations.

    Returns:
        One result per record, in the same order, with the labels and probabilities.

    Raises:
        BundleUnusableError: the bundle cannot score any record, and the records are not the cause.
    """
    decoded = bundle.decoder.decode_batch(read_values(records, record_bytes_max), record_bytes_max)
    lap("decode")
    matrix = bundle.encoding.matrix(decoded.columns)
    lap("features")
    predicted = _predict(bundle, matrix)
    lap("predict")
    probabilities = predicted[~np.isnan(predicted)]
    decided = bundle.policy.decide(probabilities)
    results = _encode(records, decoded, (predicted, decided), bundle.encoder)
    lap("encode")
    assert len(results) == len(records), "one result per record"
    return Scores(bundle.reference, results, probabilities, decided, decoded.slow_decodes)


def read_values(records: Sequence[Record], bytes_max: int) -> list[bytes | Rejection | None]:
    """Returns the values of records, and rejections of those that are too large: a copy may not fit into memory."""
    return [record.value() if len(record) <= bytes_max else _reject_unread(record, bytes_max) for record in records]


def _reject_unread(record: Record, bytes_max: int) -> Rejection:
    return _UNREADABLE if isinstance(record, UnreadableRecord) else too_large(len(record), bytes_max)


def _predict(bundle: Bundle, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the probability of each row, shape (n,); NaN for rows on which the model fails."""
    n = len(matrix)
    if n == 0:
        return np.empty(0, dtype=np.float32)
    try:
        return checked_predict(bundle.model, matrix)
    except ModelError as error:
        if not bundle.works():
            raise BundleUnusableError(_describe_unusable(bundle, "its golden examples also fail", error)) from error
        cause = error
    probabilities = np.full(n, np.nan, dtype=np.float32)
    _predict_by_halves(bundle.model, matrix, probabilities)
    if n >= _COINCIDENCE_RECORDS_MAX and np.isnan(probabilities).all():
        raise BundleUnusableError(_describe_unusable(bundle, f"it fails on each of {n} applications", cause))
    return probabilities


def _predict_by_halves(model: Model, matrix: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Bisects a matrix on which the model fails, and writes the probabilities of the rows that it can score."""
    if len(matrix) == 1:
        return
    middle = len(matrix) // 2
    for half in (slice(None, middle), slice(middle, None)):
        try:
            target[half] = checked_predict(model, matrix[half])
        except ModelError:
            _predict_by_halves(model, matrix[half], target[half])


def checked_predict(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predicts, and checks that there is one probability per row: the policy would approve a NaN.

    Raises:
        ModelError: the model fails, or a value is not a probability.
    """
    probabilities = model.predict(matrix)
    if probabilities.shape != (len(matrix),) or probabilities.dtype != np.float32:
        actual = f"{probabilities.dtype} {probabilities.shape}"
        msg = f"the model returned {actual} for {len(matrix)} rows instead of float32 ({len(matrix)},)"
        raise ModelError(msg)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        msg = "the model returned a value that is not a probability from 0 to 1"
        raise ModelError(msg)
    return probabilities


def _describe_unusable(bundle: Bundle, reason: str, cause: ModelError) -> str:
    name, version = bundle.reference.name, bundle.reference.version
    return (
        f"bundle {name}:{version} cannot score: {reason} ({cause}). "
        "This batch was not committed; start the workers with a working bundle, and they continue from there."
    )


def _encode(
    records: Sequence[Record],
    decoded: DecodedBatch,
    predicted: tuple[NDArray[np.float32], NDArray[np.intp]],
    encoder: DecisionEncoder,
) -> list[Result]:
    """Returns the results in the records' order: decisions for the predicted rows, rejections for the others."""
    probabilities, labels = predicted
    results: list[Result] = [_MODEL_FAILED] * len(records)
    for i, rejection in decoded.rejections.items():
        results[i] = rejection
    rows, ids = decoded.rows, decoded.columns.ids
    failed = np.isnan(probabilities)
    if failed.any():
        succeeded = np.flatnonzero(~failed).tolist()
        rows, ids, probabilities = [rows[i] for i in succeeded], [ids[i] for i in succeeded], probabilities[succeeded]
    if not rows:
        return results
    decided_records = [records[row] for row in rows]
    decisions = encoder.encode(
        (
            decided_records[0].topic(),
            [record.partition() for record in decided_records],
            [record.offset() for record in decided_records],
        ),
        ids,
        [LABELS[label] for label in labels.tolist()],
        probabilities.astype(np.float64).tolist(),
    )
    for row, decision in zip(rows, decisions, strict=True):
        results[row] = decision
    return results


_UNREADABLE: Final = Rejection(
    RejectionCode.UNREADABLE, "the record's batch is damaged, or too large to be decompressed; it stays on its topic"
)
_MODEL_FAILED: Final = Rejection(RejectionCode.MODEL_ERROR, "the record is valid; the model fails on it")
