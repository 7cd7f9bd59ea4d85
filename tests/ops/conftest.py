"""The order of the files of this folder, and the browser of its tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser

from tests.ops.console_process import browser

_LONGEST_FIRST: Final = (
    "test_tutorials.py",
    "test_docs.py",
    "test_prometheus.py",
    "test_dockerfile.py",
    "test_console.py",
    "test_packages.py",
    "test_rights.py",
    "test_secured_kafka.py",
    "test_scale_out.py",
    "test_console_contracts.py",
    "test_console_reviews.py",
    "test_console_bundles.py",
)
"""Files that take half a minute or more. `make ops` starts files in this order, so that no long one comes last."""
_RANKS: Final = {Path(__file__).with_name(name): rank for rank, name in enumerate(_LONGEST_FIRST)}
assert all(path.exists() for path in _RANKS)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the long files first; what else there is keeps its order."""
    items.sort(key=lambda item: _RANKS.get(item.path, len(_RANKS)))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a module; while it runs, asyncio cannot run a loop beside Playwright's."""
    with browser() as started:
        yield started
