"""Writes all generated files, or with `--check` lists stale ones: `python -m generators`."""

import argparse
import sys
from pathlib import Path
from typing import Final

from documentation.commands import producer_page, scorer_page
from documentation.contracts import contracts_page
from documentation.errors import errors_page
from documentation.metrics import metrics_page
from documentation.rights import rights_page
from documentation.settings import settings_page
from generators import chart, contract, loans, monitoring
from generators.files import Files, find_stale, write
from monitoring.rules import RUNBOOKS

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (contract.FOLDER, *monitoring.FOLDERS, "docs/reference")
"""Folders in which every file is generated."""
_PAGES: Final = {
    "settings": settings_page,
    "metrics": metrics_page,
    "scorer": scorer_page,
    "producer": producer_page,
    "contracts": contracts_page,
    "errors": errors_page,
    "rights": rights_page,
}


def generate(root: Path = ROOT, runbooks: str = RUNBOOKS) -> Files:
    """Generates all files: contents by path in the repository, the same on every run.

    Args:
        root: the repository, in which some pages are generated in part.
        runbooks: URL below which each runbook has the name of its alert.
    """
    reference = {f"docs/reference/{name}.md": (page().rstrip() + "\n").encode() for name, page in _PAGES.items()}
    others = {**monitoring.generate(root, runbooks), **chart.generate(root)}
    return {**contract.generate(), **loans.generate(), **others, **reference}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Runs the command and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m generators", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; list stale files, and exit with 1 if any")
    parser.add_argument("--runbooks", default=RUNBOOKS, help="URL below which each runbook has the name of its alert")
    options = parser.parse_args(arguments)
    generated = generate(root, options.runbooks)
    if not options.check:
        write(root, generated, FOLDERS)
        return 0
    stale = find_stale(root, generated, FOLDERS)
    if stale:
        sys.stderr.write("stale files; run `make fresh` to update them:\n" + "".join(f"  {line}\n" for line in stale))
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
