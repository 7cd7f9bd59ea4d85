"""A finding of `scorer doctor`: what was checked, its state, and how to fix it."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        topic: what was checked, in one word.
        state: ok; a warning, which may be intended; or wrong, which must be fixed.
        text: what was found, and how to fix it if necessary.
    """

    topic: str
    state: Literal["ok", "warning", "wrong"]
    text: str
