"""Explains the decision on one record: what decided, what each field contributed, and what would have changed it."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from schemas.contract import Value
from schemas.decision import BundleReference, Label
from scorer.core.columns import Columns
from scorer.core.contribution_tables import SCALE_BITS
from scorer.core.contributions import round_contributions
from scorer.core.decide import NO_RULE
from scorer.core.policy import LABELS, Rule
from scorer.core.reasons import NONE, ContributingModel
from scorer.core.records import Record
from scorer.core.score import Bundle, score_batch
from scorer.core.slow_decode import Rejection
from scorer.core.smallest_change import Change, find_smallest_change, read_value
from scorer.core.trees import TreesTable

_UNIT: Final = 2.0**-SCALE_BITS


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a field contributed to the PD.

    Attributes:
        field: a field of the contract, or a derived column.
        value: as in an application, or the number of a derived column; None if it is unknown.
        log_odds: the contribution to the log-odds of default; positive raises the PD.
        prohibited: the prohibited bases of the field; empty for most.
        about: the field's title and description in the contract, or the expression of a derived column; may be empty.
    """

    field: str
    value: Value | None
    log_odds: float
    prohibited: tuple[str, ...]
    about: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of one decision.

    Attributes:
        label, probability_of_default, bundle: as in the decision.
        maybe_above, declined_above: the thresholds that apply to the application.
        segment: the category and the value whose thresholds these are; empty for the general ones.
        rule: the rule that decided; None if the thresholds did.
        reasons: codes of the catalogue, the most important one first.
        contributions: of all fields of the model, the largest one first; None if the model cannot be explained.
        start_log_odds: the log-odds of default to which contributions are added; None without contributions.
        change: the smallest change of one field that leads to a milder label; None if no change does.
        decision: the bytes of the decision's value.
    """

    label: Label
    probability_of_default: float
    bundle: BundleReference
    maybe_above: float
    declined_above: float
    segment: tuple[str, str] | None
    rule: Rule | None
    reasons: tuple[str, ...]
    contributions: tuple[Contribution, ...] | None
    start_log_odds: float | None
    change: Change | None
    decision: bytes

    def as_json(self) -> dict[str, Any]:
        """The explanation for scripts, without the decision's bytes."""
        rule = self.rule.model_dump(exclude_none=True) if self.rule else None
        return {
            "decision": self.label,
            "probability_of_default": self.probability_of_default,
            "bundle": self.bundle.model_dump(),
            "thresholds": {
                "maybe_above": self.maybe_above,
                "declined_above": self.declined_above,
                "segment": dict([self.segment]) if self.segment else None,
            },
            "rule": rule,
            "contributions": None if self.contributions is None else [asdict(one) for one in self.contributions],
            "start_log_odds": self.start_log_odds,
            "smallest_change": asdict(self.change) if self.change else None,
        }


def explain_record(
    record: Record, bundle: Bundle, bytes_max: int, model: ContributingModel | None, trees: TreesTable | None
) -> Explanation | Rejection:
    """Decides on one record, and explains the decision.

    Args:
        record: the application's record.
        bundle: the bundle.
        bytes_max: maximum size of a value, in bytes; larger ones are rejected.
        model: the bundle's model if its library computes contributions.
        trees: the model's trees if it has thresholds of numbers only.

    Returns:
        The explanation; for a rejected application, its rejection.

    Raises:
        BundleUnusableError, ModelError: the model fails.
    """
    scores = score_batch([record], bundle, bytes_max)
    (result,) = scores.results
    if isinstance(result, Rejection):
        return result
    columns = bundle.decoder.decode_batch([record.value()], bytes_max).columns
    label, rule = int(scores.decided[0]), int(scores.rules[0])
    probability = float(scores.probabilities[0])
    contributions = None if model is None else _contributions(bundle, columns, model)
    maybe_above, declined_above = (float(np.ravel(limit)[0]) for limit in bundle.policy.thresholds(columns.values))
    return Explanation(
        LABELS[label],
        probability,
        bundle.reference,
        maybe_above,
        declined_above,
        _segment(bundle, columns),
        None if rule == NO_RULE else bundle.policy.policy.rules[rule],
        () if scores.reasons is None else tuple(scores.codes[i] for i in scores.reasons[0].tolist() if i != NONE),
        contributions,
        None if contributions is None else _log_odds(probability) - sum(one.log_odds for one in contributions),
        find_smallest_change(bundle, columns, label, trees),
        result,
    )


def _segment(bundle: Bundle, columns: Columns) -> tuple[str, str] | None:
    segments = bundle.policy.segments
    if segments is None:
        return None
    code = int(columns.values[segments.field][0])
    return (
        (segments.field, bundle.encoding.contract.inputs[segments.field].categories[code])
        if (segments.has_own[code])
        else None
    )


def _contributions(bundle: Bundle, columns: Columns, model: ContributingModel) -> tuple[Contribution, ...]:
    encoding = bundle.encoding
    names = list(dict.fromkeys(encoding.column_fields))
    targets = [names.index(name) for name in encoding.column_fields]
    (units,) = round_contributions(model.contributions(encoding.matrix(columns)), targets, len(names)).tolist()
    explained = [
        _contribution(bundle, columns, name, number * _UNIT) for name, number in zip(names, units, strict=True)
    ]
    return tuple(sorted(explained, key=lambda one: -abs(one.log_odds)))


def _contribution(bundle: Bundle, columns: Columns, name: str, log_odds: float) -> Contribution:
    contract, expression = bundle.encoding.contract, bundle.encoding.derived.get(name)
    if expression is None:
        field = contract.inputs[name]
        value = read_value(field, columns.values[name][0])
        about = ": ".join(text for text in (field.title, field.description) if text)
    else:
        number = float(expression.evaluate(columns.values)[0])
        value = None if math.isnan(number) else number
        about = f"= {expression.text}"
    bases = {contract.fields[one].prohibited for one in (expression.fields if expression else [name])}
    return Contribution(name, value, log_odds, tuple(sorted(bases - {""})), about)


def _log_odds(probability: float) -> float:
    """Returns the log-odds of a PD; of 0 and 1 those of the nearest float32."""
    inside = min(max(probability, 2.0**-149), 1 - 2.0**-24)
    return math.log(inside / (1 - inside))
