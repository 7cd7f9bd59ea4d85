"""Reference page of the errors: exceptions that stop a process, exit codes, and rejection codes of dead letters."""

from collections.abc import Iterator
from types import ModuleType
from typing import Final

import producer.errors
import scorer.errors
from documentation.fields import table
from schemas.examples import INVALID
from schemas.rejection import MEANINGS, RejectionCode

_INTRODUCTION: Final = """# Errors

A record that cannot be decided never stops a worker: it becomes a [dead letter](contracts.md#dead-letter) with one of
[the codes below](#codes-of-dead-letters). An error that stops a command is one message on standard error: what is
wrong, where, and how to fix it. No message contains field values of applications.

## Exit codes

| code | meaning |
|---|---|
| 0 | success |
| 1 | failure, or a check that did not pass |
| 2 | misuse: an argument, a file or a setting is wrong; nothing was started |
| 130 | `producer`: interrupted by Ctrl-C |
| 141 | the reader of standard output exited early, as in `scorer score loans.csv \\| head -1` |

If standard output cannot be written, for example because the disk is full, the command prints one message and exits
with 1. A closed standard stream behaves like /dev/null. Output that cannot be written to standard error is dropped, and
does not change the exit code.
"""
_CODES: Final = """## Codes of dead letters

A closed list, in the order of the checks: the first code that applies is reported. If several fields are invalid, the
code is that of the first invalid field in the contract's order; the reason names every invalid field.
"""


def errors_page() -> str:
    """Returns the page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## What stops scorer\n",
            *_tree(scorer.errors, scorer.errors.ScorerError),
            "\n## What stops producer\n",
            *_tree(producer.errors, producer.errors.PublisherError),
            "\nThe Python client, `producer.client`, raises the same exceptions.\n",
            _CODES,
            table(("code", "meaning", "example of a reason"), map(_code, RejectionCode)),
        ]
    )


def _tree(module: ModuleType, error: type[Exception], depth: int = 0) -> Iterator[str]:
    """Yields an exception class and its subclasses in the same module, in the order of their definition."""
    summary = (error.__doc__ or "").partition("\n\n")[0].rstrip(".")
    exit_code: int = vars(error).get("exit_code", 0)
    code = f" Exit code {exit_code}." if exit_code else ""
    yield f"{'    ' * depth}- **{error.__name__}**: {summary}.{code}"
    for subclass in vars(module).values():
        if isinstance(subclass, type) and subclass.__base__ is error:
            yield from _tree(module, subclass, depth + 1)


def _code(code: RejectionCode) -> tuple[str, str, str]:
    return f"`{code}`", MEANINGS[code], next(record.reason for record in INVALID if record.code is code)
