"""Makes untrusted text safe to show: on a terminal, in a log, in a message.

Anyone who can write to a topic, create a bundle or join a group chooses names, reasons and headers. A terminal
interprets escape sequences in them, a line break can fake a line of the program's own, and bidirectional controls can
disguise a text.
"""

import re
from typing import Final

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS: Final = "…"

# Disallowed characters as a regular expression, for the patterns of contracts: control characters, line and paragraph
# separators, and the controls of bidirectional text. pydantic, Python and JSON Schema's ECMA-262 read it alike.
_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
NO_CONTROLS: Final = f"^[^{_CONTROLS}]*$"
"""Pattern of a text without control characters."""
_find_control: Final = re.compile(f"[{_CONTROLS}]").search


def printable(text: str, characters_max: int | None = None) -> str:
    """A text on one line, without invisible characters and terminal control characters.

    Args:
        text: any text; line breaks are replaced, too, so that it cannot start a new line.
        characters_max: maximum length, to which a longer text is cut; None does not cut.
    """
    if characters_max is not None:
        text = shorten_text(text, characters_max)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _REPLACEMENT for character in text)


def printable_lines(text: str) -> str:
    """The same for a text with intended line breaks (LF), such as a message of this program."""
    return "\n".join(map(printable, text.split("\n")))


def has_controls(text: str) -> bool:
    """Whether a text has a character that `NO_CONTROLS` rejects."""
    return _find_control(text) is not None


def shorten_text(text: str, characters_max: int) -> str:
    """Cuts a text to at most `characters_max` characters, including an ellipsis."""
    return text if len(text) <= characters_max else f"{text[: characters_max - 1]}{_ELLIPSIS}"
