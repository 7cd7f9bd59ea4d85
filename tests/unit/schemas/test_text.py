"""Users' text files: a byte-order mark, an encoding or a line end never changes what a file says."""

import codecs
import gzip
import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from schemas.text import (
    LINE_BYTES_MAX,
    STANDARD_INPUT,
    TEXT_BYTES_MAX,
    FileMissingError,
    TextFileError,
    read_lines,
    read_secret,
    read_text,
    read_toml,
    split_lines,
    strip_mark,
)

TEXT = "naïve,1\r\nzwölf,2\r\n"


class Pieces(io.BytesIO):
    """A file that hands over as many bytes per read as it was told to, as a pipe does."""

    def __init__(self, raw: bytes, piece_bytes: int) -> None:
        super().__init__(raw)
        self._piece_bytes = piece_bytes

    def read1(self, _: int | None = -1, /) -> bytes:
        return self.read(self._piece_bytes)


def write(folder: Path, raw: bytes, name: str = "a.txt") -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(raw)
    return path


def error_of(path: Path) -> str:
    """What is said of a file that is not read."""
    with pytest.raises(TextFileError) as caught:
        read_text(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF8 * 2 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF16_BE * 2 + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + TEXT.encode("utf-32-be"),
    ],
    ids=["utf-8", "mark", "two marks", "utf-16-le", "utf-16-be", "two marks of utf-16", "utf-32-le", "utf-32-be"],
)
@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 1 << 16])
def test_a_mark_is_no_part_of_the_text(tmp_path: Path, raw: bytes, piece_bytes: int) -> None:
    """A byte-order mark used to be read as the text's first character, and UTF-16 not at all.

    Whole or line by line, however the bytes arrive, the text is the same.
    """
    assert read_text(write(tmp_path, raw)) == TEXT
    assert b"".join(read_lines(Pieces(raw, piece_bytes), "a")) == TEXT.encode()
    assert len(list(read_lines(Pieces(raw, piece_bytes), "a"))) == 2


@pytest.mark.parametrize("raw", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_nothing_is_an_empty_text(tmp_path: Path, raw: bytes) -> None:
    """An empty file, and one that holds a mark alone."""
    assert read_text(write(tmp_path, raw)) == ""
    assert b"".join(read_lines(io.BytesIO(raw), "a")) == b""


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 1 << 16])
def test_lines_end_in_three_ways(piece_bytes: int) -> None:
    """LF, CRLF and CR each end one line and stay at its end, wherever a read breaks off; no other character does."""
    raw = "a\nb\r\nc\rd\r\re\u2028\x0b\x0c\x85f\r\n".encode()
    lines = [b"a\n", b"b\r\n", b"c\r", b"d\r", b"\r", "e\u2028\x0b\x0c\x85f\r\n".encode()]
    assert list(read_lines(Pieces(raw, piece_bytes), "a")) == lines
    assert split_lines(raw.decode()) == ["a", "b", "c", "d", "", "e\u2028\x0b\x0c\x85f", ""]


def test_every_byte_is_watched() -> None:
    """Whoever watches sees the bytes of the file, with its mark, as a digest of the file needs them."""
    read_bytes = bytearray()
    raw = codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le")
    assert list(read_lines(Pieces(raw, 5), "a", read_bytes.extend))
    assert bytes(read_bytes) == raw


def test_a_line_without_an_end_is_not_held() -> None:
    """A line of 10 GB used to be read into memory whole: reading stops at the longest line that an application has."""

    class Endless(io.BytesIO):
        def read1(self, _: int | None = -1, /) -> bytes:
            return b"a" * (1 << 16)

    tracemalloc.start()
    try:
        with pytest.raises(TextFileError, match="line 1 has more than 8,388,608 bytes"):
            list(read_lines(Endless(), "a"))
        assert tracemalloc.get_traced_memory()[1] < 6 * LINE_BYTES_MAX
    finally:
        tracemalloc.stop()


def test_a_file_that_is_too_long_is_not_read_whole(tmp_path: Path) -> None:
    """A device such as /dev/zero given as a token's or secret's file used to be read until memory ran out."""
    path = write(tmp_path, b"a" * (TEXT_BYTES_MAX + 1))
    assert error_of(path) == "is longer than 1,048,576 bytes; is it the right file?"
    path.write_bytes(b"a" * TEXT_BYTES_MAX)
    assert len(read_text(path)) == TEXT_BYTES_MAX


def zipped(*names: str) -> bytes:
    """A zip archive of files with these names."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return target.getvalue()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (gzip.compress(TEXT.encode()), "is compressed with gzip, not text; `gzip -dc < "),
        (zipped("a.csv"), "is a zip archive, not text; `funzip < "),
        (
            zipped("[Content_Types].xml", "xl/workbook.xml"),
            "is a spreadsheet (.xlsx or .ods), not text; save",
        ),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(8), "is an Excel workbook (.xls), not text; save it as CSV"),
        (b"PAR1\x15\x04\x15\x20", "is a Parquet file, not text"),
        (b"<!DOCTYPE html>\n<html>", "is a web page or XML"),
        (TEXT.encode("utf-16-le"), "is UTF-16LE without a byte-order mark; `iconv -f UTF-16LE -t UTF-8 < "),
        (TEXT.encode("utf-16-be"), "is UTF-16BE without a byte-order mark; `iconv -f UTF-16BE -t UTF-8 < "),
        (codecs.BOM_UTF16_LE + b"a", "begins as UTF-16 but contains invalid bytes"),
        (bytes(range(32)) * 4, "is not text; is it the right file?"),
        (
            b"one\r\ntwo\r\nna\xefve\n",
            "is not UTF-8 (line 3), probably Windows-1252 or Latin-1: `iconv -f WINDOWS-1252",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_not_utf8_text_is_named(tmp_path: Path, raw: bytes, message: str) -> None:
    """One sentence says what the file is, and a command that converts it where there is one."""
    assert error_of(write(tmp_path, raw)).startswith(message)


def test_the_command_converts_the_file_and_no_other(tmp_path: Path) -> None:
    """The command names the file, quoted for the shell, and writes another one."""
    path = write(tmp_path, "é;1\n".encode("latin-1"), "my loans.csv")
    command = f"iconv -f WINDOWS-1252 -t UTF-8 < '{path}' > '{tmp_path}/my loans-converted.csv'"
    assert f"`{command}` converts it" in error_of(path)
    packed = write(tmp_path, gzip.compress(b"a"), "loans.csv.gz")
    assert f"`gzip -dc < {packed} > {tmp_path}/loans.csv` converts it" in error_of(packed)
    with pytest.raises(TextFileError, match=r"`… \| gzip -dc \| …` converts it"):
        list(read_lines(io.BytesIO(gzip.compress(b"a")), STANDARD_INPUT))


@pytest.mark.parametrize("text", ["ORC-17\n", "PAR1,2\n", "PK,amount\n", "BZh\n", "%PDF\n", "a\0b\n", "\x1b[1mx\n"])
def test_text_that_begins_like_another_format_is_text(tmp_path: Path, text: str) -> None:
    """Ids may begin with the letters that mark a format, and a control character alone makes no text another file."""
    assert read_text(write(tmp_path, text.encode())) == text


@pytest.mark.parametrize("name", ["none", "a.txt/none"])
def test_a_missing_file_is_distinguished_from_other_errors(tmp_path: Path, name: str) -> None:
    """A file that may be left out is not missed; one that is there and cannot be read always is."""
    write(tmp_path, b"")
    with pytest.raises(FileMissingError, match="cannot be read: N"):
        read_text(tmp_path / name)
    with pytest.raises(TextFileError, match="cannot be read: Is a directory") as caught:
        read_text(tmp_path)
    assert not isinstance(caught.value, FileMissingError)
    assert error_of(Path("a\0b")) == "cannot be read: not a file's name"


SECRETS = [
    *((b" p\xc3\xa4ss word \t" + end, " päss word \t") for end in (b"", b"\n", b"\r\n", b"\r")),
    (codecs.BOM_UTF8 + b"secret\r\n", "secret"),
    (codecs.BOM_UTF16_LE + "secret\r\n".encode("utf-16-le"), "secret"),
]


@pytest.mark.parametrize(("raw", "secret"), SECRETS)
def test_a_secret_ends_before_the_line_end(tmp_path: Path, raw: bytes, secret: str) -> None:
    """A mark used to become part of the password, which no broker then accepted; spaces may be part of it."""
    assert read_secret(write(tmp_path, raw)) == secret


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (codecs.BOM_UTF8 + b"\r\n", "is empty"),
        (b"hunter2\0", "cannot be read: it contains a NUL byte"),
        (b"hunter2\xe9", "is not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_one(tmp_path: Path, raw: bytes, message: str) -> None:
    """Nothing, half a secret to a program in C, or another encoding: said, without a character of it."""
    with pytest.raises(TextFileError, match=message) as caught:
        read_secret(write(tmp_path, raw))
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_toml_of_every_editor(tmp_path: Path, mark: str, end: str) -> None:
    """A mark, which Python calls an invalid statement, and any line end."""
    path = write(tmp_path, f"{mark}a = 1{end}[b]{end}c = 'é'{end}".encode())
    assert read_toml(path) == {"a": 1, "b": {"c": "é"}}


@pytest.mark.parametrize(
    "text",
    [
        "a = [",
        f"a = {'9' * 5000}",
        f"a = [{{b = 0x{'f' * 5000}}}]",
        f"a = {2**63}",
        "a = " + "[" * 5000,
        "é",
    ],
)
def test_what_is_not_toml(tmp_path: Path, text: str) -> None:
    """Each is one message, those included on which Python's parser gives up, and integers that it should refuse."""
    with pytest.raises(TextFileError, match="is not TOML: "):
        read_toml(write(tmp_path, text.encode()))


def test_a_file_that_need_not_be_text_loses_its_mark_alone() -> None:
    """A model in JSON may come from an editor; any other file is left as it is, text or not."""
    assert strip_mark(codecs.BOM_UTF8 + b'{"a":1}', "model.json") == b'{"a":1}'
    assert strip_mark(codecs.BOM_UTF16_BE + '{"a":1}'.encode("utf-16-be"), "model.json") == b'{"a":1}'
    for raw in (b"\x1f\x8b\x08\x00", bytes(range(256)), b""):
        assert strip_mark(raw, "model.bin") == raw
