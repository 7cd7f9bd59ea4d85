"""What stops a deployment: errors of the review, labels that shift by more than 10 points, and more than 20% flips."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import Label
from scorer.author.finding import SEVERITIES, Finding
from scorer.author.guard import DecisionShift, LabelShift, find_obstacles, measure_shift
from scorer.core.policy import LABELS

FINDINGS = [Finding(severity, "basis", f"features: {severity}", "the model uses it", "fix") for severity in SEVERITIES]
PAIRS = st.dictionaries(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), st.integers(0, 1_000))


def test_only_errors_stop_a_deployment() -> None:
    """In both slots: a warning needs an explanation, which nobody can ask for at every deployment."""
    expected = ["features: error: the model uses it"]
    assert list(find_obstacles(FINDINGS, None, "champion")) == expected
    assert list(find_obstacles(FINDINGS, None, "challenger")) == expected


def test_a_shift_stops_a_champion() -> None:
    """The sentence has both shares and the difference; a challenger is deployed to find it."""
    labels = LabelShift("APPROVED", 700, 701, 1_000), LabelShift("DECLINED", 120, 315, 1_000)
    shift = DecisionShift(labels, 200, 1_000)
    assert list(find_obstacles([], shift, "champion")) == [
        "DECLINED 12.0% → 31.5% is a shift of +19.5 percentage points; at most 10 are allowed"
    ]
    assert list(find_obstacles([], shift, "challenger")) == []


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
    shift = measure_shift(decided)
    assert shift is not None
    assert str(shift) == (
        "APPROVED 80.0% → 65.0%, MAYBE 20.0% → 15.0%, DECLINED 0.0% → 20.0%; 25 of 100 decisions differ"
    )
    assert [label.points for label in shift.labels] == [-15, -5, 20]


def test_a_model_that_fails_on_applications_stops_a_champion() -> None:
    """They would become dead letters, and were left out: a model that fails on 95% passed by the other 5%."""
    decided: dict[tuple[Label, Label], int] = {("APPROVED", "APPROVED"): 80, ("DECLINED", "DECLINED"): 5}
    shift = measure_shift(decided, {"DECLINED": 15})
    assert str(shift) == (
        "APPROVED 80.0% → 80.0%, MAYBE 0.0% → 0.0%, DECLINED 20.0% → 5.0%, REJECTED 0.0% → 15.0%; "
        "15 of 100 decisions differ"
    )
    assert len(list(find_obstacles([], shift, "champion"))) == 2
    assert list(find_obstacles([], measure_shift(decided, {"APPROVED": 9}), "champion")) == []


def test_decisions_that_change_places_stop_a_champion() -> None:
    """A bundle that decided all applications the other way round passed: each label had the share that it had before.

    A challenger is deployed to find it.
    """
    shift = measure_shift({("APPROVED", "DECLINED"): 500, ("DECLINED", "APPROVED"): 500})
    (obstacle,) = find_obstacles([], shift, "champion")
    assert obstacle == (
        "1,000 of 1,000 decisions differ (100.0%); at most 20% are allowed "
        "(`scorer bundle diff` with --on FILE counts them by label)"
    )
    assert list(find_obstacles([], shift, "challenger")) == []


@pytest.mark.parametrize("compared", [100, 155, 1_000])
def test_a_fifth_of_flips_is_allowed(compared: int) -> None:
    """Exactly 20% are, one more is not; applications on which the new model fails count, also with equal shares."""
    fifth = compared // 5
    half = fifth // 2
    decided: Counter[tuple[Label, Label]] = Counter({
        ("APPROVED", "APPROVED"): compared - fifth,
        ("APPROVED", "MAYBE"): half,
        ("MAYBE", "APPROVED"): fifth - half - 2,
    })  # fmt: skip
    allowed = measure_shift(decided, {"MAYBE": 2})
    assert allowed is not None
    assert (allowed.flipped, allowed.compared) == (fifth, compared)
    assert list(find_obstacles([], allowed, "champion")) == []
    decided.subtract({("APPROVED", "APPROVED"): 1})
    (too_many,) = find_obstacles([], measure_shift(decided, {"MAYBE": 3}), "champion")
    assert too_many.startswith(f"{fifth + 1} of {compared:,} decisions differ (2")


@given(PAIRS)
def test_shifts_add_up(decided: dict[tuple[Label, Label], int]) -> None:
    """What one label loses the others gain; nothing compared is no shift at all."""
    shift = measure_shift(decided)
    compared = Counter(decided).total()
    assert (shift is None) == (compared == 0)
    if shift is None:
        return
    assert sum(label.after - label.before for label in shift.labels) == 0
    assert all(label.compared == compared for label in shift.labels)
    assert shift.compared == compared
    assert sum(label.before for label in shift.labels) == compared
    assert max(abs(label.after - label.before) for label in shift.labels) <= shift.flipped <= compared
