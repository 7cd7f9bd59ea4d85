"""Writes the reference in docs/reference from the code; `--check` reports stale pages instead."""

import sys
from pathlib import Path
from typing import Final

from documentation.commands import producer_page, scorer_page
from documentation.contracts import contracts_page
from documentation.errors import errors_page
from documentation.metrics import metrics_page
from documentation.rights import rights_page
from documentation.settings import settings_page
from schemas.generate import write_or_check

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
_PAGES: Final = {
    "settings.md": settings_page,
    "metrics.md": metrics_page,
    "scorer.md": scorer_page,
    "producer.md": producer_page,
    "contracts.md": contracts_page,
    "errors.md": errors_page,
    "rights.md": rights_page,
}


def generate() -> dict[str, bytes]:
    """Returns the contents of all pages by file name, the same on every run."""
    return {name: (page().rstrip() + "\n").encode() for name, page in _PAGES.items()}


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Runs the command and returns the exit code."""
    return write_or_check(arguments, "documentation.generate", __doc__, folder, generate)


if __name__ == "__main__":
    sys.exit(main())
