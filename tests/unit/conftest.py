"""What every unit test leaves as it was."""

import logging
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("units", deadline=None)  # the machine may be busy
settings.load_profile("units")


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that is run in this process sends its log to the stderr of that moment: puts it back."""
    root_logger, ours = logging.getLogger(), logging.getLogger("scorer")
    before = root_logger.handlers[:], root_logger.level, ours.level, threading.excepthook
    yield
    logging.captureWarnings(False)
    root_logger.handlers[:], root_logger.level, ours.level, threading.excepthook = before
