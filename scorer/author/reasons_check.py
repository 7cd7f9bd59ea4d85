"""Reviews a catalogue of reasons without data: what has no reason, and sentences that do not explain a decision.

Wording is only judged as far as words tell: whether a sentence is true and fair is for a person to judge.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.bases import find_bases
from schemas.contract_faults import shown
from scorer.author.finding import Finding
from scorer.core.catalogue import Entry, Reasons, find_prohibited
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy

_WORDS_MIN: Final = 3  # the sample form of Regulation B has "Length of residence"
_CODE_CHARACTERS_MIN: Final = 2  # a code of one letter may also be a word
_insufficient: Final = re.compile(
    r"\bother\W*$"
    r"|\b(internal|our|company|lending|credit|creditor's|lender's)( \w+)? (policy|policies|standards?|guidelines?)\b"
    r"|\bscore\b.{0,20}\b(too low|low|insufficient|below)\b"
    r"|\b(insufficient|low|qualifying|minimum|credit|model)( credit)? score\b",
    re.IGNORECASE,
)
"""Phrases of statements that §1002.9(b)(2) calls insufficient: standards, policies, and a score that is too low."""
_is_technical: Final = re.compile(r"[_.=\d]|[a-z][A-Z]").search
"""Whether a name is one that only the contract's reader knows; `income` is also a word."""


def check_reasons(
    reasons: Reasons, policy: Policy, encoding: FeatureEncoding, is_used: NDArray[np.bool_]
) -> Iterator[Finding]:
    """Reviews a catalogue.

    Args:
        reasons: the catalogue.
        policy: the policy, whose rules may name its codes.
        encoding: the encoding of the bundle.
        is_used: whether the model uses a field of the entry, shape (entries,).
    """
    yield from _find_fields_without_entry(reasons, encoding)
    by_rules = {rule.reason for rule in policy.rules}
    is_raw = _raw_names(encoding)
    for entry, used in zip(reasons.catalogue, is_used.tolist(), strict=True):
        if not used and entry.code not in by_rules:
            what = "no decision has this reason: the model uses none of its fields, and no rule of the policy names it"
            yield Finding("warning", "reasons", _where(entry), what, "remove the entry, or correct its fields")
        yield from _find_wording(entry, is_raw)


def _find_fields_without_entry(reasons: Reasons, encoding: FeatureEncoding) -> Iterator[Finding]:
    explained = {name for entry in reasons.catalogue for name in entry.fields}
    for name in dict.fromkeys(encoding.column_fields):
        if name in explained or _is_prohibited(name, encoding):
            continue
        what = f"the model uses {shown(name)}, but no reason is about it: decisions do not say that it counted"
        yield Finding("warning", "reasons", f"features: {name}", what, "add it to an entry of the catalogue")


def _is_prohibited(name: str, encoding: FeatureEncoding) -> bool:
    """Whether a field or derived column must not be a reason, or has a name that denotes a prohibited basis."""
    fields = encoding.derived[name].fields if name in encoding.derived else (name,)
    return bool(find_prohibited(encoding.contract, fields) or any(find_bases(field) for field in (name, *fields)))


def _find_wording(entry: Entry, is_raw: Callable[[str], bool]) -> Iterator[Finding]:
    for language, text in entry.text.items():
        where = f"{_where(entry)}.text.{language}"
        if is_raw(text) or (len(entry.code) >= _CODE_CHARACTERS_MIN and _names_in(text, [entry.code])):
            what = "the sentence has the code or the name of a field, which applicants do not know"
            yield Finding("warning", "wording", where, what, "write it in the applicant's words")
        if language.partition("-")[0] == "en":
            yield from _find_english(text, where)


def _find_english(text: str, where: str) -> Iterator[Finding]:
    bases = find_bases(text)
    if bases:
        what = f"the sentence names a prohibited basis: {bases[0]} (12 CFR 1002.2(z)), which is never a reason"
        yield Finding("error", "basis", where, what, "reword it, and check what the entry's fields are about")
    if len(text.split()) < _WORDS_MIN or _insufficient.search(text):
        what = (
            "the sentence is not specific: statements about internal standards or policies, or about a score that does "
            "not qualify, are insufficient (12 CFR 1002.9(b)(2))"
        )
        yield Finding("warning", "wording", where, what, "say what in the application counted against the applicant")


def _raw_names(encoding: FeatureEncoding) -> Callable[[str], bool]:
    """Returns a function that finds out whether a text has a technical name of a field or column."""
    names = {*encoding.contract.inputs, *encoding.derived, *encoding.columns}
    technical = [name for name in names if _is_technical(name)]
    return lambda text: _names_in(text, technical)


def _names_in(text: str, names: Iterable[str]) -> bool:
    return any(name in text and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in names)


def _where(entry: Entry) -> str:
    return f"reasons: {entry.code}"
