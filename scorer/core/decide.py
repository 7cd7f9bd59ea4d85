"""Applies a policy to applications of one contract: the PDs and the fields give the labels."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, Kind
from schemas.contract_faults import shown
from scorer.core.evaluation import Columns
from scorer.core.expressions import Condition, parse_condition
from scorer.core.policy import LABELS, Policy

NO_RULE: Final = -1
"""In place of a rule's index: no rule holds."""


class Labels(NamedTuple):
    """What a policy decides on n applications.

    Attributes:
        labels: shape (n,): indexes into `LABELS`.
        rules: shape (n,): the index of the rule that decided, or `NO_RULE`.
    """

    labels: NDArray[np.intp]
    rules: NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class SegmentThresholds:
    """The thresholds by value of a category.

    Attributes:
        field: the category.
        has_own: by the category's code, whether it has thresholds of its own; the last one is for unknown, code -1.
        maybe_above, declined_above: the thresholds, likewise.
    """

    field: str
    has_own: NDArray[np.bool_]
    maybe_above: NDArray[np.float64]
    declined_above: NDArray[np.float64]


class Decider:
    """A policy for applications of one contract.

    Attributes:
        policy: as it was given.
        conditions: those of its rules, in order.
        rule_ids: their ids, likewise.
        second_review: holds if a MAYBE decision needs a second reviewer; None if none ever does.
        segments: the thresholds by segment; None if all applications have the general ones.
    """

    def __init__(self, policy: Policy, contract: Contract) -> None:
        """Prepares the policy.

        Raises:
            ValueError: a condition is not in the grammar or does not fit the contract, or the segments' field is not a
                category with these values.
        """
        self.policy = policy
        self.conditions = tuple(_parse(f"rule {rule.id}", rule.when, contract) for rule in policy.rules)
        self.rule_ids = tuple(rule.id for rule in policy.rules)
        second = policy.second_review_when
        self.second_review = None if second is None else _parse("second_review_when", second, contract)
        self.segments = _compile_segments(policy, contract)
        self._labels = np.array([LABELS.index(rule.label) for rule in policy.rules], dtype=np.intp)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that its rules and segments use, sorted by name."""
        segments = {self.segments.field} if self.segments else set()
        return tuple(sorted(segments.union(*(condition.fields for condition in self.conditions))))

    def decide(self, probabilities: NDArray[np.float32 | np.float64], columns: Columns) -> Labels:
        """Returns the label of each application, and which rule decided it.

        Args:
            probabilities: the PDs, shape (n,), 0 to 1. NaN, which is no PD, has a label that counts for nothing.
            columns: those of the policy's fields, as `scorer.core.evaluation.Columns` describes them.
        """
        rules = self.find_rules(columns, len(probabilities))
        labels = self.compare(probabilities, columns)
        if self.conditions:
            labels = np.where(rules == NO_RULE, labels, self._labels[rules])
        return Labels(labels, rules)

    def find_rules(self, columns: Columns, count: int) -> NDArray[np.intp]:
        """Returns the index of the first rule that holds for each of `count` applications, or `NO_RULE`."""
        rules = np.full(count, NO_RULE, dtype=np.intp)
        for index, condition in enumerate(self.conditions):
            rules[condition.evaluate(columns) & (rules == NO_RULE)] = index
        return rules

    def compare(self, probabilities: NDArray[np.float32 | np.float64], columns: Columns) -> NDArray[np.intp]:
        """Returns the labels that the thresholds give, whatever the rules say; the arguments are those of `decide`."""
        maybe_above, declined_above = self.thresholds(columns)
        exact = probabilities.astype(np.float64)
        return np.add(exact > maybe_above, exact > declined_above, dtype=np.intp)

    def thresholds(self, columns: Columns) -> tuple[NDArray[np.float64] | float, NDArray[np.float64] | float]:
        """Returns the thresholds `maybe_above` and `declined_above`: of each application, or the same for all."""
        if self.segments is None:
            return self.policy.maybe_above, self.policy.declined_above
        codes = columns[self.segments.field]
        return self.segments.maybe_above[codes], self.segments.declined_above[codes]


def _parse(where: str, text: str, contract: Contract) -> Condition:
    try:
        return parse_condition(text, contract)
    except ValueError as error:
        msg = f"{where}: {error}"
        raise ValueError(msg) from None


def _compile_segments(policy: Policy, contract: Contract) -> SegmentThresholds | None:
    if policy.segments is None:
        return None
    name = policy.segments.field
    field = contract.inputs.get(name)
    if field is None or field.kind is not Kind.CATEGORY:
        problem = "is not in the contract" if field is None else "is not a category"
        msg = f"segments: {shown(name)} {problem}"
        raise ValueError(msg)
    unknown = [value for value in policy.segments.values if value not in field.categories]
    if unknown:
        msg = f"segments: {shown(unknown[0])} is not a value of {shown(name)}"
        raise ValueError(msg)
    by_code = [*(policy.segments.values.get(value, policy) for value in field.categories), policy]
    maybe_above, declined_above = np.array([[one.maybe_above, one.declined_above] for one in by_code]).T
    has_own = np.array([thresholds is not policy for thresholds in by_code])
    return SegmentThresholds(name, has_own, maybe_above, declined_above)
