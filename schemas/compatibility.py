"""Whether a new contract accepts every application that an old one accepts, and all other differences between them."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind, Limits
from schemas.contract_faults import shown, shown_path
from schemas.contract_values import is_valid
from schemas.contract_words import describe_number, describe_value

_DATE_CHARACTERS: Final = 10
_DATE_TIME_CHARACTERS_MIN: Final = 20  # without a fraction; with one they have any length
_VALUES_SHOWN_MAX: Final = 5
_LOWER: Final = ("minimum", "exclusive_minimum")
_UPPER: Final = ("maximum", "exclusive_maximum")

_Member = ContractField | ContractObject


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two contracts.

    Attributes:
        field: the dotted name of the field or object, safe to show; "" for the contract itself.
        what: the difference in words, safe to show.
        breaking: whether the new contract rejects applications because of it that the old one accepts.
    """

    field: str
    what: str
    breaking: bool = False


def compare(old: Contract, new: Contract) -> list[Difference]:
    """Compares two contracts.

    The new contract is compatible if no difference is breaking. A field that only the new contract has is assumed not
    to be sent yet: a publisher that sends a property of this name already, with other values, is not considered.

    Returns:
        All differences except order and `$comment`, breaking ones first, then in the contracts' order.
    """
    differences = [*_compare_identity(old, new), *_compare_objects(old.application, new.application)]
    return sorted(differences, key=lambda difference: not difference.breaking)


def _compare_identity(old: Contract, new: Contract) -> Iterator[Difference]:
    for what, before, after in (("name", old.name, new.name), ("version", old.version, new.version)):
        if before != after:
            yield Difference("", f"{what} {before} → {after}")
    if old.id_path != new.id_path:
        yield Difference("", f"id {shown_path(old.id_path)} → {shown_path(new.id_path)}: records get other keys")
    yield from _compare_texts("", old.application, new.application)


def _compare_objects(old: ContractObject, new: ContractObject) -> Iterator[Difference]:
    before = {member.path: member for member in old.members}
    after = {member.path: member for member in new.members}
    for path in [*before, *(path for path in after if path not in before)]:
        name = shown_path(path)
        if path not in after:
            yield Difference(name, "removed: its values are ignored")
        elif path not in before:
            presence = "required" if after[path].required else "optional"
            yield Difference(name, f"added, {presence}", after[path].required)
        else:
            yield from _compare_members(name, before[path], after[path])


def _compare_members(name: str, old: _Member, new: _Member) -> Iterator[Difference]:
    if isinstance(old, ContractField) and isinstance(new, ContractField):
        yield from _compare_fields(name, old, new)
    elif isinstance(old, ContractObject) and isinstance(new, ContractObject):
        yield from _compare_presence(name, old, new)
        yield from _compare_texts(name, old, new)
        yield from _compare_objects(old, new)
    else:
        was, is_ = (member.kind if isinstance(member, ContractField) else "object" for member in (old, new))
        yield Difference(name, f"kind {was} → {is_}", breaking=True)


def _compare_presence(name: str, old: _Member, new: _Member) -> Iterator[Difference]:
    if old.required != new.required:
        yield Difference(name, "optional → required" if new.required else "required → optional", new.required)
    if old.nullable != new.nullable:
        yield Difference(name, "null is valid now" if new.nullable else "null is no longer valid", old.nullable)


def _compare_fields(name: str, old: ContractField, new: ContractField) -> Iterator[Difference]:
    if old.kind is not new.kind:
        yield Difference(name, f"kind {old.kind} → {new.kind}", breaking=not _reads_kind(old, new))
    yield from _compare_presence(name, old, new)
    if old.kind.is_numeric and new.kind.is_numeric:
        yield from _compare_limits(name, old, new)
    elif old.kind is Kind.CATEGORY or new.kind is Kind.CATEGORY:
        yield from _compare_categories(name, old, new)
    elif new.kind is Kind.TEXT:
        yield from _compare_lengths(name, old, new)
    yield from _compare_unknown(name, old, new)
    for what in ("default", "unit", "prohibited"):
        before, after = getattr(old, what), getattr(new, what)
        if before != after or isinstance(before, bool) != isinstance(after, bool):
            word = "prohibited basis" if what == "prohibited" else what
            yield Difference(name, f"{word} {_describe_optional(before)} → {_describe_optional(after)}")
    if old.codes != new.codes:
        yield Difference(name, "x-codes differ: files of applications are read differently")
    yield from _compare_texts(name, old, new)


def _describe_optional(value: Any) -> str:
    return "none" if value is None or value == "" else shown(value) if isinstance(value, str) else describe_value(value)


def _reads_kind(old: ContractField, new: ContractField) -> bool:
    """Whether values of the old kind are of the new kind; whether they are in limits and categories is left out."""
    if old.kind is Kind.CATEGORY:
        return True  # a closed list, of which each value is compared
    return (old.kind, new.kind) in {
        (Kind.INTEGER, Kind.NUMBER), (Kind.DATE, Kind.TEXT), (Kind.DATE_TIME, Kind.TEXT)
    }  # fmt: skip


def _compare_limits(name: str, old: ContractField, new: ContractField) -> Iterator[Difference]:
    low, high = _range(old)
    fits_low = low >= new.limits.minimum and low > new.limits.exclusive_minimum
    fits_high = high <= new.limits.maximum and high < new.limits.exclusive_maximum
    for bounds, fits in ((_LOWER, fits_low), (_UPPER, fits_high)):
        before, after = (_describe_bound(field.limits, bounds) for field in (old, new))
        if before != after:
            yield Difference(name, f"{before} → {after}", breaking=not fits)


def _range(field: ContractField) -> tuple[float, float]:
    """The least and the greatest number of a field, as float64."""
    limits = field.limits
    low = max(limits.minimum, math.nextafter(limits.exclusive_minimum, math.inf), -NUMBER_MAX)
    high = min(limits.maximum, math.nextafter(limits.exclusive_maximum, -math.inf), NUMBER_MAX)
    return (math.ceil(low), math.floor(high)) if field.kind is Kind.INTEGER else (low, high)


def _describe_bound(limits: Limits, bounds: tuple[str, str]) -> str:
    values = (getattr(limits, bound) for bound in bounds)
    parts = [
        f"{bound.replace('_', ' ')} {describe_number(value)}"
        for bound, value in zip(bounds, values, strict=True)
        if math.isfinite(value)
    ]
    return " and ".join(parts) or f"no {bounds[0]}"


def _compare_categories(name: str, old: ContractField, new: ContractField) -> Iterator[Difference]:
    """Compares closed lists of values; a list that becomes another kind is compared with that kind's rule."""
    rejected = [value for value in old.categories if not is_valid(new, value)]
    if rejected:
        yield Difference(name, f"no longer valid: {_list_values(rejected)}", breaking=True)
    added = [value for value in new.categories if not is_valid(old, value)]
    if added and old.kind is new.kind:
        yield Difference(name, f"valid now: {_list_values(added)}")


def _compare_lengths(name: str, old: ContractField, new: ContractField) -> Iterator[Difference]:
    low, high = old.length_min, old.length_max
    if old.kind is not Kind.TEXT:
        low = _DATE_CHARACTERS if old.kind is Kind.DATE else _DATE_TIME_CHARACTERS_MIN
        high = low if old.kind is Kind.DATE else None
    if low != new.length_min:
        yield Difference(name, f"at least {low} → {new.length_min} characters", breaking=low < new.length_min)
    if high != new.length_max:
        breaking = new.length_max is not None and (high is None or high > new.length_max)
        before, after = ("any number of" if length is None else length for length in (high, new.length_max))
        yield Difference(name, f"at most {before} → {after} characters", breaking)


def _compare_unknown(name: str, old: ContractField, new: ContractField) -> Iterator[Difference]:
    for value in old.unknown:
        if value not in new.unknown:
            is_value = is_valid(new, value)
            what = "is a value now, no longer unknown" if is_value else "is no longer valid; it means unknown so far"
            yield Difference(name, f"{describe_value(value)} {what}", breaking=not is_value)
    for value in new.unknown:
        if value not in old.unknown:
            yield Difference(name, f"{describe_value(value)} means unknown now")


def _compare_texts(name: str, old: _Member, new: _Member) -> Iterator[Difference]:
    """Compares what only documents and forms use."""
    for what in ("title", "description", "examples"):
        before, after = (json.dumps(getattr(member, what, None)) for member in (old, new))
        if before != after:
            yield Difference(name, f"{what} {'differ' if what == 'examples' else 'differs'}")


def _list_values(values: list[str]) -> str:
    more = len(values) - _VALUES_SHOWN_MAX
    listed = ", ".join(map(describe_value, values[:_VALUES_SHOWN_MAX]))
    return f"{listed} and {more} more" if more > 0 else listed
