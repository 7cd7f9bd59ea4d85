"""Text that other people wrote, made safe to show: on a terminal, in a log, in a message.

Anybody who may write to a topic, make a bundle or join a group chooses names, reasons and headers. A terminal obeys
escape sequences in them, a line break begins a line that looks like the program's own, and bidirectional controls make
a text read as another one.
"""

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS: Final = "…"

# The same set as a regular expression, for the patterns of contracts: control characters, line and paragraph
# separators, and the controls of bidirectional text. pydantic, Python and JSON Schema's ECMA-262 read it alike.
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NO_CONTROLS: Final = f"^[^{_CONTROLS}]*$"
"""What a text without control characters matches."""
_find_control: Final = re.compile(f"[{_CONTROLS}]").search


def printable(text: str, characters_max: int | None = None) -> str:
    """A text on one line, without what cannot be seen or would command a terminal.

    Args:
        text: anything; line breaks are replaced too, so that it cannot begin a line of its own.
        characters_max: where to cut a longer text; None does not cut.
    """
    if characters_max is not None:
        text = shorten_text(text, characters_max)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def printable_lines(text: str) -> str:
    """The same of a text whose line breaks (LF) are meant, such as a message of the program's own."""
    return "\n".join(map(printable, text.split("\n")))


def has_controls(text: str) -> bool:
    """Whether a text has a character that `NO_CONTROLS` refuses."""
    return _find_control(text) is not None


def shorten_text(text: str, characters_max: int) -> str:
    """A text of at most so many characters; an ellipsis takes the place of what is cut off."""
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}{_ELLIPSIS}"
