"""Durations: one way to read them in both programs."""

import pytest

from schemas.durations import read_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60s", 60),
        ("2m", 120),
        ("500ms", 0.5),
        ("1h", 3_600),
        ("1.5", 1.5),
        (" 5s", 5),
        ("1e3", 1_000),
        ("3e+08s", 3e8),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    """A number with a unit, or of seconds; 1e3 was one for the producer alone."""
    assert read_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1s2", "0", "0.0m", "1 s", "1e-3", "inf", "٣s", "9" * 400, "4e8"]
)
def test_no_durations(text: str) -> None:
    """Anything else is refused with examples; digits of other scripts, and no end at all, were durations for `up`."""
    with pytest.raises(ValueError, match="write 60s"):
        read_duration(text)
