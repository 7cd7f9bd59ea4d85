"""How many cases each law is tried on: 560, always the same; `PROPERTY_EXAMPLES=50000` tries more, and others.

Each law takes the profile that this registers. The cases that ran are counted, and told at the end of the run.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

_EXAMPLES: Final = os.environ.get("PROPERTY_EXAMPLES", "")
settings.register_profile(
    "laws",
    max_examples=int(_EXAMPLES or 560),
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
_cases_by_test = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Counts the cases of the laws, and puts the test that looks at the count behind them."""
    cases = config.stash.setdefault(_cases_by_test, {})
    for item in items:
        law = getattr(getattr(item, "obj", None), "hypothesis", None)
        if law is not None and item.path.parent == Path(__file__).parent:
            cases[item.nodeid] = 0
            law.inner_test = _counted(law.inner_test, item.nodeid, cases)
    items.sort(key=lambda item: "cases_by_test" in getattr(item, "fixturenames", ()))


def _counted(law: Callable[..., None], name: str, cases: dict[str, int]) -> Callable[..., None]:
    @functools.wraps(law)
    def counted(*arguments: object, **named: object) -> None:
        law(*arguments, **named)
        cases[name] += 1

    return counted


@pytest.fixture
def cases_by_test(request: pytest.FixtureRequest) -> dict[str, int]:
    """How many cases of each law have held so far."""
    return request.config.stash[_cases_by_test]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tells how many cases ran."""
    cases = config.stash.get(_cases_by_test, {})
    if any(cases.values()):
        terminalreporter.write_line(f"{len(cases)} laws held on {sum(cases.values()):,} generated cases")
