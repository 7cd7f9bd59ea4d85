"""Draws policies for a contract: thresholds, segments of one of its categories, and rules of any form."""

from collections.abc import Sequence
from random import Random
from typing import Final

from schemas.contract import Contract, ContractField, Kind
from schemas.made_up import bounds_of
from scorer.core.expression_tokens import write_name
from scorer.core.policy import LABELS, Policy, Rule, Segments, Thresholds

_RULES_MAX: Final = 8
_DATES: Final = frozenset({Kind.DATE, Kind.DATE_TIME})
_COMPARISONS: Final = ("<", "<=", ">", ">=", "==", "!=")


def draw_policy(random: Random, contract: Contract, codes: Sequence[str] = ()) -> Policy:
    """Draws a policy, whose rules have some of the reasons; one of a contract without inputs has only thresholds."""
    general = _draw_thresholds(random)
    if not contract.inputs:
        return Policy(maybe_above=general.maybe_above, declined_above=general.declined_above)
    texts = {f"r{i}": _draw_condition(random, contract, depth=2) for i in range(random.randint(0, _RULES_MAX))}
    reasons = [random.choice(codes) if codes else None for _ in texts]
    rules = tuple(
        Rule(id=name, when=text, label=random.choice(LABELS), reason=reason)
        for (name, text), reason in zip(texts.items(), reasons, strict=True)
    )
    return Policy.model_validate(
        {"maybe_above": general.maybe_above, "declined_above": general.declined_above}
        | ({"rules": rules} if rules else {})
        | ({"segments": segments} if (segments := _draw_segments(random, contract)) else {})
    )


def _draw_thresholds(random: Random) -> Thresholds:
    low, high = sorted((round(random.random(), 3), random.random()))
    return Thresholds(maybe_above=low, declined_above=high)


def _draw_segments(random: Random, contract: Contract) -> Segments | None:
    categories = [field for field in contract.inputs.values() if field.kind is Kind.CATEGORY and _usable(field)]
    if not categories or random.random() < 0.3:
        return None
    field = random.choice(categories)
    values = {value: _draw_thresholds(random) for value in _draw_values(random, field)}
    return Segments(field=field.name, values=values)


def _draw_condition(random: Random, contract: Contract, depth: int) -> str:
    """Draws a condition, in parentheses if it consists of others."""
    choice = random.random()
    if depth and choice < 0.5:
        parts = [_draw_condition(random, contract, depth - 1) for _ in range(random.randint(2, 3))]
        return f"({random.choice((' and ', ' or ')).join(parts)})"
    if depth and choice < 0.65:
        return f"not {_draw_condition(random, contract, depth - 1)}"
    field = random.choice(list(contract.inputs.values()))
    name = write_name(field.name)
    if random.random() < 0.1:
        return f"is_null({name})"
    if field.kind is Kind.CATEGORY:
        return _draw_category_test(random, field)
    if field.kind is Kind.BOOLEAN:
        return random.choice((name, f"{name} == true", f"{name} != false", f"true != {name}"))
    return f"({_draw_comparison(random, contract, field)})"


def _draw_category_test(random: Random, field: ContractField) -> str:
    values = list(map(_quoted, _draw_values(random, field))) if _usable(field) else []
    if not values:
        return f"is_null({write_name(field.name)})"
    if len(values) == 1:
        return f"{write_name(field.name)} {random.choice(('==', '!='))} {values[0]}"
    return f"{write_name(field.name)} {random.choice(('in', 'not in'))} ({', '.join(values)})"


def _usable(field: ContractField) -> list[str]:
    """The values that a policy can name: those without control characters."""
    return [value for value in field.categories if value.isprintable() and value not in field.unknown]


def _draw_values(random: Random, field: ContractField) -> list[str]:
    usable = _usable(field)
    return random.sample(usable, random.randint(1, min(4, len(usable))))


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _draw_comparison(random: Random, contract: Contract, field: ContractField) -> str:
    number, choice = _draw_number(random, contract, field), random.random()
    constants = [_draw_constant(random, field) for _ in range(3)]
    if choice < 0.2:
        return f"{number} {random.choice(('in', 'not in'))} [{', '.join(constants)}]"
    if choice < 0.35:
        return f"{constants[0]} {random.choice(('<', '<='))} {number} {random.choice(('<', '<='))} {constants[1]}"
    if choice < 0.5:
        other = random.choice([one for one in contract.inputs.values() if one.kind is not Kind.CATEGORY])
        return f"{number} {random.choice(_COMPARISONS)} {_draw_number(random, contract, other)}"
    return f"{number} {random.choice(_COMPARISONS)} {constants[0]}"


def _draw_number(random: Random, contract: Contract, field: ContractField) -> str:
    """A number of a field that is not a category: what `in` and comparisons take."""
    name = write_name(field.name)
    written = f"days({name})" if field.kind in _DATES else name
    if field.kind is Kind.BOOLEAN:
        written = f"({written} + 0)"  # a boolean alone is not compared with numbers
    if random.random() < 0.6:
        return written
    other = random.choice(list(contract.inputs.values()))
    second = random.choice((f"is_null({write_name(other.name)})", "0.5", "2", "0"))
    form = random.choice(
        ("({} + {})", "({} - {})", "({} * {})", "({} / {})", "min({}, {})", "max({}, {})", "abs({}) - {}")
    )
    return form.format(written, second)


def _draw_constant(random: Random, field: ContractField) -> str:
    low, high = bounds_of(field) if field.kind.is_numeric else (0.0, 20_000.0)
    number = random.choice((low, high, 0.0, 1.0, round(random.uniform(low, high), 2), random.uniform(low, high)))
    return repr(round(number)) if random.random() < 0.3 and abs(number) < 1e15 else repr(number)
