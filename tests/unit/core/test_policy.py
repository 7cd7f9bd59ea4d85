"""Thresholds: compared strictly, on exact values, and never in the wrong order."""

import numpy as np
import pytest
from pydantic import ValidationError

from scorer.core.decide import Decider
from scorer.core.policy import LABELS, Policy
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
