"""Golden examples: made-up applications with the probabilities that a bundle's model must reproduce.

They come from the contract alone: its example with other numbers, varied over every category, every limit and every
number that may be missing. No row of anybody's data is among them, so they may be published with the model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from schemas.application import CreditApplication
from schemas.decision import Outcome
from scorer.core.features import CATEGORIES, NUMBERS, FeatureEncoding
from scorer.core.policy import OUTCOMES, Policy
from scorer.core.score import Model, checked_predict
from scorer.core.wire import Application, Rejection, decode
from scorer.errors import BundleError

EXAMPLES_MAX: Final = 10_000  # a start should not wait longer than a moment for them
_APPLICATION_BYTES_MAX: Final = 4_096
_TOLERANCE: Final = 1e-6  # between CPU architectures
_ALONE_MAX: Final = 64  # as many as we make up; each alone is a run of the model
_MIXED: Final = 23  # examples that vary all fields at once

_PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


class _Example(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the file."""

    application: msgspec.Raw
    probability_of_default: float
    decision: Outcome


@dataclass(frozen=True, slots=True)
class Golden:
    """The examples, read: n applications with what was predicted (float64, shape (n,)) and decided."""

    applications: list[Application]
    probabilities: NDArray[np.float64]
    decisions: list[Outcome]

    def reproduce(
        self, encoding: FeatureEncoding, model: Model, policy: Policy, *, exact: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores the examples and compares; before that, finds out whether an example's bits depend on its batch.

        Args:
            encoding: the bundle's.
            model: the bundle's.
            policy: the bundle's.
            exact: whether every bit must be the same, else within 1e-6.

        Returns:
            The matrix, shape (n, columns), and what the model predicts for it here, shape (n,).

        Raises:
            BundleError: with the number of examples that differ and by how much.
            ModelError: the model fails on them, or gives something that is no probability.
        """
        matrix = encoding.matrix(self.applications)
        found = _predict_examples(model, matrix)
        away = np.abs(found.astype(np.float64) - self.probabilities)
        wrong = ~(away <= (0 if exact else _TOLERANCE))
        if wrong.any():
            raise BundleError(
                f"{wrong.sum()} of {len(found)} golden examples come out differently, by up to {away.max():.2g} "
                f"({'not a bit' if exact else f'{_TOLERANCE:g}'} is allowed)"
            )
        decided = [OUTCOMES[i] for i in policy.decide(self.probabilities.astype(np.float32))]
        if decided != self.decisions:
            raise BundleError("the policy decides the golden examples differently than they say")
        return matrix, found


def _predict_examples(model: Model, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a model predicts for examples, if it is the same for each of them alone, together and the other way round.

    Args:
        model: whose predictions.
        matrix: shape (n, columns).

    Returns:
        Shape (n,).

    Raises:
        BundleError: a row's probability depends on its batch: no replay could repeat such a decision.
        ModelError: the model fails, or gives something that is no probability.
    """
    together = checked_predict(model, matrix)
    backwards = checked_predict(model, np.ascontiguousarray(matrix[::-1]))[::-1]
    alone = [checked_predict(model, matrix[row : row + 1])[0] for row in range(min(len(matrix), _ALONE_MAX))]
    if not np.array_equal(backwards, together) or not np.array_equal(alone, together[: len(alone)]):
        raise BundleError("the model does not give a row the same probability alone as in a batch, to the bit")
    return together


def write_golden(encoding: FeatureEncoding, model: Model, policy: Policy) -> bytes:
    """The content of a `golden.jsonl`: the made-up applications with what this model and policy make of them.

    Raises:
        BundleError: a row's probability depends on its batch, all are equal, or they are labels.
        ModelError: the model fails on them, or gives something that is no probability.
    """
    lines = _write_applications()
    probabilities = _predict_examples(model, made_up_matrix(encoding))
    _require_variety(probabilities)
    examples = [
        _Example(msgspec.Raw(line), probability, OUTCOMES[outcome])
        for line, probability, outcome in zip(
            lines, probabilities.astype(np.float64).tolist(), policy.decide(probabilities).tolist(), strict=True
        )
    ]
    return msgspec.json.Encoder().encode_lines(examples)


def _require_variety(probabilities: NDArray[np.float32]) -> None:
    """Makes sure that the model tells applicants apart, and by more than a label."""
    found = np.unique(probabilities)
    if len(found) == 1:
        raise BundleError(
            f"the model gives all {len(probabilities)} made-up applications the same probability, {found[0]:g}: was it "
            "trained on one outcome only, or is another output meant?"
        )
    if np.isin(found, (0.0, 1.0)).all():
        raise BundleError(
            "the model gives labels, 0 or 1, and no probabilities: give its output of probabilities (predict_proba), "
            "and limit the depth of a single tree"
        )


def made_up_matrix(encoding: FeatureEncoding) -> NDArray[np.float32]:
    """The made-up applications as a model gets them; shape (examples, columns)."""
    decoded = [_decode(line) for line in _write_applications()]
    applications = [application for application in decoded if not isinstance(application, Rejection)]
    assert len(applications) == len(decoded), "made-up applications keep to the contract"
    return encoding.matrix(applications)


def _write_applications() -> list[bytes]:
    return [json.dumps(application, separators=(",", ":")).encode() for application in make_applications()]


def read_golden(raw: bytes) -> Golden:
    """Reads the content of a `golden.jsonl`.

    Raises:
        BundleError: there are no examples in it or too many, or a line is no example, with its number.
    """
    lines = raw.splitlines()
    if not 1 <= len(lines) <= EXAMPLES_MAX:
        raise BundleError(f"there are {len(lines)} golden examples; from 1 to {EXAMPLES_MAX} are needed")
    examples, applications = [], []
    for number, line in enumerate(lines, 1):
        try:
            example = _decode_example(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BundleError(f"line {number} of the golden examples is none: {error}") from None
        application = _decode(bytes(example.application))
        if isinstance(application, Rejection):
            raise BundleError(f"line {number} of the golden examples is no application: {application.reason}")
        examples.append(example)
        applications.append(application)
    probabilities = np.array([example.probability_of_default for example in examples])
    return Golden(applications, probabilities, [example.decision for example in examples])


_decode_example = msgspec.json.Decoder(_Example).decode


def _decode(raw: bytes) -> Application | Rejection:
    return decode(raw, _APPLICATION_BYTES_MAX)


def make_applications() -> list[dict[str, object]]:
    """The made-up applications, the same ones every time."""
    return [
        application | {"application_id": f"golden-{number}"} for number, application in enumerate(_vary_example(), 1)
    ]


def _vary_example() -> Iterator[dict[str, object]]:
    """A plain application; then with one field changed at a time; then with all of them changed at once.

    The plain one has half as much again of every number in the contract's example, which somebody may really have sent.
    """
    example: dict[str, object] = {name: field["examples"][0] for name, field in _PROPERTIES.items()}
    example |= {name: _scale(name, 6) for name in NUMBERS}
    optional = [name for name, field in CreditApplication.model_fields.items() if not field.is_required()]
    yield example
    for name, values in {**CATEGORIES, **{name: _range(name) for name in NUMBERS}}.items():
        yield from (example | {name: value} for value in values if value != example[name])
    for name in optional:
        yield {field: value for field, value in example.items() if field != name}
    yield example | {name: None for name in optional if name in NUMBERS}
    for step in range(_MIXED):
        categories = {name: values[step * 7 % len(values)] for name, values in CATEGORIES.items()}
        scaled = {name: _scale(name, step * stride) for stride, name in enumerate(NUMBERS, 2)}
        yield example | categories | scaled


def _range(name: str) -> tuple[float, float]:
    """The least and the greatest that a number may be."""
    rule = _PROPERTIES[name].get("anyOf", [_PROPERTIES[name]])[0]
    return rule["minimum"] if "minimum" in rule else rule["exclusiveMinimum"] + 0.5, rule["maximum"]


def _scale(name: str, step: int) -> float:
    """The example's number (1,000 where that is 0) times 0 to 4 in quarters, kept within the limits."""
    low, high = _range(name)
    return float(min(max((_PROPERTIES[name]["examples"][0] or 1_000) * (step % 17) / 4, low), high))
