"""Thresholds: compared strictly, on exact values, and never in the wrong order."""

import numpy as np
import pytest
from pydantic import ValidationError

from scorer.core.decide import Decider
from scorer.core.policy import LABELS, Policy, Rule
from tests.fakes import CONTRACT


def _decide(policy: Policy, *probabilities: float) -> list[str]:
    decided = Decider(policy, CONTRACT).decide(np.array(probabilities, dtype=np.float32), {})
    return [LABELS[label] for label in decided.labels]


def test_the_thresholds_stay_on_the_milder_side() -> None:
    """A probability equal to a threshold is not above it."""
    policy = Policy(maybe_above=0.25, declined_above=0.5)
    just_above = (float(np.nextafter(np.float32(t), np.float32(1))) for t in (0.25, 0.5))
    assert _decide(policy, 0.25, 0.5) == ["APPROVED", "MAYBE"]
    assert _decide(policy, *just_above) == ["MAYBE", "DECLINED"]


def test_exact_values_are_compared() -> None:
    """The float32 next to 0.3 lies above 0.3, so it is MAYBE, as whoever compares the decision's own number finds."""
    assert float(np.float32(0.3)) > 0.3
    assert _decide(Policy(), 0.3) == ["MAYBE"]


def test_the_ends() -> None:
    """0 is approved and 1 declined, whatever lies between."""
    assert _decide(Policy(), 0.0, 1.0) == ["APPROVED", "DECLINED"]
    assert _decide(Policy(maybe_above=0, declined_above=0), 0.0, 1e-45) == ["APPROVED", "DECLINED"]
    assert _decide(Policy(maybe_above=1, declined_above=1), 0.0, 1.0) == ["APPROVED", "APPROVED"]


def test_equal_thresholds_leave_no_maybe() -> None:
    """With one threshold for both there are only two outcomes."""
    assert set(_decide(Policy(maybe_above=0.5, declined_above=0.5), *np.linspace(0, 1, 101))) == {
        "APPROVED",
        "DECLINED",
    }


def test_no_applications_no_decisions() -> None:
    """An empty batch has no decisions."""
    assert _decide(Policy()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"maybe_above": 0.6}, {"maybe_above": -0.1}, {"declined_above": 1.1}, {"maybe_above": float("nan")},
        {"maybe_above": "0.3"}, {"maybe_above": True}, {"maybe": 0.3},
    ],
)  # fmt: skip
def test_a_policy_that_makes_no_sense_is_rejected(wrong: dict[str, object]) -> None:
    """Thresholds out of order or range, of the wrong type, or misspelt are refused when the bundle is opened."""
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_the_message_names_both_thresholds() -> None:
    """Thresholds out of order are told together."""
    with pytest.raises(ValidationError, match=r"maybe_above \(0\.9\) .* declined_above \(0\.5\)"):
        Policy(maybe_above=0.9)


def test_a_second_reviewer_has_no_effect_on_labels() -> None:
    """The condition is parsed for the contract like that of a rule, and labels do not depend on it."""
    policy = Policy(second_review_when="amount > 1000")
    decider = Decider(policy, CONTRACT)
    assert decider.second_review is not None
    amounts = np.array([500.0, 1000.0, 1000.5, np.nan])
    assert decider.second_review.evaluate({"amount": amounts}).tolist() == [False, False, True, False]
    assert (decider.fields, decider.conditions) == ((), ())
    assert _decide(policy, 0.2, 0.4, 0.6) == _decide(Policy(), 0.2, 0.4, 0.6)
    assert policy.has_labels_of(Policy())
    assert not policy.has_labels_of(Policy(maybe_above=0.1))
    assert policy.lines()[-1] == "MAYBE needs two reviewers who agree if amount > 1000"


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ("salary > 1", "second_review_when: column 1: unknown field salary"),
        ("amount", "second_review_when: column 1: "),
        ("home > 3", "second_review_when: column "),
        ("amount >", "second_review_when: column "),
        ("1 < 2", "second_review_when: column 1: the expression names no field"),
    ],
)
def test_a_condition_for_a_second_reviewer_that_does_not_fit(condition: str, fault: str) -> None:
    """It is the fault that a rule with the same condition has, under its own name."""
    with pytest.raises(ValueError, match=fault.replace(".", r"\.")) as raised:
        Decider(Policy(second_review_when=condition), CONTRACT)
    with pytest.raises(ValueError, match="rule r1: ") as by_rule:
        Decider(Policy(rules=(Rule(id="r1", when=condition, label="MAYBE"),)), CONTRACT)
    assert str(raised.value).removeprefix("second_review_when") == str(by_rule.value).removeprefix("rule r1")


def test_a_policy_without_a_second_reviewer_is_written_as_before() -> None:
    """The key is left out, so digests of bundles without it do not change."""
    assert Policy().model_dump() == {"maybe_above": 0.3, "declined_above": 0.5}
    written = Policy(second_review_when="amount > 1").model_dump()
    assert written == {"maybe_above": 0.3, "declined_above": 0.5, "second_review_when": "amount > 1"}
    assert Policy.model_validate(written).second_review_when == "amount > 1"
    with pytest.raises(ValidationError):
        Policy(second_review_when="")
