"""Reviewers: who is named by a token, whose session may review, and what is said of a file that cannot be used."""

from pathlib import Path

import pytest

from scorer.console.guard import Sessions
from scorer.console.token import read_reviewers
from scorer.errors import MisuseError

ANA, BEN = "correct horse battery staple", "8f14e45fceea167a"


def written(folder: Path, text: str) -> str:
    """A file that only its owner can read."""
    file = folder / "reviewers"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return str(file)


def test_reviewers_by_token(tmp_path: Path) -> None:
    """A name and a token per line, with any white space; comments and empty lines are skipped."""
    text = f"# who may review\n\nana@lender.example {ANA}\n  ben\t\t{BEN}  \n"
    assert read_reviewers(written(tmp_path, text), None) == {ANA: "ana@lender.example", BEN: "ben"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no reviewer"),
        ("# nobody\n", "names no reviewer"),
        ("ana\n", "line 1: write a reviewer's name"),
        (f"# ok\n{'n' * 201} {ANA}\n", "line 2: write a reviewer's name"),
        ("ana short\n", "line 1 contains a token of 5 characters"),
        ("ana aaaaaaaaaaaaaaaaaaaa\n", "line 1 contains a token that is easy to guess"),
        (f"ana {ANA}\nben {ANA}\n", "line 2: each reviewer needs one line"),
        (f"ana {ANA}\nana {BEN}\n", "line 2: each reviewer needs one line"),
        (f"ana {ANA}\nben the console's own token 9\n", "line 2: each reviewer needs one line"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, fault: str) -> None:
    """The message names the setting and the line, and never a token."""
    with pytest.raises(MisuseError, match="console_reviewers_file") as raised:
        read_reviewers(written(tmp_path, text), "the console's own token 9")
    assert fault in str(raised.value)
    assert ANA not in str(raised.value)
    assert "own token" not in str(raised.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """It is an error at the start: reviews would be off without anybody noticing."""
    with pytest.raises(MisuseError, match="console_reviewers_file"):
        read_reviewers(str(tmp_path / "missing"), None)


def test_sessions_know_their_reviewer() -> None:
    """The console's token opens a session without a reviewer, a reviewer's token one with the name of its line."""
    sessions = Sessions("the console's own token 9", {ANA: "ana", BEN: "ben"})
    viewer, ana = sessions.open("the console's own token 9"), sessions.open(ANA)
    assert viewer is not None
    assert ana is not None
    assert (sessions.is_open(viewer), sessions.reviewer(viewer)) == (True, None)
    assert (sessions.is_open(ana), sessions.reviewer(ana)) == (True, "ana")
    assert sessions.open("something else") is None
    sessions.close(ana)
    assert (sessions.is_open(ana), sessions.reviewer(ana)) == (False, None)
    assert sessions.reviewer("") is None


def test_only_reviewers() -> None:
    """Without a token of the console only reviewers can log in; an empty token is nobody's."""
    sessions = Sessions(None, {BEN: "ben"})
    assert sessions.open("") is None
    assert sessions.open(BEN) is not None
