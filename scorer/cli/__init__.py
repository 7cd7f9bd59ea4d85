"""The `scorer` command: argv to one call into one room, and errors as one message."""

import logging
import sys

from scorer.errors import ScorerError
from scorer.logs import PROCESS_FAILED, format_in_force, log, log_crash


def main() -> None:
    """Runs the command line. Exit codes: 0 done, 1 failed, 2 misuse."""
    from scorer.cli.root import app

    # Without it librdkafka's lines would reach stderr; a command that wants log lines says so.
    logging.getLogger("scorer").addHandler(logging.NullHandler())
    try:
        app(prog_name="scorer")  # the shell's completion goes by it, however it was started
    except ScorerError as error:
        if format_in_force() == "json":
            log(PROCESS_FAILED, error=str(error), exit_code=error.exit_code)
        else:
            sys.stderr.write(f"scorer: {error}\n")
        sys.exit(error.exit_code)
    except Exception as crash:
        if format_in_force() is None:
            raise
        log_crash(crash)
        sys.exit(1)
