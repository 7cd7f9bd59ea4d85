"""Reads files of applications, for publishers and the scorer: CSV and JSON lines, one row at a time.

A row becomes the bytes of a value on the input topic, which the contract validates later. An ambiguous cell (`1,490` is
1.49 or 1490) is passed on unchanged, so that the contract rejects the row, with a hint on what to change in the file.
No row is dropped, and none is changed by a guess.
"""

import codecs
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from schemas.contract import ID_CHARACTERS_MAX, Contract
from schemas.headers import FileFields, quote_names
from schemas.rows import STATUS, ApplicationsFileError, Hints, OpenedFile, OutcomeColumn, Row, name_row
from schemas.tables import find_delimiter, insert_id, read_csv
from schemas.text import STANDARD_INPUT, TextFileError, convert, explain_encoding, read_lines

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson", ".json")
_CSV_SUFFIXES: Final = (".csv", ".tsv")
_IGNORED_MAX: Final = 1_000  # names of fields; a file with more uses data as keys

_parse_json = json.JSONDecoder(parse_int=float).decode  # Python refuses to read integers of more than 4,300 digits
_quote = json.JSONEncoder(ensure_ascii=False).encode
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def read_applications(
    file: str | Path,
    contract: Contract,
    hints: Hints | None = None,
    watch: Callable[[bytes], object] = lambda _: None,
    outcome: OutcomeColumn | None = STATUS,
) -> Iterator[Row]:
    """Reads a file of applications, holding one row of it at a time.

    A row without an id gets one from the file's name, the line and a digest of the row.

    Args:
        file: a .csv or .tsv file with a header line, or a .jsonl, .ndjson or .json file with one application per line;
            "-" is the standard input, which is JSON lines if its first non-blank character is `{`, otherwise CSV.
            Encoding and line ends are as `schemas.text.read_lines` reads them. Cells are separated by commas,
            semicolons, tabs or vertical bars, whichever yields the most fields in the header.
        contract: the contract of the applications. A column or field of a CSV file has the field's dotted name.
        hints: receives, once, which columns or fields of the file are ignored.
        watch: called with every byte of the file that is read.
        outcome: the column or field that has the outcome of the loan; None if there is none.

    Yields:
        The rows in the file's order, without blank lines.

    Raises:
        ApplicationsFileError: the file cannot be read, its header lacks columns, or a row has too few or many cells.
    """
    called = STANDARD_INPUT if str(file) == "-" else str(file)
    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else Path(file).open("rb") as content:
            lines = read_lines(content, called, watch)
            yield from _read(lines, called, FileFields(contract, outcome), hints or Hints())
    except (FileNotFoundError, IsADirectoryError):
        require_file(file)
        raise
    except OSError as error:
        raise ApplicationsFileError(f"{called}: cannot be read: {error.strerror}") from None
    except TextFileError as error:
        raise ApplicationsFileError(f"{called}: {error}") from None


def require_file(file: str | Path) -> None:
    """Checks that a file of applications exists, before anything else that takes long.

    Args:
        file: the file; "-" is the standard input, which always exists.

    Raises:
        ApplicationsFileError: it does not exist, or is a folder. What it contains is checked when it is read, because a
            workbook (.xlsx) or a packed file cannot simply be named .csv.
    """
    path = Path(file)
    if str(file) == "-":
        return
    if path.is_dir():
        raise ApplicationsFileError(f"{file}: is a folder; name a file in it")
    if not path.exists():
        _require_suffix(str(file))
        raise ApplicationsFileError(f"{file}: file not found; is the path right?")


def dump_application(application: Mapping[str, object], contract: Contract) -> bytes:
    """Writes an application as compact JSON in UTF-8.

    Args:
        application: values by property; the contract's properties are written in its order, then all others.
        contract: the contract of the application.

    Raises:
        TypeError: a value has no JSON form.
        ValueError: a number is NaN or infinite, or a string is not valid Unicode.
    """
    names = [member.path[-1] for member in contract.application.members]
    ordered = {name: application[name] for name in names if name in application}
    return _compact(ordered | dict(application)).encode()


def _read(lines: Iterator[bytes], called: str, fields: FileFields, hints: Hints) -> Iterator[Row]:
    suffix = None if called == STANDARD_INPUT else Path(called).suffix.lower()
    name = "stdin" if suffix is None else Path(called).name
    numbered = ((line, text) for line, text in enumerate(lines, 1) if text.strip())
    opened = next((OpenedFile(called, name, line, text, lines, hints) for line, text in numbered), None)
    _require_suffix(called)
    if opened is None:
        if suffix in JSON_LINES_SUFFIXES:
            return
        names = ", ".join(fields.required)
        alternative = ", or one JSON object per line," if suffix is None else ""
        raise ApplicationsFileError(f"{called}: is empty; a header line with {names}{alternative} is required")
    is_json = opened.first.lstrip().startswith((b"{", b"[")) if suffix is None else suffix in JSON_LINES_SUFFIXES
    yield from _read_json_lines(opened, fields) if is_json else read_csv(opened, fields)


def _require_suffix(called: str) -> None:
    suffix = Path(called).suffix
    if called != STANDARD_INPUT and suffix.lower() not in (*_CSV_SUFFIXES, *JSON_LINES_SUFFIXES):
        raise ApplicationsFileError(
            f"{called}: unknown suffix '{suffix}': name the file .csv, or "
            f"{', '.join(JSON_LINES_SUFFIXES)} if it has one JSON object per line"
        )


def _read_json_lines(opened: OpenedFile, fields: FileFields) -> Iterator[Row]:
    _require_json_lines(opened, fields)
    contract, outcome = fields.contract, fields.outcome
    known = {member.path[-1] for member in contract.application.members}
    outcome_names = {outcome.name} if outcome else set()
    id_characters_max = contract.id_field.length_max or ID_CHARACTERS_MAX
    ignored: set[str] = set()
    for line, ended in opened.all_lines():
        raw = ended.rstrip(b"\r\n")
        while raw.startswith(codecs.BOM_UTF8):  # of concatenated files
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if not raw.strip():
            continue
        hint = ""
        try:
            application = _parse_json(raw.decode())
        except UnicodeDecodeError:
            application, hint = None, f"the file is not UTF-8, {explain_encoding(opened.called)}"
        except (ValueError, RecursionError):
            application = None
        if not isinstance(application, dict):
            yield Row(line, raw, None, hint)
            continue
        new = application.keys() - known - outcome_names - ignored
        if new and len(ignored) < _IGNORED_MAX:
            ignored |= new
            near = fields.find_near_misses(sorted(new), known - application.keys())
            opened.hints.add(line, f"ignored fields: {quote_names(sorted(new), near)}")
        if contract.id_path[0] not in application:
            raw = insert_id(raw, contract.id_path, name_row(opened.name, line, raw, id_characters_max))
        yield Row(line, raw, outcome.read(application.get(outcome.name)) if outcome else None)


def _require_json_lines(opened: OpenedFile, fields: FileFields) -> None:
    first = opened.first.strip()
    position = f"{opened.called}, line {opened.line}"
    if first.startswith(b"["):
        how = convert(opened.called, "jq -c '.[]'")
        raise ApplicationsFileError(f"{position}: begins a JSON array, but one JSON object per line is required; {how}")
    if first == b"{":
        how = convert(opened.called, "jq -c .")
        raise ApplicationsFileError(
            f"{position}: begins a JSON object that continues on the next line, but one per line is required; {how}"
        )
    if not first.startswith(b"{") and find_delimiter(opened.first.decode(errors="replace"), fields)[1] > 1:
        raise ApplicationsFileError(f"{position}: is the header of a CSV file: name the file .csv")
