"""Cases that must hold for a policy: a table of fields, PDs, and the labels and rules that they must give."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from schemas.contract import Contract
from schemas.contract_faults import shown
from schemas.csv_rows import DELIMITERS, CsvError, CsvRow, read_csv_rows
from schemas.made_up import example_of, nest_values
from schemas.printable import printable
from schemas.tables import read_cell
from schemas.text import TextFileError, is_utf8, read_lines
from schemas.topics import RECORD_BYTES_DEFAULT
from scorer.core.columns import Columns
from scorer.core.decide import NO_RULE, Decider
from scorer.core.decode import Decoder
from scorer.core.policy import LABELS
from scorer.errors import InputFileError, MisuseError

CASES_MAX: Final = 100_000
_FILE_BYTES_MAX: Final = 64 << 20  # as many cases with hundreds of characters each
_NAME, _PD, _LABEL, _RULE = "case", "probability_of_default", "expected_label", "expected_rule"
_NEEDED: Final = (_PD, _LABEL, _RULE)
_NAME_CHARACTERS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Case:
    """A case: `name` says what it is about; `rule` is empty if no rule must decide."""

    name: str
    value: bytes
    probability: float
    label: str
    rule: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A case that does not hold."""

    case: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.case}: expected {self.expected}, but the policy gives {self.actual}"


def read_cases(path: Path, decider: Decider, contract: Contract) -> list[Case]:
    """Reads a CSV file of cases.

    Its columns are `probability_of_default`, `expected_label`, `expected_rule` (empty if no rule decides), optionally
    `case` (a name), and fields of the contract by their dotted names: at least those that the policy uses. An empty
    cell is an absent field; required fields that the table does not have, and the policy does not use, need no value.

    Raises:
        MisuseError: the file cannot be read, or lacks columns; or a case is invalid, which is named.
    """
    rows = _read_rows(path)
    header = rows[0].cells
    unknown = [name for name in header if name not in {_NAME, *_NEEDED} and name not in contract.inputs]
    missing = [name for name in (*_NEEDED, *decider.fields) if name not in header]
    if unknown:
        raise InputFileError(f"{path}: the column {shown(unknown[0])} is neither a field of the contract nor {_LISTED}")
    if missing:
        raise InputFileError(f"{path}: the column {shown(missing[0])} is missing, which the policy or a case needs")
    if len(set(header)) < len(header):
        raise InputFileError(f"{path}: a column is named twice")
    ids = {rule.id for rule in decider.policy.rules}
    return [_read_case(path, row, header, contract, ids) for row in rows[1:] if any(row.cells)]


_LISTED: Final = f"one of {_NAME}, {', '.join(_NEEDED)}"


def _read_rows(path: Path) -> list[CsvRow]:
    too_large = InputFileError(f"{path}: is too large; at most {CASES_MAX:,} cases are possible")
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _FILE_BYTES_MAX:
                raise too_large
            lines = dropwhile(lambda line: not line[1].strip(), enumerate(read_lines(file, str(path)), 1))
            rows = list(islice(read_csv_rows(lines, str(path), _find_delimiter), CASES_MAX + 2))
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from None
    except TextFileError as error:
        raise InputFileError(f"{path}: {error}") from None
    except CsvError as error:
        raise InputFileError(str(error)) from None
    if len(rows) > CASES_MAX + 1:
        raise too_large
    if len(rows) < 2:
        raise InputFileError(f"{path}: has no cases")
    return rows


def _find_delimiter(header: str) -> str:
    return max(DELIMITERS, key=header.count)


def _read_case(path: Path, row: CsvRow, header: Sequence[str], contract: Contract, ids: set[str]) -> Case:
    cells = dict(zip(header, row.cells, strict=True))
    name = f"line {row.line}"
    if cells.get(_NAME):
        name += f" ({printable(cells[_NAME], _NAME_CHARACTERS_MAX)})"
    called = f"{path}, case in {name}"
    if cells[_LABEL] not in LABELS:
        raise InputFileError(f"{called}: {_LABEL} must be one of {', '.join(LABELS)}")
    if cells[_RULE] and cells[_RULE] not in ids:
        raise InputFileError(f"{called}: the policy has no rule {shown(cells[_RULE])}")
    try:
        probability = float(cells[_PD])
    except ValueError:
        probability = np.nan
    if not 0 <= probability <= 1:
        raise InputFileError(f"{called}: {_PD} must be a number from 0 to 1")
    value = _write_application(cells, row.delimiter, contract)
    if value is None:
        raise InputFileError(f"{called}: has a cell that is not UTF-8")
    return Case(name, value, probability, cells[_LABEL], cells[_RULE])


def _write_application(cells: Mapping[str, str], delimiter: str, contract: Contract) -> bytes | None:
    """Writes the application of a case; None if it has a cell that is not UTF-8."""
    values: dict[str, Any] = {
        name: example_of(field) for name, field in contract.fields.items() if field.required and name not in cells
    }
    for name, cell in cells.items():
        if name in contract.inputs and cell:
            if not is_utf8(cell):
                return None
            values[name] = json.loads(read_cell(contract.inputs[name], cell, delimiter)[0])
    return json.dumps(nest_values(contract, values), ensure_ascii=False).encode()


def find_failures(cases: Sequence[Case], decider: Decider, contract: Contract, called: str) -> list[Failure]:
    """Returns the cases that do not hold, in order.

    Args:
        cases: the cases.
        decider: the policy.
        contract: the contract of the applications.
        called: the file's name in messages.

    Raises:
        MisuseError: an application of a case is invalid; the message has the case and the field.
    """
    columns = _decode(cases, contract, called)
    # As written, in 64 bits: rounded to 32, a PD of 0.3 would be above a threshold of 0.3.
    probabilities = np.array([case.probability for case in cases], dtype=np.float64)
    decided = decider.decide(probabilities, columns.values)
    return list(_compare(cases, decided.labels.tolist(), decided.rules.tolist(), decider))


def _decode(cases: Sequence[Case], contract: Contract, called: str) -> Columns:
    decoded = Decoder(contract).decode_batch([case.value for case in cases], RECORD_BYTES_DEFAULT)
    for position, rejection in sorted(decoded.rejections.items()):
        raise InputFileError(f"{called}, case in {cases[position].name}: {rejection.reason}")
    return decoded.columns


def _compare(cases: Sequence[Case], labels: list[int], rules: list[int], decider: Decider) -> Iterator[Failure]:
    for case, label, rule in zip(cases, labels, rules, strict=True):
        rule_id = "" if rule == NO_RULE else decider.policy.rules[rule].id
        if (LABELS[label], rule_id) != (case.label, case.rule):
            yield Failure(case.name, _describe(case.label, case.rule), _describe(LABELS[label], rule_id))


def _describe(label: str, rule_id: str) -> str:
    return f"{label} by rule {rule_id}" if rule_id else f"{label} by the thresholds"


def require_cases(path: Path, decider: Decider, contract: Contract) -> int:
    """Checks that all cases of a file hold, and returns how many there are.

    Raises:
        MisuseError: the file cannot be read, or a case does not hold; the message names the first five.
    """
    cases = read_cases(path, decider, contract)
    failures = find_failures(cases, decider, contract, str(path))
    if failures:
        first = "; ".join(map(str, failures[:5]))
        raise MisuseError(f"{path}: {len(failures):,} of {len(cases):,} cases do not hold: {first}")
    return len(cases)
