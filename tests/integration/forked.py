"""Runs a command in a process that was forked from one which has imported everything: imports take most of a command.

It imports no training library, as a worker's image has none. Tests of what a process is started with start one.
"""

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

_WAIT_S: Final = 120.0
_context: Final = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.integration.preloaded"])


class Ended(NamedTuple):
    """What a command left."""

    code: int
    out: str
    errors: str


def run_forked(arguments: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Runs `scorer` with these arguments, in this environment and the current folder, to its end."""
    with TemporaryDirectory() as folder:
        out, errors = Path(folder, "out"), Path(folder, "errors")
        process = _context.Process(
            target=_run, args=(tuple(arguments), dict(environment), Path.cwd(), str(out), str(errors))
        )
        process.start()
        process.join(_WAIT_S)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        assert code is not None
        return Ended(code, out.read_text(encoding="utf-8"), errors.read_text(encoding="utf-8"))


def _run(arguments: Sequence[str], environment: Mapping[str, str], folder: Path, out: str, errors: str) -> None:
    from scorer.cli import main

    for number, path in ((1, out), (2, errors)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["scorer", *arguments]
    main()
