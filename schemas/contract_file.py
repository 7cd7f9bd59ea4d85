"""Reads contract files, as people edit them: with or without a byte-order mark, in UTF-8 or UTF-16."""

from pathlib import Path

from schemas.contract import CONTRACT_BYTES_MAX, Contract
from schemas.contract_parser import parse_contract
from schemas.text import read_text


def read_contract(path: Path) -> Contract:
    """Reads a contract from a file.

    Raises:
        TextFileError: the file cannot be read, or is not text.
        ContractError: it is not a JSON Schema in the supported subset.
    """
    return parse_contract(read_text(path, CONTRACT_BYTES_MAX))
