"""Text of other people's making: whatever it is, a terminal shows it on one line and obeys nothing in it."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from schemas.printable import NO_CONTROLS, printable, printable_lines, shorten_text

CONTROLS = "\0\a\b\t\n\v\f\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069"


class _Named(BaseModel):
    name: str = Field(pattern=NO_CONTROLS)


@given(st.text())
def test_nothing_is_obeyed(text: str) -> None:
    """Every character is a graphic one or a space, and nothing but the others is replaced."""
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert all(was == now or not was.isprintable() for was, now in zip(text, shown, strict=True))


def test_controls_and_bidirectional_controls_are_replaced() -> None:
    """An escape sequence, a line break and what reverses a text are each one replacement character."""
    assert printable(CONTROLS) == "�" * len(CONTROLS)
    assert printable("a\x1b[2J\nb\u202ec") == "a�[2J�b�c"
    assert printable("naïve 贷款 🙂") == "naïve 贷款 🙂"


def test_a_message_keeps_its_own_lines() -> None:
    """Line feeds of a message are meant; a carriage return, which would write over the line, is not."""
    assert printable_lines("one\ntwo\r\x1b[31m\n") == "one\ntwo��[31m\n"


def test_long_texts_are_cut() -> None:
    """A cut is seen."""
    assert printable("a" * 1_000_000, 4) == "aaa…"
    assert (shorten_text("abcd", 4), shorten_text("abcde", 4)) == ("abcd", "abc…")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_pattern_rejects_controls_only(text: str) -> None:
    """Pydantic and Python's `re`, which read the pattern, agree with Unicode's categories on what a control is."""
    bidirectional = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    wanted = not any(unicodedata.category(c) in {"Cc", "Zl", "Zp"} or c in bidirectional for c in text)
    assert (re.search(NO_CONTROLS[:-1] + r"\Z", text) is not None) == wanted
    try:
        _Named(name=text)
    except ValidationError:
        assert not wanted
    else:
        assert wanted


def test_the_pattern_rejects_each_control() -> None:
    """Each of them, wherever it stands."""
    for control in CONTROLS:
        for text in (control, f"a{control}", f"{control}a"):
            assert re.search(NO_CONTROLS[:-1] + r"\Z", text) is None, repr(text)
