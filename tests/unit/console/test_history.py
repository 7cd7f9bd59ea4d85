"""The history of one application: what is shown of an id that is used once, and of one that is used all the time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.decision import BundleReference
from schemas.records import ReadDecision
from scorer.console.applications import RECORDS_MAX, History
from scorer.console.bundle_texts import BundleTexts
from scorer.operate.application_records import Written
from scorer.settings import load_settings
from tests.fakes import FakeRecord

SETTINGS = load_settings(environment={}).settings
BUNDLE = BundleReference(name="mine", version="1.0.0", digest="a" * 64)
DAY_MS = 86_400_000
Show = Callable[..., dict[str, Any]]


def decided(offset: int, at_ms: int) -> tuple[Written, FakeRecord]:
    """A decision on the record at this offset."""
    position = f"{SETTINGS.applications_topic}:0:{offset}@aaaaaaaaaaaa"
    decision = ReadDecision(
        position, "a-1", "MAYBE", 0.4, BUNDLE, SETTINGS.applications_topic, 0, offset, "", "", is_correction=False
    )
    return Written(decision, 0, offset, at_ms), FakeRecord((0, offset), b"")


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Show:
    """Shows the history of an application with these decisions, whose records have these timestamps."""

    def show_history(decisions: list[tuple[Written, FakeRecord]], published_ms: int = DAY_MS) -> dict[str, Any]:
        record = FakeRecord((0, 0), b"{}", timestamp_ms=published_ms)
        replaced = {
            "read_decisions": lambda *_: decisions,
            "read_application": lambda *_: record,
            "read_reviews": lambda *_: (),
            "read_dead_letters": lambda *_, **__: (),
        }
        for name, replacement in replaced.items():
            monkeypatch.setattr(f"scorer.console.applications.{name}", replacement)
        shown: dict[str, Any] = json.loads(json.dumps(History(SETTINGS, "a-1").as_json(BundleTexts(None))))
        return shown

    return show_history


def test_it_is_in_the_order_of_time(show: Show) -> None:
    """An application, then its decision, which is current."""
    shown = show([decided(5, 2 * DAY_MS)])
    assert [(event["kind"], event["at_ms"]) for event in shown["events"]] == [
        ("published", DAY_MS),
        ("decided", 2 * DAY_MS),
    ]
    assert shown["omitted"] == 0


@pytest.mark.parametrize("published_ms", [-1, 253_402_300_800_000, 1_769_853_600_000_000_000])
def test_a_publisher_that_uses_another_unit(show: Show, published_ms: int) -> None:
    """A browser has no such time, and showed nothing; the application comes before its decision all the same."""
    shown = show([decided(5, 2 * DAY_MS)], published_ms)
    assert [(event["kind"], event["at_ms"]) for event in shown["events"]] == [
        ("published", None),
        ("decided", 2 * DAY_MS),
    ]


def test_an_id_that_all_applications_have(show: Show) -> None:
    """Each record is read on its own, which took minutes: the newest ones are shown, and the others counted."""
    shown = show([decided(offset, DAY_MS + offset) for offset in range(3_000)])
    assert len(shown["events"]) == 2 * RECORDS_MAX
    assert shown["omitted"] == 3_000 - RECORDS_MAX
    (current,) = (event for event in shown["events"] if event.get("is_current"))
    assert current["decision_id"] == shown["record"]["decision_id"]


def test_the_current_decision_is_shown(show: Show) -> None:
    """Also if those on many older records were written later, as corrections are."""
    shown = show([decided(9_000, DAY_MS), *(decided(offset, 2 * DAY_MS + offset) for offset in range(100))])
    assert sum(event.get("is_current", False) for event in shown["events"]) == 1
    assert shown["record"]["decision_id"].endswith(":0:9000@aaaaaaaaaaaa")
