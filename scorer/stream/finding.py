"""One answer of `scorer doctor`: what was asked about, how it is, and what to do."""

from typing import Literal, NamedTuple


class Finding(NamedTuple):
    """One question and its answer.

    Attributes:
        topic: what was asked about, in one word.
        state: a warning may be intended, what is wrong is not.
        text: the answer, with what to do where there is something to do.
    """

    topic: str
    state: Literal["ok", "warning", "wrong"]
    text: str
