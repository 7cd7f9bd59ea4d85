"""Entry point of the `scorer` command: runs a command, and prints an error as one message."""

import logging
import sys

from schemas.command_line import is_for_people, make_plain
from schemas.printable import printable_lines
from schemas.surroundings import OutputError, explain_fault, explain_umask, standard_streams
from scorer.errors import ScorerError
from scorer.logs import PROCESS_FAILED, current_format, log, log_crash, write_to_stderr


def main() -> None:
    """Runs the command line. Exit codes: 0 success, 1 failure, 2 usage error, 141 standard output was closed."""
    # Without a handler librdkafka's log lines would reach stderr; commands that log call log_to_stderr.
    logging.getLogger("scorer").addHandler(logging.NullHandler())
    with standard_streams("scorer"):
        fault = explain_umask()
        if fault is not None:
            _fail(fault, exit_code=2)
        try:
            _run()
        except ScorerError as error:
            _fail(str(error), error.exit_code)
        except OutputError:
            raise
        except Exception as crash:
            fault = explain_fault(crash)
            if fault is not None:
                _fail(fault, exit_code=1)
            if current_format() is None:
                raise
            log_crash(crash)
            sys.exit(1)


def _run() -> None:
    import typer

    from scorer.cli.root import app

    command = typer.main.get_command(app)
    if not is_for_people():
        make_plain(command)
    command(prog_name="scorer")  # shell completion depends on the name, however the program was started


def _fail(message: str, exit_code: int) -> None:
    if current_format() == "json":
        log(PROCESS_FAILED, error=message, exit_code=exit_code)
    else:
        write_to_stderr(f"scorer: {printable_lines(message)}\n")
    sys.exit(exit_code)
