"""What every unit test leaves as it was."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("units", deadline=None)  # the machine may be busy
settings.load_profile("units")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as quick what is not slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("slow"):
            item.add_marker("quick")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that is run in this process sends its log to the stderr of that moment: puts it back."""
    root_logger, ours = logging.getLogger(), logging.getLogger("scorer")
    before = root_logger.handlers[:], root_logger.level, ours.level, threading.excepthook
    yield
    logging.captureWarnings(False)
    root_logger.handlers[:], root_logger.level, ours.level, threading.excepthook = before
