"""A finding of a review: what is wrong or noteworthy, where, and how to fix it."""

from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""A bundle with an error should not be deployed; a warning needs an explanation; a note is for information."""

Rule = Literal[
    "manifest",
    "opens",
    "basis",
    "age",
    "elderly",
    "income",
    "thresholds",
    "never",
    "shadowed",
    "labels",
    "figures",
    "libraries",
    "card",
    "columns",
    "golden",
    "effect",
    "reasons",
    "wording",
    "counterfactual",
]
"""The kinds of findings, for scripts."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem or remark."""

    severity: Severity
    rule: Rule
    where: str
    """The entry of the manifest, or the file."""
    what: str
    fix: str
