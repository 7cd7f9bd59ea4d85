"""Opens the files of the command line: applications, and their contract."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from producer.errors import MisuseError
from schemas import contract_file
from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contracts import shipped_contract
from schemas.files import read_applications
from schemas.rows import ApplicationsFileError, Hints, Row
from schemas.text import TextFileError


def read_contract(path: Path | None) -> Contract:
    """Reads a contract file; returns the shipped contract without one.

    Raises:
        MisuseError: the file cannot be read, or is not a contract.
    """
    try:
        return shipped_contract() if path is None else contract_file.read_contract(path)
    except (TextFileError, ContractError) as error:
        raise MisuseError(f"{path}: {error}") from None


def open_rows(file: str, contract: Contract, hints: Hints) -> Iterator[Row]:
    """Opens a file, and reads the first row at once, so that an unreadable file is reported before connecting.

    Raises:
        MisuseError: the file cannot be read, or does not hold applications.
    """
    rows = read_applications(file, contract, hints)
    try:
        first = next(rows, None)
    except ApplicationsFileError as error:
        raise MisuseError(str(error)) from None
    return rows if first is None else chain([first], rows)


def count_lines(file: str) -> int | None:
    """The number of lines, as the total of a progress bar; None if the input is not a file."""
    if not Path(file).is_file():
        return None
    with Path(file).open("rb") as lines:
        return sum(1 for _ in lines)
