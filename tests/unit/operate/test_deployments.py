"""The history's fold: what decides after which events, and what a rollback goes back to."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract import CONTRACT_BYTES_MAX
from schemas.contracts import shipped_contract
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
        ({"slot": "secret-slot"}, "slot: must be 'champion' or 'challenger'"),
        ({"bundle": None}, "bundle: required for deploy and rollback"),
        ({"action": "retire", "bundle": None}, "slot: the champion cannot be retired, only replaced"),
        ({"action": "retire"}, "bundle: required for deploy and rollback, not allowed for retire"),
        ({"at": "2026-01-01T00:00:00"}, "at: must be a time with a time zone"),
        ({"event_id": "e" * 101}, "event_id: must have at most 100 characters"),
        ({"actor": "secret-slot" * 100}, "actor: must have at most 200 characters"),
        ({"reason": "r" * 900_000}, "reason: must have at most 1000 characters"),
        ({"reason": "secret-slot\x1b[2J"}, "reason: contains a control character or a line break"),
        ({"actor": "secret-slot\nb"}, "actor: contains a control character or a line break"),
        ({"event_id": "secret-slot\u202e"}, "event_id: contains a control character or a line break"),
        ({"contract": "secret-slot"}, "contract: must be an object"),
        ({"contract": {"secret-slot": 1}}, "contract: not a contract"),
        ({"contract": {"type": "object", "x-secret-slot": [float("inf")]}}, "contract: not a contract (1 fault;"),
        ({"contract": {"type": "object", "description": "secret-slot" * 30_000}}, "contract: not a contract (1 fault;"),
        (
            {"contract": {"type": "object"}, "action": "retire", "slot": "challenger", "bundle": None},
            "contract: not allowed for retire",
        ),
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


@pytest.mark.parametrize(
    ("written", "replacement", "fault"),
    [
        ('"properties":{', '"properties":{"secret-slot":{"type":"number"},"secret-slot":{"type":"boolean"},', "twice"),
        ('"x-id":true', '"x-id":true,"x-id":true', "twice"),
        ('"contract":{', '"contract":{"type":"object"},"contract":{', "twice"),
        ('"actor":', '"note":NaN,"actor":', "the record is not JSON: NaN is not a JSON number"),
    ],
    ids=["field", "keyword", "contract", "not JSON elsewhere"],
)
def test_a_contract_has_no_name_twice(written: str, replacement: str, fault: str) -> None:
    """The last one won here, and nobody was told; other readers take the first, and know another contract."""
    event = DEPLOYMENT.model_copy(update={"contract": dict(shipped_contract().document)}).model_dump_json()
    assert written in event
    line = parse_line(0, event.replace(written, replacement, 1).encode())
    assert line.event is None
    assert fault in line.fault
    assert "secret-slot" not in line.fault


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b"\xff", b"null"])
def test_not_a_json_object(value: bytes | None) -> None:
    """Any bytes are a line; none of them stops a reader."""
    line = parse_line(0, value)
    assert line.event is None
    assert line.fault


def test_example_is_an_event() -> None:
    """The contract's example is read as it was written."""
    assert parse_line(0, DEPLOYMENT.model_dump_json().encode()).event == DEPLOYMENT


def test_an_event_carries_the_contract() -> None:
    """The contract of an event is the bundle's, to the byte, whatever numbers and letters are in it."""
    document = json.loads(shipped_contract().canonical)
    document["title"] = "Crédit"
    document["properties"]["n"] = {"type": ["number", "null"], "examples": [1.0, 1e22, -0.0, 10**30, 0.1, None]}
    written = DEPLOYMENT.model_copy(update={"contract": document}).model_dump_json()
    event = parse_line(0, written.encode()).event
    assert event is not None
    contract = event.parse_contract()
    assert contract is not None
    assert contract.canonical == (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
    assert event.model_dump_json() == written


def test_events_without_a_contract_keep_their_bytes() -> None:
    """An event as earlier releases wrote it has no contract, and is written again as it was: it may be signed."""
    old = (
        '{"event_id":"e","slot":"champion","action":"deploy","bundle":{"name":"credit-risk","version":"1.1.0","digest":'
        f'"{"0" * 64}"}},"previous":null,"actor":"ana","reason":"","at":"2026-01-01T00:00:00Z"}}'
    )
    event = parse_line(0, old.encode()).event
    assert event is not None
    assert event.parse_contract() is None
    assert event.model_dump_json() == old
    assert event.despite is None
    assert not {"contract", "despite"} & event.model_dump(mode="json").keys()


def test_an_event_says_despite_what_reason() -> None:
    """The text is read as it was written; one that is empty, or that a terminal would obey, is malformed."""
    event = DEPLOYMENT.model_copy(update={"despite": "the committee approved it"})
    assert parse_line(0, event.model_dump_json().encode()).event == event
    for text in ("", "a\x1b[2J", "r" * 1_001):
        line = parse_line(0, DEPLOYMENT.model_copy(update={"despite": text}).model_dump_json().encode())
        assert line.event is None
        assert line.fault.startswith("despite: ")


def largest_contract() -> dict[str, object]:
    """A contract that has the greatest possible size when it is written without spaces."""
    document = json.loads(shipped_contract().canonical)
    for number in range(40):
        document["properties"][f"extra_{number}"] = {"type": "boolean", "description": ""}
    room = CONTRACT_BYTES_MAX - len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
    for number in range(40):
        description = "é" * min(room // 2, 5_000)
        document["properties"][f"extra_{number}"]["description"] = description
        room -= len(description.encode())
    assert room < 2
    return dict(document)


def test_the_largest_contract_fits_into_an_event() -> None:
    """A contract may be written with spaces or without: one of the largest size is one in its event, too."""
    document = largest_contract()
    value = DEPLOYMENT.model_copy(update={"contract": document}).model_dump_json().encode()
    event = parse_line(0, value).event
    assert event is not None
    assert event.contract == document


def test_a_worker_keeps_no_contracts() -> None:
    """A line without its contract is the same otherwise, so that the history of years fits into memory."""
    line = Line(3, DEPLOYMENT.model_copy(update={"contract": dict(shipped_contract().document)}), signers=("ana",))
    assert line.without_contract() == Line(3, DEPLOYMENT, signers=("ana",))
    malformed = Line(4, None, "no event")
    assert malformed.without_contract() is malformed
