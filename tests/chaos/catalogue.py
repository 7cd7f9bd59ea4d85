"""The scenarios, as a table: one line of faults, settings and expectations each."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from tests.chaos.catalogue_brokers import BROKERS
from tests.chaos.catalogue_data import DATA
from tests.chaos.catalogue_workers import WORKERS
from tests.chaos.scenario import Scenario

SCENARIOS: Final = {scenario.name: scenario for scenario in (*BROKERS, *WORKERS, *DATA)}


def select(patterns: list[str]) -> list[Scenario]:
    """The scenarios whose names match one of the patterns, in the catalogue's order; all without patterns.

    Raises:
        ValueError: a pattern matches none.
    """
    if not patterns:
        return list(SCENARIOS.values())
    unknown = [pattern for pattern in patterns if not any(_matching(pattern))]
    if unknown:
        raise ValueError(f"no scenario is called {', '.join(unknown)}; --list shows all")
    return [scenario for name, scenario in SCENARIOS.items() if any(fnmatchcase(name, p) for p in patterns)]


def _matching(pattern: str) -> Iterator[str]:
    return (name for name in SCENARIOS if fnmatchcase(name, pattern))
