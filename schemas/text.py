"""Reads users' text files as UTF-8, with or without a byte-order mark, or explains what the file is instead.

All text files from users are read here: files of applications, lists of ids, settings, secrets, tokens, descriptions
and models in JSON. Editors and spreadsheets prepend a byte-order mark, use three kinds of line ends, and save files as
UTF-16; none of that may become part of an id, a password or a first row.
"""

import codecs
import re
import shlex
import tomllib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Final

from schemas.topics import RECORD_BYTES_MAX

TEXT_BYTES_MAX: Final = (
    1 << 20
)  # of a file that is read as a whole: a hundred times the size of settings or a certificate
LINE_BYTES_MAX: Final = RECORD_BYTES_MAX  # no application is larger
STANDARD_INPUT: Final = "standard input"

_CHUNK_BYTES: Final = 1 << 16
_HEAD_BYTES: Final = 8  # enough to recognize byte-order marks and file formats
_MARK: Final = codecs.BOM_UTF8
_TWICE_ENCODED_MARK: Final = _MARK.decode("latin-1").encode()  # by a program that read UTF-8 as Windows-1252

# Longer marks first: that of UTF-32 begins like that of UTF-16.
_WIDE_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    ("\ufeff".encode("gb18030"), "gb18030"),
)
_FORMATS: Final = (
    (b"\x1f\x8b", "is compressed with gzip", "gzip -dc"),
    (b"BZh", "is compressed with bzip2", "bzip2 -dc"),
    (b"\xfd7zXZ\x00", "is compressed with xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", "zstd -dc"),
    (b"PK\x03\x04", "is a zip archive", "funzip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook (.xls)", ""),
    (b"PAR1", "is a Parquet file", ""),
    (b"ORC", "is an ORC file", ""),
    (b"Obj\x01", "is an Avro file", ""),
    (b"ARROW1", "is an Arrow file", ""),
    (b"SQLite format 3", "is an SQLite database", ""),
    (b"%PDF", "is a PDF", ""),
)
_EXPORT: Final = "save it as CSV in UTF-8 in the program that created it"
_PACKED_SUFFIXES: Final = (".gz", ".bz2", ".xz", ".zst", ".zip")
_CONTROLS: Final = bytes({*range(0x20)} - {*b"\t\n\v\f\r\x1b"})
_CONTROLS_MAX: Final = (
    8  # text may contain some by mistake; a file with more, and more than one in 20 bytes, is not text
)
_ctrl_z_at_end = re.compile(rb"\x1a[\x1a\r\n]*\Z").search
_is_page = re.compile(rb"\s*<(!doctype html|html|\?xml)\b", re.IGNORECASE).match


def find_text_fault(text: str) -> str:
    """Why a text is not valid as a setting or an identifier; empty if it is valid.

    A control character may come from Windows line ends, and librdkafka ends a text at a NUL. A surrogate is a byte of
    an argument or a variable that is not UTF-8.
    """
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "contains a control character"
    return "" if is_utf8(text) else "is not UTF-8"


def is_utf8(text: str) -> bool:
    """Whether a text can be encoded as UTF-8: it has no surrogate, which stands for an invalid byte."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


class TextFileError(ValueError):
    """A file cannot be read as text; the file's name and `str()` of it are the complete message for the user."""


class FileMissingError(TextFileError):
    """The file does not exist, which is not an error for an optional file."""


def expand_home(path: str) -> Path:
    """A path from a variable or a file, where no shell has expanded `~`."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # the home folder is unknown: the file is then reported as missing under the given name
        return Path(path)


def read_text(path: Path, bytes_max: int = TEXT_BYTES_MAX) -> str:
    """Reads a small text file whole, without its byte-order mark.

    Args:
        path: the file.
        bytes_max: the maximum size; a larger file, or an endless device, is an error.

    Raises:
        FileMissingError: the file does not exist.
        TextFileError: it cannot be read, is larger, or is not text.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise (FileMissingError if missing else TextFileError)(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a NUL in its name, which a settings file can contain
        raise TextFileError("cannot be read: not a file's name") from None
    if len(raw) > bytes_max:
        raise TextFileError(f"is longer than {bytes_max:,} bytes; is it the right file?")
    content = to_utf8(raw, str(path))
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = len(content[: error.start].splitlines()) or 1
        raise TextFileError(f"is not UTF-8 (line {line}), {explain_encoding(str(path))}") from None


def read_secret(path: Path) -> str:
    """Reads a file with one secret; line ends after it are not part of the secret, spaces are.

    Raises:
        TextFileError: it cannot be read, is not text, or is empty.
    """
    secret = read_text(path).rstrip("\r\n")
    if not secret:
        raise TextFileError("is empty")
    if "\0" in secret:  # librdkafka would use only the text before it
        raise TextFileError("cannot be read: it contains a NUL byte")
    return secret


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        FileMissingError: the file does not exist.
        TextFileError: it cannot be read, is not text, or is not TOML.
    """
    text = read_text(path)
    try:
        # Converted to TOML's newlines: single carriage returns of old editors are not newlines in TOML.
        document = tomllib.loads(re.sub(r"\r\n?", "\n", text))
        # TOML's integers have 64 bits. tomllib accepts hexadecimal ones of any length, which str() then rejects.
        is_valid = all(-(2**63) <= number < 2**63 for number in _integers(document))
    except tomllib.TOMLDecodeError as error:
        raise TextFileError(f"is not TOML: {error}") from None
    except (ValueError, RecursionError):  # an integer with thousands of digits, or thousands of nested brackets
        is_valid = False
    if not is_valid:
        raise TextFileError("is not TOML: a number in it is too long, or it is nested too deep")
    return document


def _integers(value: object) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _integers(member)


def to_utf8(raw: bytes, called: str) -> bytes:
    """The content of a text file in UTF-8, without a byte-order mark.

    Args:
        raw: the content of the file.
        called: the file's name, for messages.

    Returns:
        The content; without a byte-order mark, the same bytes, which may not be UTF-8.

    Raises:
        TextFileError: it is not text.
    """
    return b"".join(_decode([raw] if raw else [], called))


def strip_mark(raw: bytes, called: str) -> bytes:
    """Like `to_utf8` with a byte-order mark; without one the same bytes, which may not be text.

    Raises:
        TextFileError: there is a byte-order mark, but the file is not text.
    """
    return to_utf8(raw, called) if raw.startswith((_MARK, *(mark for mark, _ in _WIDE_MARKS))) else raw


def read_lines(file: BinaryIO, called: str, watch: Callable[[bytes], object] = lambda _: None) -> Iterator[bytes]:
    """Reads a text file line by line, with one line in memory at a time.

    Args:
        file: the file, opened to read bytes.
        called: its name, for messages.
        watch: called with every byte that is read, unchanged.

    Yields:
        Each line with its end (LF, CRLF or CR), converted to UTF-8 if the file has a byte-order mark, otherwise
        unchanged; as soon as it was read, if it ends in LF.

    Raises:
        TextFileError: the file is not text, or a line of it has more than `LINE_BYTES_MAX` bytes or begins with NULs.
        OSError: it cannot be read.
    """
    rest, line = b"", 1
    for chunk in _without_ctrl_z(_decode(_read_chunks(file, watch), called)):
        lines = (rest + chunk).splitlines(keepends=True)
        # A CR at the end may be followed by the LF of the same line end.
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        for text in lines:
            _reject_nuls(text, line, called)
            yield text
            line += 1
        _reject_nuls(rest, line, called)
        if len(rest) > LINE_BYTES_MAX:
            raise TextFileError(f"line {line} has more than {LINE_BYTES_MAX:,} bytes, which no application has")
    if rest:
        yield rest


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends: LF, CRLF or CR, and no other line separators of Unicode."""
    return re.split(r"\r\n|\r|\n", text)


def explain_encoding(called: str) -> str:
    """The probable encoding of a file that is not UTF-8 and has no mark, and how to convert it."""
    return f"probably Windows-1252 or Latin-1: {convert(called, 'iconv -f WINDOWS-1252 -t UTF-8')}"


def convert(called: str, command: str) -> str:
    """The shell command that converts a file, given the filter that does it."""
    if called == STANDARD_INPUT:
        return f"`… | {command} | …` converts it"
    path = Path(called)
    packed = path.suffix.lower() in _PACKED_SUFFIXES
    target = path.with_suffix("") if packed else path.with_name(f"{path.stem}-converted{path.suffix}")
    return f"`{command} < {shlex.quote(called)} > {shlex.quote(str(target))}` converts it"


def _read_chunks(file: BinaryIO, watch: Callable[[bytes], object]) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # returns what a pipe has, so that a row does not wait for others
    while chunk := read(_CHUNK_BYTES):
        watch(chunk)
        yield chunk


def _without_ctrl_z(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a file without the Ctrl-Z that DOS programs write at its end, and line ends after it."""
    end = b""
    for chunk in chunks:
        text = end + chunk
        match = _ctrl_z_at_end(text)
        end = match[0] if match else b""
        yield text[: len(text) - len(end)]


def _reject_nuls(line: bytes, number: int, called: str) -> None:
    """Rejects a line of NULs, with which a file system fills a gap after a crash: rows are missing there."""
    if line.startswith(b"\0"):
        how = convert(called, r"tr -d '\000'")
        raise TextFileError(
            f"line {number} begins with NUL bytes: was the file cut off by a full disk or a crash? "
            f"If nothing is missing, {how}"
        )


def _decode(chunks: Iterable[bytes], called: str) -> Iterator[bytes]:
    """The content of a file in UTF-8 without a mark, chunk by chunk."""
    chunks, head = iter(chunks), b""
    for chunk in chunks:  # a pipe may deliver a mark byte by byte
        head += chunk
        if len(head) >= _HEAD_BYTES or head.endswith(b"\n"):
            break
    for mark, encoding in _WIDE_MARKS:
        if head.startswith(mark):
            yield from _recode(chain([head], chunks), encoding)
            return
    _reject_formats(head, called)
    while head.startswith((_MARK, _TWICE_ENCODED_MARK)):  # two if two programs added one each
        head = head.removeprefix(_MARK).removeprefix(_TWICE_ENCODED_MARK)
    yield head
    yield from chunks


def _recode(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        has_begun = False
        for chunk in chunks:
            text = decoder.decode(chunk)
            if not has_begun:  # two if two programs added one each
                text = text.lstrip("\ufeff")
                has_begun = bool(text)
            yield text.encode()
        decoder.decode(b"", final=True)
    except UnicodeError:
        raise TextFileError(
            f"begins as {encoding.upper()} but contains invalid bytes; is it damaged or cut off?"
        ) from None


def _reject_formats(head: bytes, called: str) -> None:
    """Rejects files that are not text, by their first bytes, and names their format.

    Raises:
        TextFileError: it is not text.
    """
    if _is_page(head):
        raise TextFileError("is a web page or XML; was it downloaded from a page that asks to sign in?")
    if head.startswith(b"{\\rtf"):
        raise TextFileError(f"is a document in RTF, not text; {_EXPORT}")
    controls = len(head) - len(head.translate(None, _CONTROLS))
    if not controls:
        return
    if head.startswith(b"PK") and (b"[Content_Types].xml" in head or b"opendocument" in head):
        raise TextFileError(f"is a spreadsheet (.xlsx or .ods), not text; {_EXPORT}")
    for magic, what, command in _FORMATS:
        if head.startswith(magic):
            raise TextFileError(f"{what}, not text; {convert(called, command) if command else _EXPORT}")
    for first, order in ((1, "LE"), (0, "BE")):
        # In text of western languages every second byte is zero.
        zeros, others = head[first::2].count(0), head[1 - first :: 2].count(0)
        if zeros > len(head) // 4 and others <= len(head) // 20:
            how = convert(called, f"iconv -f UTF-16{order} -t UTF-8")
            raise TextFileError(f"is UTF-16{order} without a byte-order mark; {how}")
    if controls > max(_CONTROLS_MAX, len(head) // 20):
        raise TextFileError("is not text; is it the right file?")
