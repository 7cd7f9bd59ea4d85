"""`scorer dlq`: what is refused before a broker is asked."""

import pytest

from tests.unit.cli.conftest import Run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--code", "bad"), "'bad' is not one of 'unreadable', 'empty', 'too_large'"),
        (("list", "--since", "yesterday"), "--since yesterday: invalid time"),
        (("show", "17"), "is not PARTITION:OFFSET"),
        (("requeue",), "which dead letters?"),
        (("requeue", "0:1", "--code", "empty"), "which dead letters?"),
    ],
)
def test_misuse(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """What makes no sense is refused with what would."""
    ended = run("dlq", *arguments)
    assert ended.code == 2
    assert words in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "show", "9" * 5_000 + ":0"),
        ("dlq", "show", "0:9223372036854775808"),
        ("dlq", "requeue", "٣:1"),
        ("replay", "verify", "--offsets", "0:" + "9" * 5_000 + "-" + "9" * 5_000),
        ("replay", "verify", "--offsets", "٣:1-2"),
    ],
)
def test_no_number_of_kafkas(run: Run, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A number of too many digits, or of other digits, is misuse in one short line."""
    monkeypatch.setattr("scorer.operate.listening.require_listening", lambda _: None)
    ended = run(*arguments)
    assert ended.code == 2
    assert len(ended.err) < 400
