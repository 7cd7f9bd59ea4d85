"""The compiled engine: scores the records of a batch that it vouches for, with the bytes of the reference.

The engine (`engine/`) is a module of its own, which need not be installed. It leaves what is invalid or unusual to the
reference.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scorer.core.decide import Decider
from scorer.core.encode import DecisionEncoder
from scorer.core.engine_tables import (
    TreesTable,
    compile_columns,
    compile_contract,
    compile_decisions,
    compile_policy,
)
from scorer.core.features import FeatureEncoding

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
    """

    positions: list[int]
    decisions: list[bytes]
    probabilities: NDArray[np.float32]
    labels: NDArray[np.intp]
    rules: NDArray[np.intp]


class EngineDecisions(NamedTuple):
    """Decisions on decoded records, in order; the attributes are those of `EngineScores`."""

    decisions: list[bytes]
    labels: NDArray[np.intp]
    rules: NDArray[np.intp]


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
        self, encoding: FeatureEncoding, policy: Decider, encoder: DecisionEncoder, trees: TreesTable | None
    ) -> None:
        """Compiles the tables.

        Args:
            encoding: how applications are encoded.
            policy: decides.
            encoder: has the texts of decisions.
            trees: the model; None if something else predicts, between `decode` and `encode`.

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
            compile_policy(policy, encoding.contract),
            compile_decisions(encoder),
            trees,
        )

    def score(self, values: list[Any], source: Source, bytes_max: int) -> EngineScores | None:
        """Scores the records that the engine vouches for; it must have trees.

        Args:
            values: the values of n records; what is not bytes is left to the reference.
            source: where the records come from.
            bytes_max: maximum size of a value, in bytes; larger ones are left to the reference.
        """
        try:
            decisions, probabilities, labels, rules, positions = self._engine.score(
                values, self._native(source), bytes_max
            )
        except scorer_engine.EngineError:
            return None
        return EngineScores(
            positions,
            decisions,
            np.frombuffer(probabilities, dtype=np.float32),
            _read_labels(labels),
            _read_rules(rules),
        )

    def decode(self, values: list[Any], bytes_max: int) -> EngineMatrix | None:
        """Decodes the records that the engine vouches for; the arguments are those of `score`."""
        try:
            decoded = self._engine.decode(values, bytes_max)
        except scorer_engine.EngineError:
            return None
        matrix = np.frombuffer(decoded.matrix, dtype=np.float32).reshape(-1, self._columns)
        return EngineMatrix(decoded.positions, matrix, decoded)

    def encode(self, rows: EngineMatrix, probabilities: NDArray[np.float32], source: Source) -> EngineDecisions | None:
        """Encodes the decisions on decoded records, in order.

        Args:
            rows: the decoded records, m of n.
            probabilities: their PDs, shape (m,); a decision whose PD is NaN is empty.
            source: where the n records come from.
        """
        try:
            decisions, labels, rules = self._engine.encode(rows.decoded, probabilities.tolist(), self._native(source))
        except scorer_engine.EngineError:
            return None
        return EngineDecisions(decisions, _read_labels(labels), _read_rules(rules))

    def _native(self, source: Source) -> _NativeSource:
        frames = self._encoder.frames(source.topic, source.partitions)
        return _NativeSource(source.partitions, source.offsets, frames)


def _read_labels(labels: bytes) -> NDArray[np.intp]:
    return np.frombuffer(labels, dtype=np.uint8).astype(np.intp)


def _read_rules(rules: bytes) -> NDArray[np.intp]:
    return np.frombuffer(rules, dtype=np.int16).astype(np.intp)
