"""Expressions: against an independent evaluator of one row, in batches of any size, and of texts that are not one."""

import json
import math
import operator
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas.contract import NUMBER_MAX
from schemas.contract_parser import parse_contract
from scorer.core.expression_tokens import ExpressionError
from scorer.core.expressions import parse_condition, parse_number

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case is an expression and several applications

PURPOSES: Final = ("car", "it's", 'a "b"', "back\\slash", "größer")
NUMBERS: Final = ("income", "applicant.debt", "loan amount", "in")
BOOLEANS: Final = ("owns", "not")
DATES: Final = ("born", "seen-at")
CONTRACT: Final = parse_contract(
    json.dumps(
        {
            "type": "object",
            "properties": {
                "id": {"type": "string", "x-id": True},
                "income": {"type": "number"},
                "applicant": {"type": "object", "properties": {"debt": {"type": "number"}}},
                "loan amount": {"type": "number"},
                "in": {"type": "integer"},
                "owns": {"type": "boolean"},
                "not": {"type": "boolean"},
                "born": {"type": "string", "format": "date"},
                "seen-at": {"type": "string", "format": "date-time"},
                "purpose": {"type": "string", "enum": list(PURPOSES)},
                "comment": {"type": "string"},
            },
            "required": ["id"],
        }
    )
)
WRITTEN: Final = {"loan amount": "`loan amount`", "in": "`in`", "not": "`not`", "seen-at": "`seen-at`"}

Value = float | bool | str | None
Row = Mapping[str, Value]


@dataclass(frozen=True)
class Part:
    """A part of an expression: its text, how strongly that binds, and its value in a row, None if it is unknown."""

    text: str
    strength: int
    value: Callable[[Row], Value]
    is_boolean: bool = False

    def within(self, strength: int) -> str:
        """The text, in parentheses if it binds less strongly."""
        return self.text if self.strength >= strength else f"({self.text})"


ATOM, SIGN, PRODUCT, SUM, COMPARISON, NOT, AND, OR = range(8, 0, -1)


def finite(number: float) -> float | None:
    """A number, or None instead of one that is not finite."""
    return number if math.isfinite(number) else None


def divide(first: float, second: float) -> float:
    """Division that is infinite where Python raises an error."""
    return math.inf if second == 0 else first / second


ARITHMETIC: Final[Mapping[str, tuple[int, Callable[[float, float], float]]]] = {
    "+": (SUM, operator.add),
    "-": (SUM, operator.sub),
    "*": (PRODUCT, operator.mul),
    "/": (PRODUCT, divide),
}
ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def known(calculate: Callable[..., Value], *parts: Part) -> Callable[[Row], Value]:
    """What is calculated from the parts' values, or None if one of them is unknown."""

    def value(row: Row) -> Value:
        values = [part.value(row) for part in parts]
        return None if None in values else calculate(*values)

    return value


def as_number(part: Part) -> Part:
    """A boolean, as a number to calculate with."""
    return Part(part.text, part.strength, known(float, part), is_boolean=True)


def field(name: str) -> Part:
    """A field."""
    return Part(WRITTEN.get(name, name), ATOM, lambda row: row[name])


def null_test(name: str) -> Part:
    """Whether a field has no value."""
    return Part(f"is_null({WRITTEN.get(name, name)})", ATOM, lambda row: row[name] is None)


def constant(number: float) -> Part:
    """A number that is not negative."""
    return Part(repr(number), ATOM, lambda _: number)


def binary(first: Part, symbol: str, second: Part) -> Part:
    """Two numbers with an arithmetic operator between them."""
    strength, calculate = ARITHMETIC[symbol]
    text = f"{first.within(strength)} {symbol}{second.within(strength + 1)}"
    return Part(text, strength, known(lambda a, b: finite(calculate(a, b)), first, second))


def extreme(name: str, parts: Sequence[Part]) -> Part:
    """`min` or `max`, of which the first of equal values counts."""
    choose = min if name == "min" else max
    return Part(f"{name}({', '.join(part.text for part in parts)})", ATOM, known(lambda *n: choose(n), *parts))


def bigger_number(numbers: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    """Numbers that consist of other numbers."""
    return st.one_of(
        st.builds(binary, numbers, st.sampled_from(sorted(ARITHMETIC)), numbers),
        numbers.map(lambda part: Part(f"-{part.within(SIGN)}", SIGN, known(operator.neg, part))),
        numbers.map(lambda part: Part(f"abs({part.text})", ATOM, known(abs, part))),
        numbers.map(lambda part: Part(f"( {part.text})", ATOM, part.value, part.is_boolean)),
        st.builds(extreme, st.sampled_from(["min", "max"]), st.lists(numbers, min_size=2, max_size=3)),
    )


constants = st.one_of(
    st.sampled_from([0.0, 1.0, 0.1, 1e-300, 3e38]), st.floats(0, NUMBER_MAX), st.integers(0, 99).map(float)
)
boolean_fields = st.sampled_from(BOOLEANS).map(field)
null_tests = st.sampled_from([*NUMBERS, *BOOLEANS, *DATES, "purpose"]).map(null_test)
days = st.sampled_from(DATES).map(lambda name: Part(f"days({field(name).text})", ATOM, field(name).value))
numbers = st.recursive(
    st.one_of(
        st.sampled_from(NUMBERS).map(field),
        constants.map(constant),
        st.one_of(boolean_fields, null_tests).map(as_number),
        days,
    ),
    bigger_number,
    max_leaves=8,
)


def calculated(part: Part) -> Part:
    """A number to compare, which a boolean alone is not."""
    return binary(part, "+", constant(0.0)) if part.is_boolean else part


compared = numbers.map(calculated)


def comparison(first: Part, symbol: str, second: Part) -> Part:
    """Two numbers or booleans with a comparison between them."""
    text = f"{first.within(SUM)}{symbol} {second.within(SUM)}"
    return Part(text, COMPARISON, known(ORDER[symbol], first, second))


def chain(first: Part, symbols: tuple[str, str], second: Part, third: Part) -> Part:
    """`first < second <= third`."""
    text = f"{first.within(SUM)} {symbols[0]} {second.within(SUM)} {symbols[1]} {third.within(SUM)}"
    pairs = comparison(first, symbols[0], second), comparison(second, symbols[1], third)
    return Part(text, COMPARISON, lambda row: conjunction(pair.value(row) for pair in pairs))


def membership(part: Part, values: Sequence[float | str], *, is_list: bool, is_in: bool) -> Part:
    """A number or a category in a list of constants."""
    texts = [quoted(value) if isinstance(value, str) else repr(value) for value in values]
    listed = f"[{', '.join(texts)}]" if is_list else f"({', '.join(texts)},)"
    text = f"{part.within(SUM)} {'in' if is_in else 'not in'} {listed}"
    return Part(text, COMPARISON, known(lambda value: (value in values) is is_in, part))


def quoted(text: str) -> str:
    """A text in quotation marks."""
    mark = "'" if '"' in text else '"'
    return mark + text.replace("\\", "\\\\").replace(mark, f"\\{mark}") + mark


def category_test(value: str, symbol: str, *, is_reversed: bool) -> Part:
    """The category compared with a value."""
    operands = ["purpose", quoted(value)]
    text = f" {symbol} ".join(reversed(operands) if is_reversed else operands)
    return Part(text, COMPARISON, known(lambda purpose: ORDER[symbol](purpose, value), field("purpose")))


def conjunction(values: Iterable[Value]) -> bool | None:
    """`and` of three-valued logic."""
    known_or_not = list(values)
    return False if False in known_or_not else None if None in known_or_not else True


def disjunction(values: Iterable[Value]) -> bool | None:
    """`or` of three-valued logic."""
    known_or_not = list(values)
    return True if True in known_or_not else None if None in known_or_not else False


def bigger_condition(conditions: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    """Conditions that consist of other conditions."""

    def joined(word: str, parts: Sequence[Part]) -> Part:
        strength, join = (AND, conjunction) if word == "and" else (OR, disjunction)
        text = f" {word} ".join(part.within(strength + 1) for part in parts)
        return Part(text, strength, lambda row: join(part.value(row) for part in parts))

    return st.one_of(
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(conditions, min_size=2, max_size=3)),
        conditions.map(lambda part: Part(f"not {part.within(NOT)}", NOT, known(operator.not_, part))),
        conditions.map(lambda part: Part(f"({part.text})", ATOM, part.value)),
    )


truths = st.sampled_from([Part("true", ATOM, lambda _: True), Part("False", ATOM, lambda _: False)])
booleans = st.one_of(boolean_fields, null_tests, truths)
directions = st.sampled_from([("<", "<"), ("<", "<="), ("<=", "<"), (">", ">="), (">=", ">=")])
conditions = st.recursive(
    st.one_of(
        booleans,
        st.builds(comparison, booleans, st.sampled_from(["==", "!="]), booleans),
        st.builds(comparison, compared, st.sampled_from(sorted(ORDER)), compared),
        st.builds(chain, compared, directions, compared, compared),
        st.builds(
            membership,
            compared,
            st.lists(st.one_of(constants, constants.map(operator.neg)), min_size=1, max_size=20),
            is_list=st.booleans(),
            is_in=st.booleans(),
        ),
        st.builds(
            membership,
            st.just(field("purpose")),
            st.lists(st.sampled_from(PURPOSES), min_size=1, max_size=4),
            is_list=st.booleans(),
            is_in=st.booleans(),
        ),
        st.builds(category_test, st.sampled_from(PURPOSES), st.sampled_from(["==", "!="]), is_reversed=st.booleans()),
    ),
    bigger_condition,
    max_leaves=6,
)

values_of_numbers = st.one_of(
    st.none(), st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324, 0.3, NUMBER_MAX]), st.floats(-NUMBER_MAX, NUMBER_MAX)
)
rows = st.fixed_dictionaries(
    {
        **dict.fromkeys(NUMBERS, values_of_numbers),
        **dict.fromkeys(BOOLEANS, st.sampled_from([True, False, None])),
        **dict.fromkeys(DATES, st.one_of(st.none(), st.floats(-719_162, 2_932_897))),
        "purpose": st.sampled_from([*PURPOSES, None]),
    }
)
batches = st.lists(rows, min_size=1, max_size=20)


def columns_of(batch: Sequence[Row]) -> dict[str, NDArray[Any]]:
    """The columns of a batch."""
    columns: dict[str, NDArray[Any]] = {
        name: np.array([math.nan if row[name] is None else row[name] for row in batch], dtype=np.float64)
        for name in (*NUMBERS, *BOOLEANS, *DATES)
    }
    codes = [-1 if row["purpose"] is None else PURPOSES.index(str(row["purpose"])) for row in batch]
    return {**columns, "purpose": np.array(codes, dtype=np.int32)}


def bits(number: Value) -> bytes:
    """The bits of a number; unknown is one NaN."""
    return struct.pack("=d", math.nan if number is None else number)


def uses_a_field(part: Part) -> bool:
    """Whether the text names a field: a constant would have no rows."""
    return any(word in part.text for word in (*NUMBERS, *BOOLEANS, *DATES, "purpose") if word not in {"in", "not"}) or (
        "`in`" in part.text or "`not`" in part.text
    )


@law
@given(numbers.filter(uses_a_field), batches)
def test_numbers_are_those_of_an_independent_evaluator(part: Part, batch: list[Row]) -> None:
    """A number has the bits that an evaluator of one row calculates, and the same bits in a batch and alone."""
    expression = parse_number(part.text, CONTRACT)
    evaluated = expression.evaluate(columns_of(batch))
    assert (evaluated.dtype.name, evaluated.shape) == ("float64", (len(batch),))
    assert evaluated.tobytes() == b"".join(bits(part.value(row)) for row in batch)
    assert evaluated.tobytes() == b"".join(expression.evaluate(columns_of([row])).tobytes() for row in batch)


@law
@given(conditions.filter(uses_a_field), batches)
def test_conditions_are_those_of_an_independent_evaluator(part: Part, batch: list[Row]) -> None:
    """A condition holds where an evaluator of one row, in three-valued logic, finds true; in a batch and alone."""
    condition = parse_condition(part.text, CONTRACT)
    evaluated = condition.evaluate(columns_of(batch))
    assert (evaluated.dtype.name, evaluated.shape) == ("bool", (len(batch),))
    assert evaluated.tolist() == [part.value(row) is True for row in batch]
    assert evaluated.tolist() == [condition.evaluate(columns_of([row])).item() for row in batch]


@law
@given(conditions.filter(uses_a_field), batches)
def test_a_condition_or_its_negation_or_neither_holds(part: Part, batch: list[Row]) -> None:
    """A condition and its negation never both hold, and a double negation changes nothing."""
    columns = columns_of(batch)
    holds = parse_condition(part.text, CONTRACT).evaluate(columns)
    negated = parse_condition(f"not ({part.text})", CONTRACT).evaluate(columns)
    assert not (holds & negated).any()
    assert (parse_condition(f"not (not ({part.text}))", CONTRACT).evaluate(columns) == holds).all()


WORDS: Final = (
    *NUMBERS, *BOOLEANS, *DATES, "purpose", "comment", "id", "`loan amount`", "`in`", "'car'", '"', "'", "`", "\\",
    "1", "1e", ".5", "1e999", "0x1", "1j", "nan", "inf", "None", "true", "and", "or", "not", "in", "is", "if", "else",
    "lambda", "for", "await", "yield", "import", "min(", "max(", "abs(", "days(", "is_null(", "eval(", "__import__(",
    "f'", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", ":=", "=", "==", "!=", "<", "<=", ">", "-", "+", "*", "/",
    "**", "//", "%", "@", "&", "|", "^", "~", "!", "#", "\n", "\0", "\ud800", "é", "≤", "\u202e",
)  # fmt: skip


@law
@given(
    st.one_of(
        st.text(max_size=50),
        st.lists(st.sampled_from(WORDS), max_size=20).map(" ".join),
        st.lists(st.sampled_from(WORDS), max_size=20).map("".join),
        st.builds(
            lambda part, word, at: part.text[: at % len(part.text)] + word + part.text[at % len(part.text) :],
            st.one_of(numbers, conditions),
            st.sampled_from(WORDS),
            st.integers(0, 1_000),
        ),
    )
)
@example("(" * 1_000 + "income" + ")" * 1_000)
@example("income" + " + income" * 100_000)
@example("-" * 9_999 + "1")
@example("not " * 2_000 + "owns")
@example("min(1," * 1_000 + "1" + ")" * 1_000)
def test_no_text_raises_another_error(text: str) -> None:
    """Any text is an expression or raises ExpressionError, in one line that can be shown on a terminal."""
    for parse in (parse_number, parse_condition):
        fault = ""
        try:
            assert set(parse(text, CONTRACT).fields) <= CONTRACT.inputs.keys()
        except ExpressionError as error:
            fault = str(error)
        assert fault.isprintable()
