"""Users with tokens of their own: who is named by a token, what sessions may do, and files that cannot be used."""

from pathlib import Path

import pytest

from scorer.console.guard import Sessions
from scorer.console.token import read_names
from scorer.console.users import User, read_users
from scorer.errors import MisuseError
from scorer.settings import Settings

ANA, BEN = "correct horse battery staple", "8f14e45fceea167a"
CLEO = "c9f0f895fb98ab91"
FILES = ("console_reviewers_file", "console_operators_file")


def written(folder: Path, text: str, name: str = "reviewers") -> str:
    """A file that only its owner can read."""
    file = folder / name
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize("setting", FILES)
def test_names_by_token(tmp_path: Path, setting: str) -> None:
    """A name and a token per line, with any white space; comments and empty lines are skipped."""
    text = f"# who may\n\nana@lender.example {ANA}\n  ben\t\t{BEN}  \n"
    assert read_names(written(tmp_path, text), setting, None) == {ANA: "ana@lender.example", BEN: "ben"}


@pytest.mark.parametrize("setting", FILES)
@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "names no user"),
        ("# nobody\n", "names no user"),
        ("ana\n", "line 1: write a user's name"),
        (f"# ok\n{'n' * 201} {ANA}\n", "line 2: write a user's name"),
        ("ana short\n", "line 1 contains a token of 5 characters"),
        ("ana aaaaaaaaaaaaaaaaaaaa\n", "line 1 contains a token that is easy to guess"),
        (f"ana {ANA}\nben {ANA}\n", "line 2: each user needs one line"),
        (f"ana {ANA}\nana {BEN}\n", "line 2: each user needs one line"),
        (f"ana {ANA}\nben the console's own token 9\n", "line 2: each user needs one line"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, fault: str, setting: str) -> None:
    """The message names the setting and the line, and never a token."""
    with pytest.raises(MisuseError, match=setting) as raised:
        read_names(written(tmp_path, text), setting, "the console's own token 9")
    assert fault in str(raised.value)
    assert ANA not in str(raised.value)
    assert "own token" not in str(raised.value)


@pytest.mark.parametrize("setting", FILES)
def test_a_missing_file(tmp_path: Path, setting: str) -> None:
    """It is an error at the start: reviews, or requeues, would be off without anybody noticing."""
    with pytest.raises(MisuseError, match=setting):
        read_users(Settings(**{setting: str(tmp_path / "missing")}), None)


def users_of(folder: Path, reviewers: str, operators: str) -> dict[str, User]:
    """The users that the two files name."""
    files = zip(FILES, (reviewers, operators), strict=True)
    settings = Settings(**{setting: written(folder, text, setting) for setting, text in files})
    return read_users(settings, "the console's own token 9")


def test_what_users_may_do(tmp_path: Path) -> None:
    """A reviewer may review, an operator may requeue, and someone who is in both files may do both."""
    assert users_of(tmp_path, f"ana {ANA}\nben {BEN}\n", f"cleo {CLEO}\nben {BEN}\n") == {
        ANA: User("ana", may_review=True),
        BEN: User("ben", may_review=True, may_requeue=True),
        CLEO: User("cleo", may_requeue=True),
    }
    assert read_users(Settings(), None) == {}


@pytest.mark.parametrize("operators", [f"ben {ANA}\n", f"ana {BEN}\n", f"cleo {CLEO}\nana {BEN}\n"])
def test_one_token_is_one_person(tmp_path: Path, operators: str) -> None:
    """A token with two names, or a name with two tokens, is an error that names the person and never a token."""
    with pytest.raises(MisuseError, match=r"console_operators_file: (ana|ben) has another name or token") as raised:
        users_of(tmp_path, f"ana {ANA}\n", operators)
    assert not any(token in str(raised.value) for token in (ANA, BEN, CLEO))


def test_the_consoles_token_is_nobodys(tmp_path: Path) -> None:
    """No operator may have it: everyone who looks on would be that operator."""
    with pytest.raises(MisuseError, match="console_operators_file, line 1: each user needs one line"):
        users_of(tmp_path, f"ana {ANA}\n", "ben the console's own token 9\n")


def test_sessions_know_their_user() -> None:
    """The console's token opens a session that may do neither; another one has the name of its line, and its rights."""
    users = {ANA: User("ana", may_review=True), BEN: User("ben", may_requeue=True)}
    sessions = Sessions("the console's own token 9", users)
    viewer, ana = sessions.open("the console's own token 9"), sessions.open(ANA)
    assert viewer is not None
    assert ana is not None
    assert (sessions.is_open(viewer), sessions.reviewer(viewer), sessions.operator(viewer)) == (True, None, None)
    assert (sessions.is_open(ana), sessions.reviewer(ana), sessions.operator(ana)) == (True, "ana", None)
    ben = sessions.open(BEN)
    assert ben is not None
    assert (sessions.reviewer(ben), sessions.operator(ben)) == (None, "ben")
    assert sessions.open("something else") is None
    sessions.close(ana)
    assert (sessions.is_open(ana), sessions.reviewer(ana)) == (False, None)
    assert sessions.reviewer("") is None
    assert sessions.operator("") is None


def test_only_users_with_their_own_tokens() -> None:
    """Without a token of the console only these can log in; an empty token is nobody's."""
    sessions = Sessions(None, {BEN: User("ben", may_review=True)})
    assert sessions.open("") is None
    assert sessions.open(BEN) is not None
