"""What timestamps say of clocks and of units."""

import pytest

from scorer.operate.timestamps import judge, unit_of

NOW_MS = 1_795_816_864_586
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("timestamp", "unit"),
    [
        (NOW_MS, "milliseconds"),
        (NOW_MS - 300 * DAY_MS, "milliseconds"),
        (NOW_MS + 300 * DAY_MS, "milliseconds"),
        (NOW_MS // 1_000, "seconds"),
        (NOW_MS * 1_000, "microseconds"),
        (NOW_MS * 1_000_000, "nanoseconds"),
        (0, ""),
        (-1, ""),
        (-NOW_MS, ""),
        (2**63 - 1, ""),
    ],
)
def test_units(timestamp: int, unit: str) -> None:
    """A unit is known by the time that it makes of the number: near the present or not."""
    assert unit_of(timestamp, NOW_MS) == unit


def test_nothing_to_say() -> None:
    """Records of now and of the past, or none at all, are in order."""
    assert [f.state for f in judge([], NOW_MS)] == ["ok"]
    assert [f.state for f in judge([NOW_MS, NOW_MS - DAY_MS, NOW_MS + 1_000], NOW_MS)] == ["ok"]


def test_a_clock_that_is_ahead() -> None:
    """In the right unit a time that is to come is a clock's fault."""
    (finding,) = judge([NOW_MS, NOW_MS + 90_000], NOW_MS)
    assert finding.state == "warning"
    assert "is 90 s in the future" in finding.text


def test_wrong_units_are_distinguished_from_wrong_clocks() -> None:
    """µs are no clock of another century: each unit is named, with how many records have it."""
    findings = list(judge([NOW_MS * 1_000] * 2 + [NOW_MS // 1_000, 0, NOW_MS], NOW_MS))
    assert {finding.state for finding in findings} == {"warning"}
    text = "\n".join(finding.text for finding in findings)
    assert "2 of the newest 5 applications have timestamps that are in microseconds" in text
    assert "1 of the newest 5 applications have timestamps that are in seconds" in text
    assert "1 of the newest 5 applications have timestamps that are not near the present in any unit" in text
    assert "future" not in text
