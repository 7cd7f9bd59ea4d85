"""The console's token: read from its file within limits, and refused where somebody could guess it."""

import os
import secrets
import uuid
from pathlib import Path
from threading import Thread

import pytest

from scorer.console.token import read_token
from scorer.errors import MisuseError

GOOD = "correct horse battery staple"


def written(folder: Path, content: bytes) -> str:
    """A file that holds this."""
    file = folder / "token"
    file.write_bytes(content)
    return str(file)


@pytest.mark.parametrize(
    "content",
    [GOOD, f"{GOOD}\n", f"\r\n  {GOOD}\t\r\n", f"\ufeff{GOOD}\n"],
)
def test_white_space_around_the_token(tmp_path: Path, content: str) -> None:
    """Spaces, line breaks and a byte-order mark around it are no part of it."""
    assert read_token(written(tmp_path, content.encode())) == GOOD
    assert read_token(written(tmp_path, content.encode("utf-16"))) == GOOD


def test_random_tokens_are_accepted(tmp_path: Path) -> None:
    """What people make tokens with makes tokens that are taken."""
    for _ in range(50):
        for token in (secrets.token_hex(16), secrets.token_urlsafe(12), secrets.token_urlsafe(24), str(uuid.uuid4())):
            assert read_token(written(tmp_path, token.encode())) == token


@pytest.mark.parametrize(
    "token",
    [
        "aaaaaaaaaaaaaaaa",
        "a" * 1_000,
        "abababababababab",
        "abcabcabcabcabca",
        "passwordpassword",
        "changemechangeme",
        "passwordpassword1",
        "Passwordpassword",
        "1234567890123456",
        "0123456789abcdef",
        "abcdefghijklmnop",
        "zyxwvutsrqponmlkj",
        "aaaaaaaabbbbbbbb",
        "1111222233334444",
        "password12345678",
        "0000000000000001",
        "ääääääääääääääää",
        "...............!",
    ],
)
def test_a_token_that_is_easy_to_guess(tmp_path: Path, token: str) -> None:
    """It is long enough and refused all the same, with how to make a good one, and without being repeated."""
    with pytest.raises(MisuseError, match=r"easy to guess: .*openssl rand -hex 16") as raised:
        read_token(written(tmp_path, token.encode()))
    assert token not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 characters"),
        (b"\n", "0 characters"),
        (b"short", "5 characters"),
        (b"   fifteen-chars!!   ", "15 characters"),
        (b"\xff" * 20, "not UTF-8"),
        (b"correct horse\nbattery staple", "one line"),
        (b"correct horse\0battery staple", "one line"),
        (GOOD.encode() + bytes(5_000), "longer than 4,096 bytes"),
    ],
)
def test_not_a_token(tmp_path: Path, content: bytes, reason: str) -> None:
    """It is refused with the reason."""
    with pytest.raises(MisuseError, match=f"console_token_file .*{reason}"):
        read_token(written(tmp_path, content))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/dev/zero", "longer than 4,096 bytes"),  # it has no end, and was read until the memory was full
        ("/dev/null", "0 characters"),
        ("/no/such/file", "No such file"),
        ("/", "Is a directory"),
        ("a\0b", "not a file's name"),
    ],
)
def test_not_a_file(file: str, reason: str) -> None:
    """It is refused with the reason, and reading it comes to an end."""
    with pytest.raises(MisuseError, match=f"console_token_file .*{reason}"):
        read_token(file)


def test_a_pipe(tmp_path: Path) -> None:
    """A shell's `<(command)` is a pipe: it is read, and nobody else can."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    writer = Thread(target=pipe.write_text, args=(GOOD,))
    writer.start()
    assert read_token(str(pipe)) == GOOD
    writer.join()


def test_a_file_that_everybody_can_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is taken, and the log warns with its path and mode; also by way of a link."""
    file = tmp_path / "token"
    file.write_text(GOOD, encoding="utf-8")
    file.chmod(0o640)
    assert read_token(str(file)) == GOOD
    assert caplog.records == []
    file.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_token(str(link)) == GOOD
    (line,) = caplog.records
    assert line.__dict__["event"] == "token_file_exposed"
    assert line.__dict__["fields"] == {"path": str(link), "mode": "0644"}
