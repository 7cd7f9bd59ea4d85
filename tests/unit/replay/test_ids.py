"""Files of application ids: each id is wanted as it was meant, and one without a decision is reported."""

from pathlib import Path

import pytest

from scorer.errors import InputFileError
from scorer.replay.ids import describe_undecided, read_ids, without_decision


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ids_are_read_as_they_were_meant(tmp_path: Path, encoding: str, end: str) -> None:
    """The mark of a file from Windows used to be part of the first id, which was then dropped without a word.

    Blank lines, spaces around an id and a second time that it is named change nothing.
    """
    lines = ["", "a-1", " a-2\t", "a-1", "   ", "é\u2028 b\x85", "\ufeffa-4", ""]
    path = tmp_path / "ids.txt"
    path.write_bytes(end.join(lines).encode(encoding))
    assert read_ids(path) == ["a-1", "a-2", "é\u2028 b\x85", "a-4"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "contains no ids"),
        (b"\xef\xbb\xbf\r\n \r\n", "contains no ids"),
        (b"a-1\na-\xe9\n", r"is not UTF-8 \(line 2\), probably Windows-1252"),
        (b"\x1f\x8b\x08\x00", "is compressed with gzip"),
    ],
)
def test_files_without_ids(tmp_path: Path, raw: bytes, message: str) -> None:
    """The message names the option, the file and what it is."""
    (tmp_path / "ids.txt").write_bytes(raw)
    with pytest.raises(InputFileError, match=rf"--ids .*ids\.txt: {message}"):
        read_ids(tmp_path / "ids.txt")
    with pytest.raises(InputFileError, match=r"--ids .*none: cannot be read: No such file"):
        read_ids(tmp_path / "none")


def test_ids_without_a_decision_are_named() -> None:
    """In the file's order, quoted so that a space or a control character shows; beyond twenty they are counted."""
    assert without_decision(["c", "a", "b"], {"a"}) == ["c", "b"]
    assert describe_undecided(["c", "b\x1b "], 3) == '--ids: no decision found for 2 of 3 ids: "c", "b\\u001b "'
    many = describe_undecided([f"a-{n}" for n in range(25)], 1_000)
    assert many.startswith('--ids: no decision found for 25 of 1,000 ids: "a-0", "a-1"')
    assert many.endswith('"a-19" and 5 more')
