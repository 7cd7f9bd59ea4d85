"""Files of applications for tests, and what is read from them."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.application import CreditApplication
from schemas.files import read_applications
from schemas.rows import ApplicationsFileError, Row

HEADER = "Status,Seniority,Home,Time,Age,Marital,Records,Job,Expenses,Income,Assets,Debt,Amount,Price"
CODED = "1,9,1,60,30,2,1,3,61,182,0,0,1150,1490"
SPELLED_OUT = "ok,9,rent,60,30,married,no,freelance,61,182,0,0,1150,1490"
APPLICATION: dict[str, object] = {
    "seniority": 9, "home": "rent", "time": 60, "age": 30, "marital": "married", "records": "no", "job": "freelance",
    "expenses": 61, "income": 182, "assets": 0, "debt": 0, "amount": 1150, "price": 1490,
}  # fmt: skip


def write(folder: Path, name: str, *lines: str | bytes) -> Path:
    """Writes a file of lines."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def read_rows(path: Path | str) -> list[Row]:
    """All rows of a file."""
    return list(read_applications(path))


def read_one(path: Path | str) -> dict[str, Any]:
    """The value of a file's only row."""
    (row,) = read_applications(path)
    report: dict[str, Any] = json.loads(row.value)
    return report


def error_of(path: Path | str) -> str:
    """The message with which a file is rejected."""
    with pytest.raises(ApplicationsFileError) as caught:
        read_rows(path)
    return str(caught.value)


def faults_of(value: bytes) -> list[tuple[object, str]]:
    """The contract's errors on a value: field and type."""
    with pytest.raises(ValidationError) as caught:
        CreditApplication.model_validate_json(value)
    return [(fault["loc"][0], fault["type"]) for fault in caught.value.errors()]
