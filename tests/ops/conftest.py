"""Fixtures of the tests that need a browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.ops.console_process import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for all tests of a module."""
    with browser() as started:
        yield started
