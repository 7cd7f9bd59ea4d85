"""Golden examples: synthetic applications with the probabilities and decisions that a bundle must reproduce.

They are generated from the contract alone (`schemas.made_up`) and contain no real data, so they can be published
with the model.
"""

import json
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.decision import Label
from schemas.made_up import make_applications
from scorer.core.columns import Columns
from scorer.core.decide import Decider, Labels
from scorer.core.decode import Decoder
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS
from scorer.core.reasons import NONE, Explainer, find_leading
from scorer.core.score import Model, checked_predict
from scorer.errors import BundleError

EXAMPLES_MAX: Final = 10_000  # so that they do not delay the start noticeably
EXAMPLE_BYTES_MAX: Final = 1 << 20
_TOLERANCE: Final = 1e-6  # between CPU architectures
_SINGLE_ROWS_MAX: Final = 64  # the number of generated examples; each one is a separate model run


class _Example(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the file."""

    application: msgspec.Raw
    probability_of_default: float
    decision: Label
    reasons: list[str] | msgspec.UnsetType = msgspec.UNSET
    """As in the decision; bundles without a catalogue have none."""


@dataclass(frozen=True, slots=True)
class Golden:
    """Parsed golden examples: n applications with their probabilities (float64, shape (n,)) and labels."""

    values: list[bytes]
    columns: Columns
    probabilities: NDArray[np.float64]
    decisions: list[Label]
    reasons: list[list[str]] | None = None
    """The codes by example, none where it is APPROVED; None if the file has no reasons."""

    def describe(self) -> str:
        """Returns how many there are, and whether they have reasons."""
        return f"{len(self.values)}{'' if self.reasons is None else ' with reasons'}"

    def reproduce(
        self,
        encoding: FeatureEncoding,
        model: Model,
        policy: Decider,
        explainer: Explainer | None = None,
        *,
        exact: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores the examples and compares the results; also checks that an example's bits do not depend on its batch.

        Args:
            encoding: the bundle's encoding.
            model: the bundle's model.
            policy: the bundle's policy.
            explainer: the bundle's explainer; None if it has no catalogue of reasons.
            exact: whether the results must be bit-identical; otherwise within 1e-6.

        Returns:
            The matrix, shape (n, columns), and the model's predictions, shape (n,).

        Raises:
            BundleError: examples differ; the message has their number and the largest difference.
            ModelError: the model fails on them, or returns a value that is not a probability.
        """
        matrix = encoding.matrix(self.columns)
        probabilities = _predict_examples(model, matrix)
        differences = np.abs(probabilities.astype(np.float64) - self.probabilities)
        differing = ~(differences <= (0 if exact else _TOLERANCE))
        if differing.any():
            raise BundleError(
                f"{differing.sum()} of {len(probabilities)} golden examples are not reproduced: they differ by up to "
                f"{differences.max():.2g} (allowed: {'0' if exact else f'{_TOLERANCE:g}'})"
            )
        decided = policy.decide(self.probabilities.astype(np.float32), self.columns.values)
        if [LABELS[label] for label in decided.labels] != self.decisions:
            raise BundleError("the policy's decisions on the golden examples differ from those in the file")
        if self.reasons is not None:
            if explainer is None:
                raise BundleError("the golden examples have reasons, but the bundle has no catalogue")
            # Tables are of integers; a library's contributions may differ between architectures.
            if exact or explainer.tables is not None:
                _require_reasons(_explain(explainer, policy, matrix, decided), self.reasons)
        return matrix, probabilities


def _explain(explainer: Explainer, policy: Decider, matrix: NDArray[np.float32], decided: Labels) -> list[list[str]]:
    """Returns the codes of each example's reasons. Raises ModelError if the model's library fails."""
    leading = find_leading(policy.policy, explainer.codes, decided.rules)
    reasons = explainer.explain(matrix, decided.labels, leading)
    return [[explainer.codes[index] for index in row if index != NONE] for row in reasons.tolist()]


def _require_reasons(reasons: list[list[str]], expected: list[list[str]]) -> None:
    differing = sum(one != other for one, other in zip(reasons, expected, strict=True))
    if differing:
        raise BundleError(
            f"the reasons of {differing} of {len(expected)} golden examples differ from those in the file"
        )


def _predict_examples(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Predicts examples, and checks that the results are the same one by one, in a batch, and in reverse order.

    Args:
        model: the model to check.
        matrix: shape (n, columns).

    Returns:
        Shape (n,).

    Raises:
        BundleError: a row's probability depends on its batch, so a replay could not reproduce such a decision.
        ModelError: the model fails, or returns a value that is not a probability.
    """
    together = checked_predict(model, matrix)
    backwards = checked_predict(model, np.ascontiguousarray(matrix[::-1]))[::-1]
    alone = [checked_predict(model, matrix[row : row + 1])[0] for row in range(min(len(matrix), _SINGLE_ROWS_MAX))]
    if not np.array_equal(backwards, together) or not np.array_equal(alone, together[: len(alone)]):
        raise BundleError("the model does not return bit-identical probabilities for a row alone and in a batch")
    return together


def write_golden(encoding: FeatureEncoding, model: Model, policy: Decider, explainer: Explainer | None = None) -> bytes:
    """Returns the content of a `golden.jsonl`: the synthetic applications with this model's and policy's results.

    With an explainer, decisions that are not APPROVED have their reasons.

    Raises:
        BundleError: a row's probability depends on its batch, all probabilities are equal, or all are 0 or 1.
        ModelError: the model fails on them, or returns a value that is not a probability.
    """
    lines = _write_applications(encoding.contract)
    columns = _golden_columns(encoding.contract)
    matrix = encoding.matrix(columns)
    probabilities = _predict_examples(model, matrix)
    _require_variety(probabilities)
    decided = policy.decide(probabilities, columns.values)
    reasons = [[]] * len(lines) if explainer is None else _explain(explainer, policy, matrix, decided)
    numbers, labels = probabilities.astype(np.float64).tolist(), decided.labels.tolist()
    examples = [
        _Example(msgspec.Raw(line), number, LABELS[label], codes or msgspec.UNSET)
        for line, number, label, codes in zip(lines, numbers, labels, reasons, strict=True)
    ]
    return msgspec.json.Encoder().encode_lines(examples)


def _require_variety(probabilities: NDArray[np.float32]) -> None:
    """Raises BundleError if all probabilities are equal, or all are 0 or 1."""
    distinct = np.unique(probabilities)
    if len(distinct) == 1:
        raise BundleError(
            f"the model returns the same probability, {distinct[0]:g}, for all {len(probabilities)} golden examples: "
            "was it trained on one outcome only, or is another output meant?"
        )
    if np.isin(distinct, (0.0, 1.0)).all():
        raise BundleError(
            "the model returns classes, 0 or 1, instead of probabilities: use its probability output (predict_proba), "
            "and limit the depth of a single tree"
        )


def golden_matrix(encoding: FeatureEncoding) -> NDArray[np.float32]:
    """Returns the matrix of the synthetic applications; shape (examples, columns)."""
    return encoding.matrix(_golden_columns(encoding.contract))


def _golden_columns(contract: Contract) -> Columns:
    decoded = Decoder(contract).decode_batch(_write_applications(contract), EXAMPLE_BYTES_MAX)
    assert not decoded.rejections, "synthetic applications are valid"
    return decoded.columns


def _write_applications(contract: Contract) -> list[bytes]:
    return [json.dumps(application, separators=(",", ":")).encode() for application in make_applications(contract)]


def read_golden(raw: bytes, decoder: Decoder) -> Golden:
    """Reads the content of a `golden.jsonl`.

    Raises:
        BundleError: the file has no examples or too many, or a line is invalid; the message has its number.
    """
    lines = raw.splitlines()
    if not 1 <= len(lines) <= EXAMPLES_MAX:
        raise BundleError(f"there are {len(lines)} golden examples instead of 1 to {EXAMPLES_MAX}")
    examples = []
    for number, line in enumerate(lines, 1):
        try:
            examples.append(_decode_example(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BundleError(f"line {number} of the golden examples is invalid: {error}") from None
    values = [bytes(example.application) for example in examples]
    decoded = decoder.decode_batch(values, EXAMPLE_BYTES_MAX)
    for row, rejection in sorted(decoded.rejections.items()):
        raise BundleError(f"line {row + 1} of the golden examples has an invalid application: {rejection.reason}")
    probabilities = np.array([example.probability_of_default for example in examples])
    reasons = [[] if isinstance(one.reasons, msgspec.UnsetType) else one.reasons for one in examples]
    decisions = [example.decision for example in examples]
    return Golden(values, decoded.columns, probabilities, decisions, reasons if any(reasons) else None)


_decode_example = msgspec.json.Decoder(_Example).decode
