"""Expressions: what each part of the grammar means."""

import copy
import json
import pickle
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from scorer.core.expression_tokens import ExpressionError, write_name
from scorer.core.expressions import parse_condition, parse_number

pytestmark = pytest.mark.quick

NAN: Final = float("nan")


def contract_of(**properties: object) -> Contract:
    """A contract with an id and these fields."""
    identity = {"id": {"type": "string", "x-id": True}}
    return parse_contract(json.dumps({"type": "object", "properties": {**identity, **properties}, "required": ["id"]}))


CONTRACT: Final = contract_of(
    income={"type": ["number", "null"]},
    debt={"type": "number"},
    owns={"type": "boolean"},
    purpose={"type": "string", "enum": ["car", "home", "other"], "x-unknown": ["?"]},
    born={"type": "string", "format": "date"},
    seen={"type": "string", "format": "date-time"},
    note={"type": "string"},
    **{"loan amount": {"type": "number"}, "in": {"type": "integer"}, "a`b": {"type": "number"}},
    applicant={"type": "object", "properties": {"age": {"type": "integer"}, "größe": {"type": "number"}}},
)
COLUMNS: Final[dict[str, NDArray[Any]]] = {
    "income": np.array([1000.0, 0.0, NAN, -0.0]),
    "debt": np.array([300.0, 5.0, 7.0, NAN]),
    "owns": np.array([1.0, 0.0, NAN, 1.0]),
    "purpose": np.array([0, 1, -1, 2], dtype=np.int16),
    "born": np.array([-1.0, 0.0, NAN, 7305.0]),
    "seen": np.array([0.5, NAN, 1.0, 7305.25]),
    "loan amount": np.array([10.0, 20.0, 30.0, 40.0]),
    "in": np.array([1.0, 2.0, 3.0, 4.0]),
    "a`b": np.array([1.0, 1.0, 1.0, 1.0]),
    "applicant.age": np.array([18.0, 40.0, 65.0, NAN]),
    "applicant.größe": np.array([1.5, 1.6, 1.7, 1.8]),
}


def number(text: str) -> list[float | None]:
    """The values of a number; None is unknown."""
    values = parse_number(text, CONTRACT).evaluate(COLUMNS)
    return [None if np.isnan(value) else float(value) for value in values]


def condition(text: str) -> list[int]:
    """The rows where a condition holds."""
    return list(np.flatnonzero(parse_condition(text, CONTRACT).evaluate(COLUMNS)))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("debt / 2 + 1", [151, 3.5, 4.5, None]),
        ("2 * debt - debt - debt / 10", [270, 4.5, 6.3, None]),
        ("2 * (debt + 1)", [602, 12, 16, None]),
        ("-debt - -1", [-299, -4, -6, None]),
        ("debt / income", [0.3, None, None, None]),
        ("income / income", [1, None, None, None]),
        ("min(debt, 6, 100)", [6, 5, 6, None]),
        ("max(income, debt)", [1000, 5, None, None]),
        ("abs(debt - 301)", [1, 296, 294, None]),
        ("days(seen) - days(born)", [1.5, None, None, 0.25]),
        ("is_null(income) + is_null(purpose) + is_null(debt)", [0, 0, 2, 1]),
        ("is_null(born) * 2", [0, 0, 2, 0]),
        ("owns * 10", [10, 0, None, 10]),
        ("owns", [1, 0, None, 1]),
        ("`loan amount`/\n\t10", [1, 2, 3, 4]),
        ("`in` + `a``b`", [2, 3, 4, 5]),
        ("applicant.age / 1", [18, 40, 65, None]),
        ("`applicant.age` / 1e0", [18, 40, 65, None]),
        ("`applicant.größe` * 10.", [15, 16, 17, 18]),
        ("debt * .5", [150, 2.5, 3.5, None]),
    ],
)
def test_numbers(text: str, values: list[float | None]) -> None:
    """Each part of a number means what the grammar says; what has no value is unknown."""
    assert number(text) == values


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("debt > 5", [0, 2]),
        ("debt >= 5 and debt != 7", [0, 1]),
        ("5 <= debt < 300", [1, 2]),
        ("300 > debt >= 5", [1, 2]),
        ("debt == 5 or debt == 7", [1, 2]),
        ("debt in (5, -7, 300)", [0, 1]),
        ("debt not in [5]", [0, 2]),
        ("debt * 2 in (10)", [1]),
        ("-income in (-1000,)", [0]),
        ("income == 0", [1, 3]),
        ("purpose == 'car'", [0]),
        ('"car" != purpose', [1, 3]),
        ('purpose in ("car", "home")', [0, 1]),
        ('purpose not in ["car", "home"]', [3]),
        ('purpose in "car"', [0]),
        ("is_null(purpose)", [2]),
        ("not is_null(purpose)", [0, 1, 3]),
        ("owns", [0, 3]),
        ("not owns", [1]),
        ("owns == false", [1]),
        ("owns != True", [1]),
        ("owns == is_null(born)", [1]),
        ("true and not False and owns", [0, 3]),
        ("owns or true", [0, 1, 2, 3]),
        ("days(born) < 0 or is_null(born)", [0, 2]),
        ("debt / income > 0", [0]),
    ],
)
def test_conditions(text: str, rows: list[int]) -> None:
    """Each part of a condition means what the grammar says."""
    assert condition(text) == rows


def test_a_rule_about_a_value_never_applies_without_it() -> None:
    """A comparison with an unknown value is neither true nor false, as in SQL: its negation does not hold either."""
    assert condition("income < 1000") == condition("not income >= 1000") == [1, 3]
    assert condition("not (income >= 1000 and debt > 0)") == [1, 3]
    assert condition("purpose != 'car'") == condition("not purpose == 'car'") == [1, 3]
    assert condition("not (debt == 5 or debt == 7)") == condition("debt not in (5, 7)") == [0]
    assert condition("not 5 <= debt < 10") == [0]
    assert condition("is_null(income) or income < 1000") == [1, 2, 3]


def test_unknown_parts_of_and_and_or_matter_only_if_the_others_do_not_decide() -> None:
    """False and unknown is false, true or unknown is true; the rest is unknown."""
    columns = {"owns": np.array([1.0, 0.0, NAN]), "income": np.array([NAN, NAN, NAN])}
    for text, rows in [
        ("owns or income > 0", [True, False, False]),
        ("not (owns and income > 0)", [False, True, False]),
        ("not (owns or income > 0)", [False, False, False]),
        ("owns and income > 0", [False, False, False]),
    ]:
        assert parse_condition(text, CONTRACT).evaluate(columns).tolist() == rows


def test_overflow_is_unknown_at_once() -> None:
    """What is too large for a double stays unknown: dividing by it, or the smaller of it and 1, is not known again."""
    columns = {"debt": np.array([3e38, -3e38, 1.0])}
    huge = " * ".join(["debt"] * 9)
    for text in (huge, f"1 / ({huge})", f"min({huge}, 1)", f"is_null(debt) / ({huge})", f"1 / (1 / (({huge}) * 0))"):
        assert np.isnan(parse_number(text, CONTRACT).evaluate(columns)[:2]).all()
    for text in (f"{huge} > 0", f"not {huge} > 0", f"{huge} in (1, 2)", f"{huge} not in (1, 2)"):
        assert not parse_condition(text, CONTRACT).evaluate(columns)[:2].any()


def test_numbers_are_added_in_the_order_of_the_text() -> None:
    """Nothing is reordered or calculated in advance: rounding depends on the order alone."""
    columns = {"debt": np.array([1e16])}
    assert parse_number("debt + 1 + 1 - debt", CONTRACT).evaluate(columns).tolist() == [0]
    assert parse_number("debt + (1 + 1) - debt", CONTRACT).evaluate(columns).tolist() == [2]
    assert parse_number("0.1 + 0.2 - 0.3 + debt * 0", CONTRACT).evaluate(columns)[0] == 0.1 + 0.2 - 0.3


def test_zeros_and_unknown_values_have_the_same_bits_in_every_batch() -> None:
    """The sign of a zero that min and max return, and the bits of NaN, do not depend on a batch's size."""
    for text in ("min(income, debt)", "max(income, debt)", "min(debt, 0)", "-income - debt", "-income"):
        expression = parse_number(text, CONTRACT)
        batch = {"income": np.array([0.0, -0.0, NAN, 1.0] * 9), "debt": np.array([-0.0, 0.0, 1.0, -NAN] * 9)}
        rows = [{name: column[i : i + 1] for name, column in batch.items()} for i in range(36)]
        assert expression.evaluate(batch).tobytes() == b"".join(expression.evaluate(row).tobytes() for row in rows)
        unknown = expression.evaluate(batch)[2::4]
        assert {value.tobytes() for value in unknown if np.isnan(value)} <= {np.float64(np.nan).tobytes()}


def test_results_are_no_views_and_columns_stay_unchanged() -> None:
    """An expression that is only a field returns a copy of its column."""
    column = np.array([1.0, -NAN])
    column.flags.writeable = False
    values = parse_number("debt", CONTRACT).evaluate({"debt": column})
    values[0] = 2
    assert column[0] == 1


def test_a_batch_may_be_empty() -> None:
    """No rows give no values."""
    empty = {name: column[:0] for name, column in COLUMNS.items()}
    assert parse_number("1 / 0 + min(debt, 2)", CONTRACT).evaluate(empty).shape == (0,)
    assert parse_condition("true or purpose in ('car', 'home')", CONTRACT).evaluate(empty).shape == (0,)


def test_expressions_are_values() -> None:
    """Expressions name their fields in the order of the text, compare by content, and can be copied and sent."""
    expression = parse_number("debt / `loan amount` + debt * is_null(purpose)", CONTRACT)
    assert expression.fields == ("debt", "loan amount", "purpose")
    assert parse_condition("is_null(born) == owns", CONTRACT).fields == ("born", "owns")
    again = pickle.loads(pickle.dumps(copy.deepcopy(expression)))  # noqa: S301
    assert again == expression
    assert hash(again) == hash(expression)
    with pytest.raises(AttributeError):
        expression.text = ""  # type: ignore[misc]
    assert isinstance(pickle.loads(pickle.dumps(ExpressionError("column 1: x"))), ExpressionError)  # noqa: S301


@pytest.mark.parametrize(
    "name", ["income", "applicant.age", "loan amount", "in", "true", "a`b", "größe", "2", "a.", "min"]
)
def test_names_are_written_so_that_they_can_be_read(name: str) -> None:
    """A name is written bare or in backticks, and means the same field again."""
    contract = contract_of(**{name: {"type": "number"}})
    assert parse_number(f"{write_name(name)} + 1", contract).fields == (name,)


@pytest.mark.parametrize(
    ("value", "written"),
    [("it's", r"'it\'s'"), ("it's", '"it\'s"'), ('"', r'"\""'), ("\\", r"'\\'"), ("a\nb", "'a\nb'")],
)
def test_any_category_can_be_written(value: str, written: str) -> None:
    """A value with quotation marks, backslashes or line breaks can be written."""
    contract = contract_of(kind={"type": "string", "enum": ["x", value]})
    holds = parse_condition(f"kind == {written}", contract).evaluate({"kind": np.array([0, 1, -1])})
    assert holds.tolist() == [False, True, False]
