"""A CSV file with its results: each row as it was, with the decision in additional columns.

Applicants may have written its texts, and people open it in spreadsheets: no cell of it is evaluated as a formula.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.csv_rows import CsvError, CsvRow, read_csv_rows
from schemas.headers import FileFields
from schemas.rows import STATUS
from schemas.spreadsheet import keep_from_evaluation
from schemas.tables import find_delimiter
from schemas.text import TextFileError, read_lines
from scorer.errors import InputFileError, MisuseError

if TYPE_CHECKING:
    from schemas.contract import Contract
    from scorer.cli.rows import FileRecord
    from scorer.core.score import Scores

_REJECTION: Final = "rejection"
COLUMNS: Final = ("decision", "probability_of_default", "reasons", _REJECTION)
"""The additional columns; a rejected row has only the last one, and without a catalogue no row has reasons."""


class CsvOutput:
    """Reads the rows of a file again, in step with their results, and writes both."""

    def __init__(self, applications: str, contract: "Contract", *, has_reasons: bool) -> None:
        """Reads the header.

        Args:
            applications: the file that is scored, a CSV file.
            contract: the contract of its applications.
            has_reasons: whether the bundle has a catalogue of reasons; the column `reasons` is left out without one.

        Raises:
            MisuseError: it is not a CSV file, cannot be read twice, or already has one of the additional columns.
            InputFileError: it cannot be read.
        """
        if Path(applications).suffix.lower() not in {".csv", ".tsv"}:
            raise MisuseError(f"--output csv adds columns to a .csv or .tsv file, which {applications} is not")
        if not Path(applications).is_file():
            raise MisuseError(f"--output csv reads {applications} twice, which is possible for a file only")
        self._applications = applications
        self._rows = _read(applications, contract)
        header = next(self._rows, CsvRow(1, [], ","))
        self._delimiter = header.delimiter
        self._columns = [column for column in COLUMNS if has_reasons or column != "reasons"]
        self.header = self._line([*header.cells, *self._columns]) if header.cells else b""
        """The first line of the output; empty if the file has none, which is an error once its rows are read."""
        if repeated := sorted(set(self._columns) & {cell.strip() for cell in header.cells}):
            raise MisuseError(f"--output csv: {applications} already has the column {repeated[0]}; rename it")

    def lines(self, records: "Sequence[FileRecord]", scores: "Scores") -> bytes:
        """Returns the rows of a batch with their results.

        Raises:
            InputFileError: the file changed.
        """
        lines = []
        for record, result in zip(records, scores.results, strict=True):
            row = next((row for row in self._rows if row.line == record.line), None)  # others are empty rows
            if row is None:
                raise InputFileError(f"{self._applications}: was changed while it was read; score it again")
            if isinstance(result, bytes):
                decision = json.loads(result)
                values = {
                    "decision": decision["decision"],
                    "probability_of_default": repr(decision["probability_of_default"]),
                    "reasons": " ".join(decision.get("reasons", ())),
                }
            else:
                values = {_REJECTION: f"{result.code}: {result.reason}"}
            lines.append(self._line([*row.cells, *(values.get(column, "") for column in self._columns)]))
        return b"".join(lines)

    def _line(self, cells: list[str]) -> bytes:
        text = io.StringIO()
        safe_cells = [keep_from_evaluation(cell, self._delimiter) for cell in cells]
        csv.writer(text, delimiter=self._delimiter, lineterminator="\n").writerow(safe_cells)
        return text.getvalue().encode("utf-8", "surrogateescape")  # bytes that are not UTF-8 stay as they were


def _read(applications: str, contract: "Contract") -> Iterator[CsvRow]:
    fields = FileFields(contract, STATUS)
    try:
        with Path(applications).open("rb") as content:
            lines = dropwhile(lambda line: not line[1].strip(), enumerate(read_lines(content, applications), 1))
            yield from read_csv_rows(lines, applications, lambda header: find_delimiter(header, fields)[0])
    except CsvError as error:
        raise InputFileError(str(error)) from None
    except TextFileError as error:
        raise InputFileError(f"{applications}: {error}") from None
    except OSError as error:
        raise InputFileError(f"{applications}: cannot be read: {error.strerror}") from None
