"""Reads a contract from a file."""

from pathlib import Path

from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from schemas.text import TextFileError, read_text
from scorer.errors import MisuseError


def read_contract_file(path: Path) -> Contract:
    """Reads a contract file.

    Raises:
        MisuseError: the file cannot be read, or is not a contract; the message names the faults.
    """
    try:
        return parse_contract(read_text(path))
    except (TextFileError, ContractError) as error:
        raise MisuseError(f"{path}: {error}") from None
