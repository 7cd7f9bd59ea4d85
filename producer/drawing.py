"""Draws applications of any contract, each field by itself: like a profile, or uniformly from what is accepted."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from schemas.contract import NUMBER_MAX, Contract, ContractField, ContractObject, Kind, Value
from schemas.made_up import bounds_of
from schemas.profile import AT, FieldProfile, Profile

Random: TypeAlias = np.random.Generator
Path: TypeAlias = tuple[str, ...]
Values: TypeAlias = Mapping[Path, Sequence[object]]
"""Values that `str()` writes as JSON, by the path of a field; None is absent.

An object that may be null or absent has values too: None, "null", or "" if it is there.
"""
_Draw: TypeAlias = Callable[[Random, int], list[Any]]

# Without a profile. Large enough that a block of applications has some, small enough that most are complete.
_UNKNOWN_SHARE: Final = 0.1
# A number has as many digits after the point as it takes for this many different numbers between the limits.
_NUMBERS_MIN: Final = 1_000
_DECIMALS_MAX: Final = 15  # a double has no more digits
_WHOLE_MAX: Final = 2.0**53  # larger numbers are written as floats
_TEXT_CHARACTERS: Final = 12  # random letters of a text; the rest up to its minimum length is padding
_SECONDS_PER_DAY: Final = 86_400.0
_DAYS: Final = (-719_000.0, 2_932_000.0)  # since 1970-01-01: the years 2 to 9997, in every time zone


class Population:
    """Draws the values of one contract's applications; the id, which is counted up, is not drawn.

    Attributes:
        optional: the paths of fields and objects that some of the applications do not have.
    """

    def __init__(self, contract: Contract, profile: Profile | None = None) -> None:
        """Prepares the draws.

        Args:
            contract: the contract; every application satisfies it, whatever the profile says.
            profile: the statistics of the fields; those that it lacks are drawn uniformly. Objects are always there,
                as it does not say how often they are not.
        """
        objects = [group for group in _objects(contract.application) if group.nullable or not group.required]
        objects = [group for group in objects if group.path != contract.id_path[: len(group.path)]]
        fields = [field for field in contract.fields.values() if field.path != contract.id_path]
        members: list[ContractField | ContractObject] = [*objects, *fields]
        self.optional = frozenset(member.path for member in members if not member.required)
        self._draws = {
            **{field.path: _field_draw(field, profile.fields.get(field.name) if profile else None) for field in fields},
            **{
                group.path: _with_unknown(_draw_present, _absent_forms(group), 0.0 if profile else _UNKNOWN_SHARE)
                for group in objects
            },
        }

    def draw(self, random: Random, count: int) -> Values:
        """Draws `count` applications; the same state of the generator gives the same ones."""
        return {path: draw(random, count) for path, draw in self._draws.items()}


def _objects(group: ContractObject) -> list[ContractObject]:
    return [inner for member in group.objects.values() for inner in (member, *_objects(member))]


def _draw_present(_: Random, count: int) -> list[Any]:
    return [""] * count


def _absent_forms(member: ContractField | ContractObject) -> list[str | None]:
    return [*(["null"] if member.nullable else []), *([] if member.required else [None])]


def _dump(value: Value) -> str:
    is_whole = isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE_MAX
    return str(int(value)) if is_whole else json.dumps(value, ensure_ascii=False)


def _with_unknown(draw: _Draw, forms: Sequence[str | None], share: float) -> _Draw:
    """Replaces a share of the values by forms of unknown."""
    if not forms or not share:
        return draw

    def draw_some(random: Random, count: int) -> list[Any]:
        values = draw(random, count)
        rows = np.flatnonzero(random.random(count) < share).tolist()
        for row, form in zip(rows, random.integers(len(forms), size=len(rows)).tolist(), strict=True):
            values[row] = forms[form]
        return values

    return draw_some


def _field_draw(field: ContractField, statistics: FieldProfile | None) -> _Draw:
    """How to draw a field, with the forms in which an application has no value of it."""
    # With a default, an absent value is a known one: a profile does not count it as unknown.
    forms = [] if statistics and field.default is not None and not field.nullable else _absent_forms(field)
    share = statistics.unknown if statistics else _UNKNOWN_SHARE
    return _with_unknown(_drawer(field, statistics), [*map(_dump, field.unknown), *forms], share)


def _drawer(field: ContractField, statistics: FieldProfile | None) -> _Draw:
    match field.kind:
        case Kind.NUMBER | Kind.INTEGER:
            return _number_drawer(field, statistics)
        case Kind.BOOLEAN:
            return _choice_drawer(("true", "false"), ("true", "false"), statistics)
        case Kind.CATEGORY:
            return _choice_drawer(field.categories, [_dump(category) for category in field.categories], statistics)
        case Kind.DATE | Kind.DATE_TIME:
            return _date_drawer(field, statistics)
        case Kind.TEXT:
            return _text_drawer(field)


def _choice_drawer(values: Sequence[str], written: Sequence[str], statistics: FieldProfile | None) -> _Draw:
    weights = [statistics.shares.get(value, 0.0) if statistics else 1.0 for value in values]
    cumulated = np.cumsum(weights if sum(weights) else [1.0] * len(values))
    texts = np.array(written, dtype=object)

    def draw(random: Random, count: int) -> list[Any]:
        chosen = np.searchsorted(cumulated, random.random(count) * cumulated[-1], side="right")
        values: list[Any] = texts[chosen].tolist()
        return values

    return draw


def _number_drawer(field: ContractField, statistics: FieldProfile | None) -> _Draw:
    low, high = _limits_of(field)
    if statistics and statistics.quantiles:
        at, quantiles = np.array(AT), np.array(statistics.quantiles)
        decimals = statistics.decimals if field.kind is Kind.NUMBER else 0
        low, high = max(low, quantiles[0]), min(high, quantiles[-1])
    else:
        at, quantiles = np.array((0.0, 1.0)), np.array((low, high))
        decimals = _decimals(high - low) if field.kind is Kind.NUMBER else 0
    low, high = _rounded_ends(field, low, high, decimals)
    is_whole = decimals == 0 and low.is_integer() and high.is_integer() and max(-low, high) < _WHOLE_MAX
    if is_whole and len(quantiles) == 2:
        quantiles += (-0.5, 0.5)  # the first and the last number are drawn as often as the others

    def draw(random: Random, count: int) -> list[Any]:
        numbers = np.clip(np.round(np.interp(random.random(count), at, quantiles), decimals), low, high)
        values: list[Any] = (numbers.astype(np.int64) if is_whole else numbers).tolist()
        return values

    return draw


def _decimals(span: float) -> int:
    """How many digits after the point give enough different numbers."""
    return min(max(0, math.ceil(math.log10(_NUMBERS_MIN) - math.log10(span))), _DECIMALS_MAX) if span else 0


def _limits_of(field: ContractField) -> tuple[float, float]:
    """The limits of a number, exclusive or not; where it has none, as in other made-up applications."""
    low, high = bounds_of(field)
    if field.kind is Kind.NUMBER:
        lowest = max(field.limits.minimum, field.limits.exclusive_minimum)
        highest = min(field.limits.maximum, field.limits.exclusive_maximum)
        low = max(lowest, -NUMBER_MAX) if math.isfinite(lowest) else low
        high = min(highest, NUMBER_MAX) if math.isfinite(highest) else high
    return low, high


def _rounded_ends(field: ContractField, low: float, high: float, decimals: int) -> tuple[float, float]:
    """The lowest and the highest rounded number within the limits; the low bound twice if there is none."""
    step = 10.0**-decimals
    ends = []
    for end, inwards in ((low, step), (high, -step)):
        rounded = (round(end, decimals), round(end + inwards, decimals))
        ends += [number for number in rounded if field.limits.hold(number)][:1]
    if len(ends) < 2 or ends[0] > ends[1]:
        bound = bounds_of(field)[0]
        return bound, bound
    return ends[0], ends[1]


def _date_drawer(field: ContractField, statistics: FieldProfile | None) -> _Draw:
    at, days = (AT, statistics.quantiles) if statistics and statistics.quantiles else ((0.0, 1.0), bounds_of(field))
    unit, per_day, ending = ("D", 1.0, "") if field.kind is Kind.DATE else ("s", _SECONDS_PER_DAY, "Z")
    quantiles = np.clip(days, *_DAYS) * per_day

    def draw(random: Random, count: int) -> list[Any]:
        numbers = np.interp(random.random(count), at, quantiles)
        texts: NDArray[np.str_] = np.datetime_as_string(numbers.astype(np.int64).astype(f"datetime64[{unit}]"))
        return [f'"{text}{ending}"' for text in texts.tolist()]

    return draw


def _text_drawer(field: ContractField) -> _Draw:
    letters = _TEXT_CHARACTERS if field.length_max is None else min(_TEXT_CHARACTERS, field.length_max)
    padding = "x" * (field.length_min - letters)

    def draw(random: Random, count: int) -> list[Any]:
        codes = random.integers(ord("a"), ord("z"), size=(count, letters), dtype=np.uint8, endpoint=True)
        text = codes.tobytes().decode()
        return [f'"{text[row * letters : (row + 1) * letters]}{padding}"' for row in range(count)]

    return draw
