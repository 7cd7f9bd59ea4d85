"""The page of the errors: what stops a process, with exit codes, and why a record is set aside."""

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
[the codes below](#codes-of-dead-letters). What does stop a command is told in one message on standard error: what is
wrong, where, and how to mend it. Field values of applications stand in none of them.

## Exit codes

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed, or what was asked about is not as it should be |
| 2 | misuse: the call, a file or a setting is wrong; nothing was begun |
| 130 | `producer`: stopped by Ctrl-C before it was done |
| 141 | the reader of standard output left before the end, as in `scorer score loans.csv \\| head -1` |

A standard output that cannot be written, such as a full disk, is one sentence and exit code 1. A standard stream that
is closed is as /dev/null. What cannot be written to standard error is dropped, and changes no exit code.
"""
_CODES: Final = """## Codes of dead letters

A closed list, in the order in which it is gone through: the first that applies is given. Among the codes that are about
a field, it is that of the first failing field in the contract's order; the reason names every failing field.
"""


def errors_page() -> str:
    """The page."""
    return "\n".join(
        [
            _INTRODUCTION,
            "## What stops scorer\n",
            *_tree(scorer.errors, scorer.errors.ScorerError),
            "\n## What stops producer\n",
            *_tree(producer.errors, producer.errors.PublisherError),
            "\nThe client for Python, `producer.client`, raises the same.\n",
            _CODES,
            table(("code", "meaning", "a reason, as it stands in the header"), map(_code, RejectionCode)),
        ]
    )


def _tree(module: ModuleType, error: type[Exception], depth: int = 0) -> Iterator[str]:
    """An error and those below it that stand in the same module, in the order in which they stand there."""
    told = (error.__doc__ or "").partition("\n\n")[0].rstrip(".")
    exit_code: int = vars(error).get("exit_code", 0)
    code = f" Exit code {exit_code}." if exit_code else ""
    yield f"{'    ' * depth}- **{error.__name__}**: {told}.{code}"
    for below in vars(module).values():
        if isinstance(below, type) and below.__base__ is error:
            yield from _tree(module, below, depth + 1)


def _code(code: RejectionCode) -> tuple[str, str, str]:
    return f"`{code}`", MEANINGS[code], next(record.reason for record in INVALID if record.code is code)
