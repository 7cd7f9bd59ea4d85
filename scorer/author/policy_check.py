"""Reviews a policy without data: rules that never decide, prohibited bases, and labels that never occur.

What is said of simple rules (comparisons of fields with constants) is exact, as far as `policy_cells` can enumerate the
cells; of other rules it is found on drawn applications, and the finding says "possibly".
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.bases import find_bases, indicates_age
from schemas.contract import Contract
from schemas.contract_faults import shown
from schemas.printable import printable
from scorer.author.finding import Finding
from scorer.author.policy_cells import (
    Points,
    constants_of,
    draw_cells,
    join_points,
    make_cells,
    may_be_unknown,
    points_of,
)
from scorer.core.decide import Decider
from scorer.core.expressions import Condition
from scorer.core.policy import LABELS, Policy, Thresholds

_DRAWN: Final = 20_000
_SEED: Final = 1
_REMOVE: Final = "remove the rule, or correct its condition"
_MOVE: Final = "remove the rule, or move it before the others"
_SECOND_REVIEW: Final = "policy.second_review_when"


def check_policy(decider: Decider, contract: Contract) -> list[Finding]:
    """Reviews a policy for applications of a contract."""
    return [
        *find_thresholds(decider.policy),
        *find_conditions(decider, contract),
    ]


def find_conditions(decider: Decider, contract: Contract) -> Iterator[Finding]:
    """Finds what is wrong with segments and conditions, and labels that never occur because of rules."""
    yield from _find_segments(decider.policy, contract)
    yield from _find_bases(decider, contract)
    review = _review_rules(decider, contract)
    yield from review.findings
    yield from _find_labels(decider.policy, review)
    if decider.second_review:
        yield from _find_second_review(decider.second_review, contract)


def find_thresholds(policy: Policy) -> Iterator[Finding]:
    """Finds thresholds with which a label never occurs. Thresholds out of order are invalid anyway."""
    yield from _find_thresholds(policy, "policy")
    for value, thresholds in (policy.segments.values if policy.segments else {}).items():
        yield from _find_thresholds(thresholds, f"policy.segments: {printable(value)}")


def _find_thresholds(thresholds: Thresholds, where: str) -> Iterator[Finding]:
    problems = {
        "maybe_above and declined_above are equal: no application is ever MAYBE, so there is no manual review": (
            thresholds.maybe_above == thresholds.declined_above
        ),
        "maybe_above is 0: only applications with a probability of exactly 0 are APPROVED": thresholds.maybe_above == 0,
        "declined_above is 1: no application is ever DECLINED, because no probability is above 1": (
            thresholds.declined_above == 1
        ),
    }
    for what, applies in problems.items():
        if applies:
            yield Finding(
                "warning", "thresholds", where, what, "build the bundle with different thresholds between 0 and 1"
            )


def _find_segments(policy: Policy, contract: Contract) -> Iterator[Finding]:
    if policy.segments is None:
        return
    field = contract.inputs[policy.segments.field]
    if not may_be_unknown(contract, field) and set(field.categories) <= policy.segments.values.keys():
        yield Finding(
            "note",
            "thresholds",
            "policy.segments",
            f"each value of {shown(field.name)} has thresholds of its own: the general ones are never used",
            "no action is needed if that is intended",
        )


def _find_bases(decider: Decider, contract: Contract) -> Iterator[Finding]:
    """Finds prohibited bases in conditions and segments; lint finds those that the model uses."""
    used = {f"rule {rule.id}": one.fields for rule, one in zip(decider.policy.rules, decider.conditions, strict=True)}
    if decider.segments:
        used["policy.segments"] = (decider.segments.field,)
    if decider.second_review:
        used[_SECOND_REVIEW] = decider.second_review.fields
    for where, fields in used.items():
        for name in fields:
            marked = contract.inputs[name].prohibited
            bases = [basis for basis in dict.fromkeys([marked, *find_bases(name)]) if basis not in {"", "age"}]
            if bases:
                what = (
                    f"{shown(name)} is a prohibited basis: {printable(bases[0])} (12 CFR 1002.6(b)(1)), whatever the "
                    "model uses"
                )
                yield Finding("error", "basis", where, what, "decide without it")
            elif marked == "age" or indicates_age(name):
                what = (
                    f"{shown(name)} is an age, which a rule may only use to find out whether an applicant can make a "
                    "contract, or in favor of the elderly (12 CFR 1002.6(b)(2))"
                )
                yield Finding("warning", "age", where, what, "keep the justification with the policy, or remove it")


class _Review(NamedTuple):
    """What was found out about rules.

    Attributes:
        findings: rules that never decide.
        live: whether each rule may decide.
        covers_all: whether the rules decide every application.
    """

    findings: list[Finding]
    live: list[bool]
    covers_all: bool


class _Analysis:
    """Evaluates conditions of a policy on cells, and on drawn applications."""

    def __init__(self, conditions: Sequence[Condition], contract: Contract) -> None:
        self._contract = contract
        self.conditions = conditions
        self.points = [points_of(condition.program) for condition in conditions]
        named = [
            {name: frozenset(constants_of(condition.program)) for name in condition.fields} for condition in conditions
        ]
        drawn = draw_cells(contract, join_points(named), _DRAWN, _SEED)
        self.drawn = [condition.evaluate(drawn) for condition in conditions]

    def evaluate(self, indexes: Sequence[int]) -> Mapping[int, NDArray[np.bool_]] | None:
        """Evaluates simple rules on their cells; None if there are too many."""
        cells = make_cells(self._contract, join_points([self._points(index) for index in indexes]), len(indexes))
        return None if cells is None else {index: self.conditions[index].evaluate(cells) for index in indexes}

    def simple_before(self, index: int) -> list[int]:
        """The simple rules before a rule."""
        return [other for other in range(index) if self.points[other] is not None]

    def _points(self, index: int) -> Points:
        points = self.points[index]
        assert points is not None, "only simple rules have cells"
        return points


def _review_rules(decider: Decider, contract: Contract) -> _Review:
    analysis = _Analysis(decider.conditions, contract)
    ids = [rule.id for rule in decider.policy.rules]
    findings: list[Finding] = []
    live = []
    for index in range(len(ids)):
        finding = _review_rule(analysis, index, ids)
        live.append(finding is None or finding.severity != "error")
        if finding:
            findings.append(finding)
    return _Review(findings, live, _covers_all(analysis))


def _review_rule(analysis: _Analysis, index: int, ids: Sequence[str]) -> Finding | None:
    """Returns that a rule never decides: an error if that is certain, a warning if it is only drawn."""
    where = f"rule {ids[index]}"
    is_witnessed = False
    if analysis.points[index] is not None:
        own = analysis.evaluate([index])
        if own is not None and not own[index].any():
            return Finding("error", "never", where, "the rule never fires: no valid application satisfies it", _REMOVE)
        covering, is_witnessed = _find_covering(analysis, index)
        if covering:
            names = " and ".join(ids[other] for other in covering[:3]) + (" and others" if len(covering) > 3 else "")
            what = f"the rule never decides: whenever it holds, {names} before it does"
            return Finding("error", "shadowed", where, what, _MOVE)
    if is_witnessed:
        return None
    if not analysis.drawn[index].any():
        what = f"possibly the rule never fires: it holds for none of {_DRAWN:,} drawn applications"
        return Finding("warning", "never", where, what, _REMOVE)
    before = np.logical_or.reduce([np.zeros(_DRAWN, dtype=np.bool_), *analysis.drawn[:index]])
    if not (analysis.drawn[index] & ~before).any():
        what = (
            "possibly the rule never decides: of the drawn applications for which it holds, each satisfies an earlier "
            "rule"
        )
        return Finding("warning", "shadowed", where, what, _MOVE)
    return None


def _find_covering(analysis: _Analysis, index: int) -> tuple[list[int], bool]:
    """Returns earlier rules one or all of which hold whenever this one does, and whether it certainly decides some."""
    earlier = analysis.simple_before(index)
    for other in earlier:
        pair = analysis.evaluate([other, index])
        if pair is not None and not (pair[index] & ~pair[other]).any():
            return [other], False
    together = analysis.evaluate([*earlier, index])
    if together is None:
        return [], False
    rest = together[index] & ~np.logical_or.reduce([np.zeros_like(together[index]), *(together[o] for o in earlier)])
    if not rest.any():
        return earlier, False
    return [], len(earlier) == index


def _covers_all(analysis: _Analysis) -> bool:
    """Whether the simple rules certainly decide every application."""
    simple = analysis.simple_before(len(analysis.conditions))
    together = analysis.evaluate(simple) if simple else None
    return together is not None and bool(np.logical_or.reduce(list(together.values())).all())


def _find_second_review(condition: Condition, contract: Contract) -> Iterator[Finding]:
    """Finds that no decision ever needs a second reviewer: an error if that is certain, a warning if it is drawn."""
    analysis = _Analysis((condition,), contract)
    exact = None if analysis.points[0] is None else analysis.evaluate([0])
    fix = "remove it, or correct the condition"
    if exact is not None:
        if not exact[0].any():
            what = "no decision needs a second reviewer: no valid application satisfies the condition"
            yield Finding("error", "never", _SECOND_REVIEW, what, fix)
    elif not analysis.drawn[0].any():
        what = (
            f"possibly no decision needs a second reviewer: the condition holds for none of {_DRAWN:,} drawn "
            "applications"
        )
        yield Finding("warning", "never", _SECOND_REVIEW, what, fix)


def _find_labels(policy: Policy, review: _Review) -> Iterator[Finding]:
    if review.covers_all:
        what = "the rules decide every application: neither the model nor the thresholds have an effect"
        yield Finding("warning", "labels", "policy.rules", what, "remove a rule, unless that is intended")
    by_rule = {rule.label for rule, is_live in zip(policy.rules, review.live, strict=True) if is_live}
    by_pd = set() if review.covers_all else set(_labels_by_pd(policy))
    # Without rules, `find_thresholds` says the same in other words.
    for label in LABELS if policy.rules else ():
        if label not in by_rule | by_pd:
            what = f"no application can become {label}: neither the thresholds nor a rule give it"
            yield Finding("warning", "labels", "policy", what, "adjust the thresholds or the rules")


def _labels_by_pd(policy: Policy) -> Iterator[str]:
    segments = policy.segments.values.values() if policy.segments else ()
    for thresholds in (policy, *segments):
        yield LABELS[0]
        least = np.float32(thresholds.maybe_above)
        if float(least) <= thresholds.maybe_above:
            least = np.nextafter(least, np.float32(1))
        if thresholds.maybe_above < float(least) <= thresholds.declined_above:
            yield LABELS[1]
        if thresholds.declined_above < 1:
            yield LABELS[2]
