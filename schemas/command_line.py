"""Help pages and usage errors of both command lines: in plain words, and in plain lines for pipes and files."""

import re
import sys
from typing import Any, Final

from typer import BadParameter
from typer.core import TyperGroup

from schemas.fault_words import describe_fault

_FENCE: Final = re.compile(r"^ *```\n?", re.MULTILINE)
_COLUMNS: Final = 120
_KEEP_LINES: Final = "\b"  # Click's mark of a paragraph that is not wrapped


class PlainlyWorded(TyperGroup):
    """A command line whose errors about values name the rule, in words of our own."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except BadParameter as error:
            faults = getattr(error.__cause__, "errors", None)  # a ValidationError; pydantic is not imported for help
            if faults is not None:
                error.message = "; ".join(describe_fault(fault) for fault in faults())
            raise


def is_for_people() -> bool:
    """Whether both outputs are terminals."""
    return sys.stdout.isatty() and sys.stderr.isatty()


def make_plain(command: Any) -> None:
    """Changes a command and all commands below it, so that Click prints their help and errors without Rich.

    Args:
        command: a command of Typer.
    """
    command.rich_markup_mode = None
    command.context_settings = {**command.context_settings, "terminal_width": _COLUMNS}
    paragraphs = re.split(r"\n\n+", _FENCE.sub("", command.help or "").replace("**", "").strip("\n"))
    command.help = "\n\n".join(f"{_KEEP_LINES}\n{paragraph}" for paragraph in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        make_plain(inner)
