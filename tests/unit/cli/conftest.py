"""The command line as a user has it: arguments in, exit code, output and messages out; its own store and folder."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from scorer.cli import main


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs `scorer` with these arguments; SCORER_STORE is an empty folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCORER_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("COLUMNS", "200")

    def run_scorer(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["scorer", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        assert b"Traceback" not in err
        return Ended(code, out.decode(), err.decode())

    return run_scorer
