"""The German credit data: its applications, repeated, and a bundle trained as the documentation shows."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.applications import Application, repeat
from schemas.contract_file import read_contract
from schemas.files import read_applications
from schemas.rows import OutcomeColumn
from scorer.core.score import Bundle
from scorer.store.store import BundleStore

DATA: Final = "GERMAN_CREDIT_CSV"
"""Name of the environment variable with the path of the data, which are not part of the repository."""
_CONTRACT: Final = Path(__file__).parents[1] / "examples/german-credit/application.schema.json"
_TARGET: Final = "creditability"


class _Identified(msgspec.Struct):
    application_id: str


def find_data() -> Path | None:
    """Returns the path of the data; None if the environment does not have it."""
    path = os.environ.get(DATA)
    return Path(path) if path else None


def german_applications(data: Path) -> Iterator[Application]:
    """Yields the applications of the file, then the same ones under other ids, without end."""
    rows = read_applications(
        data, read_contract(_CONTRACT), outcome=OutcomeColumn(_TARGET, {"bad": "default", "good": "ok"})
    )
    return repeat(_number(row.value, number) for number, row in enumerate(rows))


def _number(value: bytes, number: int) -> Application:
    """Replaces the id that an application got from its row."""
    own = msgspec.json.decode(value, type=_Identified).application_id.encode()
    key = b"german-%d" % number
    return Application(key, value.replace(b'"%s"' % own, b'"%s"' % key, 1))


def german_bundle(data: Path) -> Bundle:
    """Trains a bundle with the command of the documentation, and opens it."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "scorer", "train", str(data), "--contract", str(_CONTRACT), "--store", store]
        options = ["--target", f"{_TARGET}=bad", "--name", "german-credit", "--version", "1.0.0"]
        derived = ["--derive", "monthly_payment = credit_amount / duration_in_month"]
        subprocess.run([*command, *options, *derived], check=True, stdout=subprocess.DEVNULL)
        return BundleStore(store).open("german-credit:1.0.0")
