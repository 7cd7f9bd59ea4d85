"""Proposes the schema of a contract's field from the profile of a column, with what a person should check."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from schemas.bases import find_bases, indicates_age
from schemas.contract import ID_CHARACTERS_MAX
from scorer.author.column_profile import COUNTED_CHARACTERS_MAX, ColumnProfile, Form
from scorer.author.unknown_codes import find_far_values, find_unknown_codes

CATEGORIES_MAX: Final = 100
"""Different values of a category; a column with more is a text, unless a person knows better."""
_CODES_OF_CATEGORY_MAX: Final = 10
_ID_LENGTH_MIN: Final = 64  # proposed as the longest id, so that other ids than the file's fit, too
_NEAR_ZERO: Final = (
    1_000  # a minimum that is this many times smaller than the maximum is chance: other values are lower
)
_CONVERT: Final = "convert them, or leave the column out with --drop"
_DATE_TIMES: Final = frozenset({Form.DATE_TIME, Form.LOCAL_DATE_TIME})
_NUMBERS: Final = frozenset({Form.INTEGER, Form.NUMBER})
_UNSUPPORTED: Final = frozenset({Form.UNSUPPORTED, Form.INVALID})
_MISSING: Final = frozenset({Form.EMPTY, Form.MISSING_WORD})


@dataclass(frozen=True, slots=True)
class Proposal:
    """The schema of a field, and what to check in it; no check contains a value of the file."""

    schema: dict[str, Any]
    checks: list[str]


def propose_id(column: ColumnProfile) -> Proposal:
    """Proposes the field that identifies an application."""
    length = min(max(_ID_LENGTH_MIN, int(round_up(column.longest))), ID_CHARACTERS_MAX)
    schema = {"type": "string", "minLength": 1, "maxLength": length, "x-id": True}
    checks = []
    if _NUMBERS & column.forms.keys():
        checks.append("contains numbers; on the topic the id is a string")
    if max(column.counts.values(), default=0) > 1:
        checks.append("some values occur more than once; an id identifies one application")
    if column.present < column.rows:
        checks.append("is missing in some rows; every application needs an id")
    return Proposal(schema, checks)


def propose_field(name: str, column: ColumnProfile, *, nullable: bool) -> Proposal | str:
    """Proposes a field.

    Args:
        name: the name of the column.
        column: what it contains.
        nullable: whether the value is unknown in some rows.

    Returns:
        The proposal, or why the column is left out.
    """
    forms = {form for form in column.forms if column.forms[form]} - _MISSING
    if forms & _UNSUPPORTED:
        return "left out: contains lists, empty objects or other values that a contract cannot describe"
    if not forms:
        return "left out: has no values"
    proposal = _propose_kind(column, forms)
    schema, checks = dict(proposal.schema), list(proposal.checks)
    if nullable:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    words = column.missing_words
    if words and (forms <= _NUMBERS or "enum" in schema):
        schema["x-codes"] = dict.fromkeys(words)
        checks.append(f"{_list(words)} in the file is read as unknown")
    elif words:
        checks.append(f"{_list(words)} in the file is not a value of this kind: leave such cells empty")
    bases = find_bases(name) + (["age"] if indicates_age(name) else [])
    if bases:
        schema["x-prohibited"] = ", ".join(bases)
        checks.append(f"its name indicates a prohibited basis ({schema['x-prohibited']}); is it one?")
    return Proposal(schema, checks)


def _propose_kind(column: ColumnProfile, forms: set[Form]) -> Proposal:
    if forms == {Form.BOOLEAN}:
        return Proposal({"type": "boolean"}, [])
    if forms <= _NUMBERS:
        return _propose_number(column, is_integer=Form.NUMBER not in forms)
    if Form.DECIMAL_COMMA in forms and forms <= _NUMBERS | {Form.DECIMAL_COMMA}:
        check = "the file has decimal commas: write numbers with a decimal point, and add minimum and maximum"
        return Proposal({"type": "number"}, [check])
    if forms <= {Form.DATE, Form.LOCAL_DATE}:
        check = f"dates are not written as YYYY-MM-DD, as they must be: {_CONVERT}"
        checks = [check] if Form.LOCAL_DATE in forms else []
        return Proposal({"type": "string", "format": "date"}, checks)
    if forms <= _DATE_TIMES:
        check = (
            f"times must be RFC 3339 with an offset, such as 2026-11-01T09:30:00Z, which the file's are not: {_CONVERT}"
        )
        return Proposal({"type": "string", "format": "date-time"}, [check] if Form.LOCAL_DATE_TIME in forms else [])
    return _propose_text(column)


def _propose_number(column: ColumnProfile, *, is_integer: bool) -> Proposal:
    counts, extremes = column.numbers(), sorted({*column.lowest, *column.highest})
    codes = find_unknown_codes(counts, extremes)
    values = [number for number in extremes if number not in codes]
    low, high = round_down(values[0]), round_up(values[-1])
    if 0 < low * _NEAR_ZERO <= high:
        low = Decimal(0)
    schema: dict[str, Any] = {
        "type": "integer" if is_integer else "number",
        "minimum": _as_json(low),
        "maximum": _as_json(high),
    }
    checks = []
    if codes:
        schema["x-unknown"] = [_as_json(Decimal(code)) for code in codes]
        listed = _list(map(str, schema["x-unknown"]))
        checks.append(f"{listed} repeats far outside of all other numbers; does it mean unknown?")
    if find_far_values(counts, extremes, codes):
        checks.append("a number repeats far above all others; is it a value, or does it mean unknown (x-unknown)?")
    different = len(counts) - len(codes)
    are_whole = all(number.is_integer() for number in counts)
    if are_whole and different <= _CODES_OF_CATEGORY_MAX and column.present >= 5 * different:
        checks.append(
            f"only {different} different whole numbers, which may be codes of a category; if so, use a string with "
            "enum, and x-codes for the numbers in files"
        )
    return Proposal(schema, checks)


def _propose_text(column: ColumnProfile) -> Proposal:
    values = column.distinct()
    checks = []
    numbers = sum(column.forms[form] for form in _NUMBERS)
    if numbers:
        checks.append(
            f"{numbers:,} of {column.present:,} values are numbers and the others are not; are those invalid?"
        )
    is_short = column.longest <= COUNTED_CHARACTERS_MAX
    if is_short and len(values) <= CATEGORIES_MAX and 2 * len(values) <= column.present:
        once = sum(count == 1 for count in values.values())
        if once:
            checks.append(f"values that occur once: {once} of {len(values)}; do others exist, which would be rejected?")
        return Proposal({"type": "string", "enum": sorted(values)}, checks)
    many = f"{len(values):,}" if column.is_complete else f"more than {len(values):,}"
    checks.append(
        f"a text, which models do not use, with different values: {many}; a category lists its values in enum"
    )
    return Proposal({"type": "string", "maxLength": int(round_up(max(1, column.longest)))}, checks)


def round_up(number: float) -> Decimal:
    """The least 0 or ±1, 2 or 5 × 10^n that is not below a number."""
    return -_shrink(-number) if number < 0 else _grow(number)


def round_down(number: float) -> Decimal:
    """The greatest 0 or ±1, 2 or 5 × 10^n that is not above a number."""
    return -_grow(-number) if number < 0 else _shrink(number)


def _grow(number: float) -> Decimal:
    exact = Decimal(repr(number))
    steps = (Decimal(step).scaleb(exact.adjusted()) for step in (1, 2, 5, 10))
    return next(step for step in steps if step >= exact) if exact else exact


def _shrink(number: float) -> Decimal:
    exact = Decimal(repr(number))
    steps = (Decimal(step).scaleb(exact.adjusted()) for step in (5, 2, 1))
    return next(step for step in steps if step <= exact) if exact else exact


def _as_json(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)
