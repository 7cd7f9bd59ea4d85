"""Parses durations on the command line, such as 60s, for the scorer and for publishers."""

import re
from typing import Final

DURATION_MAX_S: Final = 10 * 365 * 24 * 3_600.0
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "": 1.0}
_parse = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e\+?[0-9]+)?)(ms|s|m|h|)").fullmatch


def read_duration(text: str) -> float:
    """Reads `60s`, `2m`, `500ms`, `1h` or plain seconds; returns seconds.

    Raises:
        ValueError: it is not a duration above zero and up to ten years; the message says what to write.
    """
    match = _parse(text.strip())
    duration_s = float(match[1]) * _UNITS_S[match[2]] if match else 0.0
    if not 0 < duration_s <= DURATION_MAX_S:
        raise ValueError("is not a duration above zero and up to ten years: write 60s, 2m, 500ms, 1h or plain seconds")
    return duration_s
