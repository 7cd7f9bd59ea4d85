"""`scorer dlq`: what is refused before a broker is asked."""

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--code", "bad"), "there is no such code; there are unreadable, empty, too_large"),
        (("list", "--since", "yesterday"), "--since yesterday: no time"),
        (("show", "17"), "write PARTITION:OFFSET"),
        (("requeue",), "say which dead letters"),
        (("requeue", "0:1", "--code", "empty"), "say which dead letters"),
    ],
)
def test_misuse(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """What makes no sense is refused with what would."""
    ended = run("dlq", *arguments)
    assert ended.code == 2
    assert words in ended.err
