"""Log lines on stderr: when, how grave, where from, what; never a field's value."""

import logging
import sys
import time


def log_to_stderr(level: int = logging.INFO) -> None:
    """Sends this process's log lines to stderr, times in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s  %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
