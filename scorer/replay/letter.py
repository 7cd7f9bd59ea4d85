"""Fills the template of an adverse-action notice with the catalogue's sentences; a mechanism, and no legal advice.

Templates are Jinja2 in a sandbox, for plain text: nothing is escaped, and nothing of Python is reachable.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from schemas.printable import printable
from schemas.text import TextFileError, read_text
from scorer.errors import ExplanationError, MisuseError
from scorer.replay.explained import Explained

DEFAULT: Final = "default"
"""In place of a file's name: the template of this package."""
NAMES: Final = ("application_id", "decision_id", "decision", "bundle", "reasons")
"""The variables of a template; `reasons` has a `code` and a `text` each."""
_FAULTS: Final = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template can raise: `format` and the filters run Python's own functions."""
NOTICE: Final = (
    "The letter is a draft that a person has to complete and review. The scorer supplies a mechanism, not legal advice."
)


def write_letter(explained: Explained, template: str) -> str:
    """Returns the notice for a decision that is not APPROVED, neither by the bundle nor by a reviewer.

    Args:
        explained: the decision.
        template: `default`, or the path of a template.

    Raises:
        ExplanationError: the decision is APPROVED, is not current or not reproduced, or its bundle has no catalogue of
            reasons.
        MisuseError: the template cannot be read, or is invalid.
    """
    explanation = explained.explanation
    if explained.lookup and explained.lookup.current_id != explained.decision_id:
        current_id = printable(explained.lookup.current_id)
        raise ExplanationError(
            f"--letter: {explained.decision_id} is not the current decision, which is {current_id}: a letter with the "
            "reasons of an earlier one would be wrong"
        )
    if explained.label_of_record == "APPROVED":
        by = f" by the review of {printable(explained.review.reviewer)}" if explained.review else ""
        raise ExplanationError(f"--letter: {explained.decision_id} is APPROVED{by}; only other decisions have reasons")
    if explained.sentences is None:
        raise ExplanationError(
            f"--letter: {explanation.bundle.short} has no catalogue of reasons, so the letter would have no sentences"
        )
    if explained.is_reproduced is False:
        raise ExplanationError(f"--letter: {explained.proof()} of the decision on the topic")
    values = (
        printable(explained.application_id),
        printable(explained.decision_id),
        explained.label_of_record,
        explanation.bundle.short,
        [sentence._asdict() for sentence in explained.reasons_of_record],
    )
    environment = ImmutableSandboxedEnvironment(
        autoescape=False,  # the letter is plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    try:
        return environment.from_string(_read(template)).render(dict(zip(NAMES, values, strict=True)))
    except _FAULTS as error:
        raise MisuseError(
            f"--letter {template}: the template is invalid: {type(error).__name__}: {error}. Its variables are "
            f"{', '.join(NAMES)}"
        ) from None


def _read(template: str) -> str:
    if template == DEFAULT:
        return (files("scorer.replay") / "templates" / "letter.txt").read_text(encoding="utf-8")
    try:
        return read_text(Path(template))
    except TextFileError as error:
        raise MisuseError(f"--letter {template}: {error}. A template is a text file, or the word default") from None
