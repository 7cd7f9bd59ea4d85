"""The history's fold: what decides after which events, and what a rollback goes back to."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decision import BundleReference
from schemas.deployment import DeploymentEvent
from schemas.examples import DEPLOYMENT
from scorer.stream.history import fold, parse_line
from scorer.stream.history_record import Line

A, B, C = (BundleReference(name="credit-risk", version=f"{n}.0.0", digest=str(n) * 64) for n in (1, 2, 3))


def event(
    action: str, bundle: BundleReference | None, previous: BundleReference | None = None, slot: str = "champion"
) -> Line:
    """A line about a slot."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    fields = {"event_id": "e", "slot": slot, "action": action, "actor": "ana", "reason": "", "at": at}
    return Line(0, DeploymentEvent.model_validate({**fields, "bundle": bundle, "previous": previous}))


def put(bundle: BundleReference, previous: BundleReference | None = None) -> Line:
    """It was deployed."""
    return event("deploy", bundle, previous)


def back(bundle: BundleReference) -> Line:
    """It was gone back to."""
    return event("rollback", bundle)


def test_nothing_deployed() -> None:
    """A history without events says nothing of any slot."""
    state = fold([])
    assert state.current("champion") is None
    assert state.before("champion") is None


@pytest.mark.parametrize(
    ("lines", "current", "before"),
    [
        ([put(A)], A, None),
        ([put(B, A)], B, A),
        ([put(A), put(B, A)], B, A),
        ([put(A), put(B), back(A)], A, None),
        ([put(A), put(B), put(C), back(B)], B, A),
        ([put(A), put(B), put(C), back(B), back(A)], A, None),
        ([put(A), put(B), back(C)], C, A),
        ([put(A), put(B), put(A), put(C), back(A)], A, B),
        ([put(A), Line(1, None, "no event"), put(B)], B, A),
    ],
    ids=[
        "the first",
        "what decided before the history",
        "one after another",
        "back",
        "back one of two",
        "back twice goes back two, not there and back",
        "back to one that was never there replaces the bad one",
        "back to the later of two",
        "what is no event counts for nothing",
    ],
)  # fmt: skip
def test_fold(lines: list[Line], current: BundleReference, before: BundleReference | None) -> None:
    """What decides, and what a rollback puts back."""
    state = fold(lines)
    assert state.current("champion") == current
    assert state.before("champion") == before
    assert state.current("challenger") is None


def test_challenger() -> None:
    """The slots do not touch each other: a challenger comes, is replaced and retired while the champion stays."""
    lines = [put(A), event("deploy", B, None, "challenger")]
    assert fold(lines).current("challenger") == B
    lines += [event("deploy", C, B, "challenger"), put(B, A)]
    assert fold(lines).current("challenger") == C
    assert fold(lines).current("champion") == B
    lines.append(event("retire", None, C, "challenger"))
    assert fold(lines).current("challenger") is None
    assert fold(lines).before("challenger") is None
    assert fold(lines).current("champion") == B
    lines.append(event("deploy", C, None, "challenger"))
    assert fold(lines).current("challenger") == C


@given(st.lists(st.sampled_from([A, B, C]), min_size=1, max_size=8))
def test_rollback_undoes_a_deployment(deployed: list[BundleReference]) -> None:
    """Whatever was deployed, a deployment and the rollback of it leave everything as it was."""
    lines = [event("deploy", bundle) for bundle in deployed]
    state = fold(lines)
    current = state.current("champion")
    other = next(bundle for bundle in (A, B, C) if bundle != current)
    after = fold([*lines, event("deploy", other, current), event("rollback", current, other)])
    assert after.bundles == state.bundles


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"slot": "secret-slot"}, "slot: Input should be 'champion' or 'challenger'"),
        ({"bundle": None}, "bundle: required for deploy and rollback"),
        ({"action": "retire", "bundle": None}, "slot: the champion cannot be retired, only replaced"),
        ({"action": "retire"}, "bundle: required for deploy and rollback, not allowed for retire"),
        ({"at": "2026-01-01T00:00:00"}, "at: Input should have timezone info"),
        ({"event_id": "e" * 101}, "event_id: String should have at most 100 characters"),
        ({"actor": "secret-slot" * 100}, "actor: String should have at most 200 characters"),
        ({"reason": "r" * 900_000}, "reason: String should have at most 1000 characters"),
        ({"reason": "secret-slot\x1b[2J"}, "reason: contains a control character or a line break"),
        ({"actor": "secret-slot\nb"}, "actor: contains a control character or a line break"),
        ({"event_id": "secret-slot\u202e"}, "event_id: contains a control character or a line break"),
    ],
)
def test_not_an_event(change: dict[str, object], fault: str) -> None:
    """A line that breaks the contract says which rule, and none of its values."""
    made = {**DEPLOYMENT.model_dump(mode="json"), **change}
    line = parse_line(7, json.dumps(made).encode())
    assert line.offset == 7
    assert line.event is None
    assert fault in line.fault
    assert "secret-slot" not in line.fault
    assert len(line.fault) < 200


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff", b"null"])
def test_not_a_json_object(value: bytes | None) -> None:
    """Any bytes are a line; none of them stops a reader."""
    line = parse_line(0, value)
    assert line.event is None
    assert line.fault


def test_example_is_an_event() -> None:
    """The contract's example is read as it was written."""
    assert parse_line(0, DEPLOYMENT.model_dump_json().encode()).event == DEPLOYMENT
