"""Reads a contract from a file."""

from pathlib import Path

from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from schemas.text import TextFileError, read_text


def read_contract_file(path: Path | None) -> Contract:
    """Reads a contract file; returns the shipped contract without one.

    Raises:
        ContractError: the file cannot be read, or is not a contract; the message begins with its path.
    """
    try:
        return shipped_contract() if path is None else parse_contract(read_text(path))
    except (TextFileError, ContractError) as error:
        raise ContractError([f"{path}: {error}"]) from None
