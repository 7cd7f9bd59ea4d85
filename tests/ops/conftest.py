"""Fixtures of the tests that need a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.ops.console_process import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A browser for all tests of a process; each has contexts of its own in it, which share nothing."""
    with browser() as started:
        yield started
