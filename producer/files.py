"""Opens the files of the command line: applications, their contract and their profile."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from producer.errors import MisuseError
from schemas import contract_file
from schemas.contract import Contract
from schemas.contract_faults import ContractError
from schemas.files import read_applications
from schemas.profile import PROFILE_BYTES_MAX, PROFILE_FILE, Profile, ProfileError, parse_profile
from schemas.rows import ApplicationsFileError, Hints, Row
from schemas.text import TextFileError


def read_contract(path: Path) -> Contract:
    """Reads a contract file.

    Raises:
        MisuseError: the file cannot be read, or is not a contract.
    """
    try:
        return contract_file.read_contract(path)
    except (TextFileError, ContractError) as error:
        raise MisuseError(f"{path}: {error}") from None


def read_profile(path: Path | None, contract: Contract) -> Profile | None:
    """Reads the profile of a bundle's folder, or a profile's file; None without a path.

    Raises:
        MisuseError: the file cannot be read, is not a profile, or is about none of the contract's fields.
    """
    if path is None:
        return None
    try:
        with (path / PROFILE_FILE if path.is_dir() else path).open("rb") as content:
            profile = parse_profile(content.read(PROFILE_BYTES_MAX + 1))
    except FileNotFoundError:
        raise MisuseError(
            f"{path}: no {PROFILE_FILE} found; `scorer train` adds one to a bundle with a contract of its own"
        ) from None
    except OSError as error:
        raise MisuseError(f"{path}: the profile cannot be read: {error.strerror}") from None
    except ProfileError as error:
        raise MisuseError(f"{path}: the file {error}") from None
    if not profile.fields.keys() & contract.inputs.keys():
        raise MisuseError(f"{path}: the profile has no field of {contract}; was it made for another contract?")
    return profile


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
