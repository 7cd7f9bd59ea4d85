"""What stops a deployment: errors of the review, and labels whose share shifts by more than ten percentage points."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import Label
from scorer.author.finding import SEVERITIES, Finding
from scorer.author.guard import LabelShift, count_shifts, find_obstacles
from scorer.core.policy import LABELS

FINDINGS = [Finding(severity, "basis", f"features: {severity}", "the model uses it", "fix") for severity in SEVERITIES]
PAIRS = st.dictionaries(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), st.integers(0, 1_000))


def test_only_errors_stop_a_deployment() -> None:
    """In both slots: a warning needs an explanation, which nobody can ask for at every deployment."""
    expected = ["features: error: the model uses it"]
    assert list(find_obstacles(FINDINGS, [], "champion")) == expected
    assert list(find_obstacles(FINDINGS, [], "challenger")) == expected


def test_a_shift_stops_a_champion() -> None:
    """The sentence has both shares and the difference; a challenger is deployed to find it."""
    shifts = [LabelShift("APPROVED", 700, 701, 1_000), LabelShift("DECLINED", 120, 315, 1_000)]
    assert list(find_obstacles([], shifts, "champion")) == [
        "DECLINED 12.0% → 31.5% is a shift of +19.5 percentage points; at most 10 are allowed"
    ]
    assert list(find_obstacles([], shifts, "challenger")) == []


@pytest.mark.parametrize("compared", [10, 30, 70, 1_000])
def test_ten_points_are_allowed(compared: int) -> None:
    """As whole numbers: in floating point, 7 of 70 are more than ten points apart."""
    tenth = compared // 10
    for before, after in ((0, tenth), (tenth, 0), (compared - tenth, compared)):
        assert not LabelShift("MAYBE", before, after, compared).is_too_large
    assert LabelShift("MAYBE", 0, tenth + 1, compared).is_too_large
    assert LabelShift("MAYBE", tenth + 1, 0, compared).is_too_large


def test_shares_are_of_the_same_applications() -> None:
    """Applications whose label changes count for both labels, and those whose label stays for neither shift."""
    decided: dict[tuple[Label, Label], int] = {
        ("APPROVED", "APPROVED"): 60, ("APPROVED", "DECLINED"): 20, ("MAYBE", "APPROVED"): 5, ("MAYBE", "MAYBE"): 15,
    }  # fmt: skip
    assert [str(shift) for shift in count_shifts(decided)] == [
        "APPROVED 80.0% → 65.0%", "MAYBE 20.0% → 15.0%", "DECLINED 0.0% → 20.0%",
    ]  # fmt: skip
    assert [shift.points for shift in count_shifts(decided)] == [-15, -5, 20]


def test_a_model_that_fails_on_applications_stops_a_champion() -> None:
    """They would become dead letters, and were left out: a model that fails on 95% passed by the other 5%."""
    decided: dict[tuple[Label, Label], int] = {("APPROVED", "APPROVED"): 80, ("DECLINED", "DECLINED"): 5}
    shifts = count_shifts(decided, {"DECLINED": 15})
    assert [str(shift) for shift in shifts] == [
        "APPROVED 80.0% → 80.0%", "MAYBE 0.0% → 0.0%", "DECLINED 20.0% → 5.0%", "REJECTED 0.0% → 15.0%",
    ]  # fmt: skip
    assert len(list(find_obstacles([], shifts, "champion"))) == 2
    assert list(find_obstacles([], count_shifts(decided, {"APPROVED": 9}), "champion")) == []


@given(PAIRS)
def test_shifts_add_up(decided: dict[tuple[Label, Label], int]) -> None:
    """What one label loses the others gain; nothing compared is no shift at all."""
    shifts = count_shifts(decided)
    compared = Counter(decided).total()
    assert bool(shifts) == bool(compared)
    assert sum(shift.after - shift.before for shift in shifts) == 0
    assert all(shift.compared == compared for shift in shifts)
    assert sum(shift.before for shift in shifts) == compared * bool(shifts)
