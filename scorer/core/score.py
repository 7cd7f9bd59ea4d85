"""The hot path: scores a batch of records. Each record gets one result, a decision or a rejection."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from schemas.decision import REASONS_MAX, BundleReference
from schemas.rejection import RejectionCode
from scorer.core.decide import Decider, Labels
from scorer.core.decode import DecodedBatch, Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import CompiledEngine, EngineMatrix, EngineScores, Source
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS
from scorer.core.reasons import NONE, Explainer, find_leading
from scorer.core.records import Record, read_values
from scorer.core.slow_decode import Rejection
from scorer.errors import BundleUnusableError, ModelError

# If a batch of at least this many records fails as a whole, the bundle is at fault, even if its golden examples pass.
_COINCIDENCE_RECORDS_MAX: Final = 20


EngineName = Literal["compiled", "python"]
ENGINES: Final[tuple[EngineName, ...]] = get_args(EngineName)


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
    policy: Decider
    encoder: DecisionEncoder
    golden_matrix: NDArray[np.float32]
    golden_probabilities: NDArray[np.float32]
    golden_values: Sequence[bytes] = ()
    """The golden examples' applications, as records have them."""
    explainer: Explainer | None = None
    """Gives the reasons of decisions that are not APPROVED; None if the bundle has no catalogue of reasons."""
    engine: CompiledEngine | None = None
    """Scores what it vouches for instead of the functions of this module; None leaves everything to them."""
    engine_fault: str = ""
    """Why the compiled engine is not used, although it may be; empty if it is, or must not be used."""

    @property
    def engine_name(self) -> EngineName:
        """The engine that decides."""
        return "python" if self.engine is None else "compiled"

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
    rules: NDArray[np.intp]
    """The policy's rules that decided these records, as indexes, or `NO_RULE`."""
    reasons: NDArray[np.uint8] | None = None
    """Reasons of the decided records, in order, as `scorer.core.reasons` chooses them; None without a catalogue."""
    codes: tuple[str, ...] = ()
    """The codes of the catalogue, to which the reasons are indexes."""
    rule_ids: tuple[str, ...] = ()
    """The ids of the policy's rules, to which the rules are indexes."""
    slow_decodes: int = 0
    """Number of records that needed the slow decoder (`scorer.core.slow_decode`)."""
    by_engine: int = 0
    """Number of records that the compiled engine decided."""
    engine_failed: bool = False
    """Whether the compiled engine failed on the batch, which is a fault in it; the reference scored it."""

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
    batch = _Values(records, read_values(records, record_bytes_max), record_bytes_max)
    has_engine = bundle.engine is not None and bool(records)
    scores = _score_compiled(batch, bundle, lap) if has_engine else None
    if scores is None:
        scores = replace(_score_by_reference(batch, bundle, lap), engine_failed=has_engine)
    codes = () if bundle.explainer is None else bundle.explainer.codes
    scores = replace(scores, codes=codes, rule_ids=bundle.policy.rule_ids)
    assert len(scores.results) == len(records), "one result per record"
    return scores


class _Values(NamedTuple):
    """Records with their values.

    Attributes:
        records: n records.
        values: their values; None is a tombstone, and a rejection stands for a value that is not read.
        bytes_max: maximum size of a value, in bytes.
    """

    records: Sequence[Record]
    values: list[bytes | Rejection | None]
    bytes_max: int

    def without(self, positions: Sequence[int]) -> "tuple[list[int], _Values]":
        """Returns the positions of the other records, and these records."""
        is_other = np.ones(len(self.records), dtype=np.bool_)
        is_other[positions] = False
        others: list[int] = np.flatnonzero(is_other).tolist()
        return others, _Values([self.records[i] for i in others], [self.values[i] for i in others], self.bytes_max)


def _score_compiled(batch: _Values, bundle: Bundle, lap: Callable[[str], None]) -> Scores | None:
    """Scores with the bundle's engine, and with the reference what it leaves; None if the engine fails."""
    engine = bundle.engine
    assert engine is not None, "checked before"
    source = Source(
        batch.records[0].topic(),
        [record.partition() for record in batch.records],
        [record.offset() for record in batch.records],
    )
    if engine.predicts:
        compiled = engine.score(batch.values, source, batch.bytes_max)
        lap("engine")
        return None if compiled is None else _add_others(compiled, batch, bundle, lap)
    rows = engine.decode(batch.values, batch.bytes_max)
    return None if rows is None else _run_model(rows, source, batch, bundle, lap)


def _add_others(compiled: EngineScores, batch: _Values, bundle: Bundle, lap: Callable[[str], None]) -> Scores:
    """Returns the engine's decisions, and the results of the records that it left, in the records' order."""
    positions = compiled.positions
    if len(positions) == len(batch.records):
        decisions: list[Result] = [*compiled.decisions]
        return Scores(
            bundle.reference,
            decisions,
            compiled.probabilities,
            compiled.labels,
            compiled.rules,
            compiled.reasons,
            by_engine=len(positions),
        )
    others, rest = batch.without(positions)
    scores = _score_by_reference(rest, bundle, lap, others_decided=bool(positions))
    results: list[Result] = [_MODEL_FAILED] * len(batch.records)
    _put(results, positions, compiled.decisions)
    _put(results, others, scores.results)
    order = np.argsort([*positions, *np.array(others)[scores.is_decided].tolist()])
    both_explained = compiled.reasons is not None and scores.reasons is not None
    return Scores(
        bundle.reference,
        results,
        np.concatenate([compiled.probabilities, scores.probabilities])[order],
        np.concatenate([compiled.labels, scores.decided])[order],
        np.concatenate([compiled.rules, scores.rules])[order],
        np.concatenate([compiled.reasons, scores.reasons])[order] if both_explained else None,
        slow_decodes=scores.slow_decodes,
        by_engine=len(positions),
    )


def _run_model(
    rows: EngineMatrix, source: Source, batch: _Values, bundle: Bundle, lap: Callable[[str], None]
) -> Scores | None:
    """Runs a model that the engine does not know on all rows of a batch: those that it decoded, and the others."""
    others, rest = batch.without(rows.positions)
    decoded = bundle.decoder.decode_batch(rest.values, batch.bytes_max)
    lap("decode")
    positions = np.array([*rows.positions, *(others[row] for row in decoded.rows)], dtype=np.intp)
    order = np.argsort(positions)
    matrix = np.concatenate([rows.matrix, bundle.encoding.matrix(decoded.columns)])
    lap("features")
    predicted = np.empty(len(matrix), dtype=np.float32)
    predicted[order] = _predict(bundle, matrix[order], others_decided=False)
    lap("predict")
    own, others_predicted = np.split(predicted, [len(rows.positions)])
    engine = bundle.engine
    own_decided = engine.decide(rows, own) if engine else None
    if engine is None or own_decided is None:
        return None
    others_decided = bundle.policy.decide(others_predicted, decoded.columns.values)
    decided = Labels(*map(np.concatenate, zip(own_decided, others_decided, strict=True)))
    reasons = _explain(bundle, matrix, predicted, decided, lap)
    own_reasons, others_reasons = (None, None) if reasons is None else np.split(reasons, [len(own)])
    decisions = engine.encode(rows, own, source, own_reasons)
    if decisions is None:
        return None
    results: list[Result] = [_MODEL_FAILED] * len(batch.records)
    _put(results, rows.positions, [decision or _MODEL_FAILED for decision in decisions])
    others_scored = (others_predicted, others_decided.labels, others_reasons)
    _put(results, others, _encode(rest.records, decoded, others_scored, bundle.encoder))
    order = order[~np.isnan(predicted[order])]
    lap("encode")
    return Scores(
        bundle.reference,
        results,
        predicted[order],
        decided.labels[order],
        decided.rules[order],
        None if reasons is None else reasons[order],
        slow_decodes=decoded.slow_decodes,
        by_engine=int(np.count_nonzero(~np.isnan(own))),
    )


def _put(results: list[Result], positions: Sequence[int], new: Sequence[Result]) -> None:
    for position, result in zip(positions, new, strict=True):
        results[position] = result


def _score_by_reference(
    batch: _Values, bundle: Bundle, lap: Callable[[str], None], *, others_decided: bool = False
) -> Scores:
    """Scores with the functions of this package; `others_decided`: whether other records of the batch are decided."""
    decoded = bundle.decoder.decode_batch(batch.values, batch.bytes_max)
    lap("decode")
    matrix = bundle.encoding.matrix(decoded.columns)
    lap("features")
    predicted = _predict(bundle, matrix, others_decided=others_decided)
    lap("predict")
    decided = bundle.policy.decide(predicted, decoded.columns.values)
    reasons = _explain(bundle, matrix, predicted, decided, lap)
    results = _encode(batch.records, decoded, (predicted, decided.labels, reasons), bundle.encoder)
    succeeded = ~np.isnan(predicted)
    lap("encode")
    return Scores(
        bundle.reference,
        results,
        predicted[succeeded],
        decided.labels[succeeded],
        decided.rules[succeeded],
        None if reasons is None else reasons[succeeded],
        slow_decodes=decoded.slow_decodes,
    )


def _explain(
    bundle: Bundle,
    matrix: NDArray[np.float32],
    predicted: NDArray[np.float32],
    decided: Labels,
    lap: Callable[[str], None],
) -> NDArray[np.uint8] | None:
    """Returns the reasons of each row's decision, shape (n, 4); none where the PD is NaN. None without a catalogue."""
    if bundle.explainer is None:
        return None
    rows = np.flatnonzero(~np.isnan(predicted))
    leading = find_leading(bundle.policy.policy, bundle.explainer.codes, decided.rules[rows])
    reasons = np.full((len(matrix), REASONS_MAX), NONE, dtype=np.uint8)
    try:
        reasons[rows] = bundle.explainer.explain(matrix[rows], decided.labels[rows], leading)
    except ModelError as error:
        raise BundleUnusableError(_describe_unusable(bundle, "it cannot explain decisions", error)) from error
    lap("explain")
    return reasons


def _predict(bundle: Bundle, matrix: NDArray[np.float32], *, others_decided: bool) -> NDArray[np.float32]:
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
    if n >= _COINCIDENCE_RECORDS_MAX and not others_decided and np.isnan(probabilities).all():
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
    predicted: tuple[NDArray[np.float32], NDArray[np.intp], NDArray[np.uint8] | None],
    encoder: DecisionEncoder,
) -> list[Result]:
    """Returns the results in the records' order: decisions for the predicted rows, rejections for the others.

    Rows on which the model fails have the PD NaN, and a label that counts for nothing.
    """
    probabilities, labels, reasons = predicted
    results: list[Result] = [_MODEL_FAILED] * len(records)
    for i, rejection in decoded.rejections.items():
        results[i] = rejection
    rows, ids = decoded.rows, decoded.columns.ids
    failed = np.isnan(probabilities)
    if failed.any():
        succeeded = np.flatnonzero(~failed).tolist()
        rows, ids = [rows[i] for i in succeeded], [ids[i] for i in succeeded]
        probabilities, labels = probabilities[succeeded], labels[succeeded]
        reasons = None if reasons is None else reasons[succeeded]
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
        reasons,
    )
    for row, decision in zip(rows, decisions, strict=True):
        results[row] = decision
    return results


_MODEL_FAILED: Final = Rejection(RejectionCode.MODEL_ERROR, "the record is valid; the model fails on it")
