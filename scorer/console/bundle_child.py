"""The child process that opens bundles for the pages: `python -m scorer.console.bundle_child`.

It reads a task from standard input and prints one line of JSON: the result, or an error. `scorer.console.bundle_tasks`
starts it.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from scorer.author.diff import compare_decisions
from scorer.author.lint import lint_bundle
from scorer.bundle.engine import with_engine
from scorer.bundle.load import load_bundle
from scorer.bundle.trial import limit_memory
from scorer.errors import BundleError, ScorerError
from scorer.operate.newest import read_newest
from scorer.operate.reading import Skipped
from scorer.settings import Settings
from scorer.store.store import BundleStore


def review(folder: str) -> dict[str, Any]:
    """The findings of `scorer bundle lint`, and the engine that would decide on this machine; null if none would."""
    findings = [asdict(finding) for finding in lint_bundle(Path(folder))]
    try:
        bundle = with_engine(load_bundle(Path(folder)), "auto")
    except BundleError:  # it is among the findings
        return {"findings": findings, "engine": None, "engine_fault": ""}
    engine = "python" if bundle.engine is None else "compiled"
    return {"findings": findings, "engine": engine, "engine_fault": bundle.engine_fault}


def compare(settings: Mapping[str, Any], champion: str, challenger: str, sample: int) -> dict[str, Any]:
    """The comparison of `scorer challenger`: both bundles decide the newest applications."""
    loaded = Settings.model_validate(settings)
    bundles, skipped = BundleStore(loaded.store), Skipped()
    opened = bundles.open(champion), bundles.open(challenger)
    batches = read_newest(loaded, sample, skipped)
    comparison = compare_decisions(batches, opened, loaded.record_bytes_max, keep_flips=False)
    return comparison.as_json() | skipped.as_json()


TASKS: Final[Mapping[str, Callable[..., dict[str, Any]]]] = {"compare": compare, "review": review}


def _main() -> None:
    limit_memory()
    request = json.load(sys.stdin)
    answer: dict[str, Any]
    try:
        answer = {"result": TASKS[request.pop("task")](**request)}
    except ScorerError as error:
        answer = {"error": str(error)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


if __name__ == "__main__":
    _main()
