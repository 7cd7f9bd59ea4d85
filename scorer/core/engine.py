"""The compiled engine: scores the records of a batch that it vouches for, with the bytes of the reference.

The engine (`engine/`) is a module of its own, which need not be installed. It leaves what is invalid or unusual to the
reference.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.decision import REASONS_MAX
from scorer.core.decide import Decider, Labels
from scorer.core.encode import DecisionEncoder
from scorer.core.engine_tables import (
    compile_columns,
    compile_contract,
    compile_decisions,
    compile_policy,
    compile_reasons,
)
from scorer.core.features import FeatureEncoding
from scorer.core.reasons import Explainer
from scorer.core.trees import TreesTable

try:
    import scorer_engine
except ImportError:
    scorer_engine = None

IS_INSTALLED: Final = scorer_engine is not None
"""Whether there is a compiled engine."""


class Source(NamedTuple):
    """Where the n records of a batch come from."""

    topic: str
    partitions: list[int]
    offsets: list[int]


class _NativeSource(NamedTuple):
    """The same for the engine: with the texts of decisions for each partition."""

    partitions: list[int]
    offsets: list[int]
    frames: list[tuple[int, bytes, bytes]]


class EngineScores(NamedTuple):
    """Decisions on the records of a batch that the engine vouches for.

    Attributes:
        positions: the positions of these m records in the batch, in order.
        decisions: the encoded decisions.
        probabilities: the PDs, shape (m,).
        labels: the labels as indexes into `LABELS`, shape (m,).
        rules: the indexes of the rules that decided, or `NO_RULE`, shape (m,).
        reasons: as `scorer.core.reasons` chooses them, shape (m, 4); None if the bundle has no catalogue.
    """

    positions: list[int]
    decisions: list[bytes]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.intp]
    rules: NDArray[np.intp]
    reasons: NDArray[np.uint8] | None = None


class EngineMatrix(NamedTuple):
    """The rows of the records of a batch that the engine vouches for.

    Attributes:
        positions: the positions of these m records in the batch, in order.
        matrix: the model's matrix, shape (m, columns).
        decoded: the engine's own, to encode the decisions.
    """

    positions: list[int]
    matrix: NDArray[np.float32]
    decoded: Any


class CompiledEngine:
    """The compiled engine of one bundle. Its methods return None if it fails, which is a fault in it."""

    def __init__(
        self,
        encoding: FeatureEncoding,
        policy: Decider,
        encoder: DecisionEncoder,
        trees: TreesTable | None,
        explainer: Explainer | None = None,
    ) -> None:
        """Compiles the tables.

        Args:
            encoding: how applications are encoded.
            policy: decides.
            encoder: has the texts of decisions.
            trees: the model; None if something else predicts, between `decode` and `encode`.
            explainer: of the bundle; None if decisions have no reasons, or something else predicts and explains.

        Raises:
            ValueError: the engine cannot compute a derived column or a rule, or does not know such trees.
        """
        assert IS_INSTALLED, "checked before"
        self.predicts = trees is not None
        self._encoder = encoder
        self._columns = len(encoding.columns)
        self._engine = scorer_engine.Engine(
            compile_contract(encoding.contract),
            compile_columns(encoding),
            compile_policy(policy, encoding.contract, encoder.codes),
            compile_decisions(encoder),
            trees,
            None if explainer is None else compile_reasons(explainer),
        )
        self._explains = explainer is not None

    def score(self, values: list[Any], source: Source, bytes_max: int) -> EngineScores | None:
        """Scores the records that the engine vouches for; it must have trees.

        Args:
            values: the values of n records; what is not bytes is left to the reference.
            source: where the records come from.
            bytes_max: maximum size of a value, in bytes; larger ones are left to the reference.
        """
        try:
            decisions, probabilities, (labels, rules, reasons), positions = self._engine.score(
                values, self._native(source), bytes_max
            )
        except scorer_engine.EngineError:
            return None
        return EngineScores(
            positions,
            decisions,
            np.frombuffer(probabilities, dtype=np.float32),
            *_read_labels(labels, rules),
            np.frombuffer(reasons, dtype=np.uint8).reshape(-1, REASONS_MAX) if self._explains else None,
        )

    def decode(self, values: list[Any], bytes_max: int) -> EngineMatrix | None:
        """Decodes the records that the engine vouches for; the arguments are those of `score`."""
        try:
            decoded = self._engine.decode(values, bytes_max)
        except scorer_engine.EngineError:
            return None
        matrix = np.frombuffer(decoded.matrix, dtype=np.float32).reshape(-1, self._columns)
        return EngineMatrix(decoded.positions, matrix, decoded)

    def decide(self, rows: EngineMatrix, probabilities: NDArray[np.float32]) -> Labels | None:
        """Returns the labels of decoded records, and the rules that decided.

        Args:
            rows: the decoded records, m of n.
            probabilities: their PDs, shape (m,); the label of one that is NaN counts for nothing.
        """
        try:
            return _read_labels(*self._engine.decide(rows.decoded, probabilities.tolist()))
        except scorer_engine.EngineError:
            return None

    def encode(
        self,
        rows: EngineMatrix,
        probabilities: NDArray[np.float32],
        source: Source,
        reasons: NDArray[np.uint8] | None = None,
    ) -> list[bytes] | None:
        """Encodes the decisions on decoded records, in order.

        Args:
            rows: the decoded records, m of n.
            probabilities: their PDs, shape (m,); a decision whose PD is NaN is empty.
            source: where the n records come from.
            reasons: shape (m, 4); None if decisions have none.
        """
        texts = [] if reasons is None else self._encoder.write_reasons(reasons)
        try:
            decisions: list[bytes] = self._engine.encode(
                rows.decoded, probabilities.tolist(), self._native(source), texts
            )
        except scorer_engine.EngineError:
            return None
        return decisions

    def _native(self, source: Source) -> _NativeSource:
        frames = self._encoder.frames(source.topic, source.partitions)
        return _NativeSource(source.partitions, source.offsets, frames)


def _read_labels(labels: bytes, rules: bytes) -> Labels:
    return Labels(
        np.frombuffer(labels, dtype=np.uint8).astype(np.intp), np.frombuffer(rules, dtype=np.int16).astype(np.intp)
    )
