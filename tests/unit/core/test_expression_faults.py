"""Expressions: the one error that every text outside the grammar, and every part that does not fit, is."""

import json
from typing import Final

import numpy as np
import pytest

from schemas.contract_parser import parse_contract
from scorer.core.expression_tokens import CHARACTERS_MAX, DEPTH_MAX, TOKENS_MAX, ExpressionError
from scorer.core.expressions import parse_condition, parse_number

pytestmark = pytest.mark.quick

CONTRACT: Final = parse_contract(
    json.dumps(
        {
            "type": "object",
            "properties": {
                "id": {"type": "string", "x-id": True},
                "income": {"type": ["number", "null"]},
                "debt": {"type": "number"},
                "loan amount": {"type": "number"},
                "owns": {"type": "boolean"},
                "purpose": {"type": "string", "enum": ["car", "home", "other"], "x-unknown": ["?"]},
                "born": {"type": "string", "format": "date"},
                "seen": {"type": "string", "format": "date-time"},
                "note": {"type": "string"},
                "applicant": {"type": "object", "properties": {"age": {"type": "integer"}}},
            },
            "required": ["id"],
        }
    )
)
COLUMNS: Final = {"debt": np.ones(4), "owns": np.ones(4)}


def fault_of_number(text: str) -> str:
    """The message about a text that is not a number."""
    with pytest.raises(ExpressionError) as caught:
        parse_number(text, CONTRACT)
    return str(caught.value)


def fault_of_condition(text: str) -> str:
    """The message about a text that is not a condition."""
    with pytest.raises(ExpressionError) as caught:
        parse_condition(text, CONTRACT)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "the expression is empty"),
        (" \n", "the expression is empty"),
        ("incme + 1", "column 1: unknown field incme; did you mean income?"),
        ("1 + INCOME", "column 5: unknown field INCOME; did you mean income?"),
        ("2 * age", "column 5: unknown field age; did you mean applicant.age?"),
        ("loan_amount", "column 1: unknown field loan_amount; did you mean `loan amount`?"),
        ("xyz", "column 1: unknown field xyz; it is not in the contract"),
        ("income - nan", "column 10: unknown field nan; to find out whether a field has a value, write is_null(field)"),
        ("id + 1", "column 1: id identifies the application; expressions cannot use it"),
        ("is_null(id)", "column 9: id identifies the application; expressions cannot use it"),
        ("note + 1", "column 1: note is a text, which expressions cannot use; with an enum it would be a category"),
        ("1 +\n  purpose", "line 2, column 3: a category is not a number; compare it with its values, for instance"),
        ("born + 1", "column 1: a date is not a number; write days(…) around the field"),
        ("seen", "column 1: a date is not a number; write days(…) around the field"),
        ("days(income)", "column 6: days needs a date or date-time; this is a field of kind number"),
        ("days(born + 1)", "column 6: a field is needed here, not a value or a calculation"),
        ("is_null(income + 1)", "column 9: a field is needed here, not a value or a calculation"),
        ("debt + 'car'", "column 8: a text is not a number; the name of a field is written without quotation marks"),
        ("true + debt", "column 1: true is not a number; write 1 or 0"),
        ("(debt > 1) * 2", "column 2: a condition is not a number"),
        ("debt > 1", "column 1: a condition is not a number"),
        ("debt, income", "column 1: a list is only possible after `in`; remove the comma or the square brackets"),
        ("1 + 2", "column 1: the expression names no field, so that all applications would have the same value"),
        ("1e39 * debt", "column 1: the number is too large; no number of an application is above 3.4e+38"),
        ("debt * 1e999", "column 8: the number is too large"),
        ("9" * 9_000 + "+ debt", "column 1: the number is too large"),
        ("min(debt)", "column 1: min needs at least two numbers, separated by commas"),
        ("abs(debt, 1)", "column 1: abs needs one argument, not 2"),
        ("MAX(debt, 1)", "column 1: unknown function MAX; did you mean max?"),
        ("sqrt(debt)", "column 1: unknown function sqrt; the functions are abs, days, is_null, max, min"),
    ],
)
def test_what_does_not_fit_the_contract(text: str, fault: str) -> None:
    """Each part that does not fit is named by its column, with what to write instead."""
    assert fault_of_number(text).startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("purpose == 'cars'", "column 12: cars is not a value of purpose; did you mean car?"),
        ("purpose in ('car', 'xyz')", "column 20: xyz is not a value of purpose; its values are in the contract"),
        ("purpose != '?'", "column 12: ? means unknown in the contract; write is_null(purpose)"),
        ("purpose < 'car'", "column 1: a category has no order; compare it by ==, != or in"),
        ("3 == purpose", "column 1: a category is compared with its values, each in quotation marks"),
        ("purpose == purpose", "column 12: a category is compared with its values, each in quotation marks"),
        ("purpose in ('car', 3)", "column 20: a category is compared with its values, each in quotation marks"),
        ("purpose", "column 1: a category is not a condition; compare it with something"),
        ("debt", "column 1: a number is not a condition; compare it with something"),
        ("debt > 1 and debt", "column 14: a number is not a condition; compare it with something"),
        ("debt == 'car'", "column 9: a text is not a number"),
        ("born < '2020-01-01'", "column 1: a date is not a number; write days(…) around the field"),
        ("owns == 1", "column 1: a boolean is compared with true, false or a boolean, not with a number"),
        ("debt > true", "column 8: a boolean is compared with true, false or a boolean, not with a number"),
        ("owns < true", "column 1: a boolean has no order; compare it by == or !="),
        ("owns in (true, false)", "column 1: a boolean is compared by == or !=, not by in"),
        ("(debt > 1) == owns", "column 2: a condition is not a number"),
        ("debt in (income, 1)", "column 10: a constant number is needed here"),
        ("debt in (1 + 1, 1)", "column 10: a constant number is needed here"),
        ("debt in ((1, 2), 1)", "column 10: a constant number is needed here"),
        ("1 < debt > 2", "column 1: only < and <=, or > and >=, are chained, as in 1 < x <= 5; join others by and"),
        ("debt != income != 2", "column 1: only < and <=, or > and >=, are chained"),
        ("debt in (1, 2) == owns", "column 1: only < and <=, or > and >=, are chained"),
        ("true", "column 1: the expression names no field"),
    ],
)
def test_conditions_that_do_not_fit(text: str, fault: str) -> None:
    """Comparisons of things that cannot be compared are named by their column, with what to write instead."""
    assert fault_of_condition(text).startswith(fault)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("debt ** 2", "column 6: `**` is not part of expressions"),
        ("debt // 2", "column 6: `//` is not part of expressions"),
        ("debt % 2", "column 6: `%` is not part of expressions"),
        ("debt & 2", "column 6: `&` is not part of expressions; write `and`"),
        ("debt | 2", "column 6: `|` is not part of expressions; write `or`"),
        ("~debt", "column 1: `~` is not part of expressions"),
        ("debt << 2", "column 6: `<<` is not part of expressions"),
        ("debt = 2", "column 6: `=` is not part of expressions; write `==`"),
        ("debt ≥ 2", "column 6: `≥` is not part of expressions; write `>=`"),
        ("(debt := 2)", "column 7: `:=` is not part of expressions"),
        ("lambda: debt", "column 7: `:` is not part of expressions"),
        ("debt @ 2", "column 6: `@` is not part of expressions"),
        ("debt; 2", "column 5: `;` is not part of expressions"),
        ("debt # 2", "column 6: `#` is not part of expressions"),
        ("{debt}", "column 1: `{` is not part of expressions"),
        ("\0", "column 1: `\N{REPLACEMENT CHARACTER}` is not part of expressions"),
        ("\ud800", "column 1: `\N{REPLACEMENT CHARACTER}` is not part of expressions"),
        ("größe", "column 1: a name that is not a plain identifier is written whole in backticks"),
        (
            "été",
            "column 1: `é` is not part of expressions; a name that is not a plain identifier is written in backticks",
        ),
        ("applicant.`age`", "column 1: a name that is not a plain identifier is written whole in backticks"),
        ("debt.", "column 1: a name that is not a plain identifier is written whole in backticks"),
        ("`debt", "column 1: this backtick starts a name that does not end"),
        ("'car", "column 1: this ' starts a text that does not end"),
        ("'\\x41'", "column 1: this ' starts a text that does not end; within it, a \\ comes before a ' or \\ only"),
        ("f'car'", "column 1: a text has no prefix; remove f before the quotation mark"),
        ("0x10", "column 1: a number is written as 1000, 0.5 or 1e6, in decimal digits"),
        ("1_000", "column 1: a number is written as"),
        ("1j", "column 1: a number is written as"),
        ("1.2.3", "column 1: a number is written as"),
        (
            "debt[0]",
            "column 5: a value can be neither called nor subscripted; is an operator missing before the bracket?",
        ),
        ("(debt)(1)", "column 7: a value can be neither called nor subscripted"),
        ("debt.real(1)", "column 1: unknown function debt.real"),
        ("__import__('os').system('x')", "column 17: `.` is not part of expressions"),
        ("__import__('os')", "column 1: unknown function __import__"),
        ("eval('debt')", "column 1: unknown function eval"),
        ("debt.__class__", "column 1: unknown field debt.__class__"),
        ("[x for x in debt]", "column 4: `for` follows a value; is an operator missing?"),
        ("1 if debt else 2", "column 3: `if` follows a value; is an operator missing?"),
        ("debt is null", "column 6: `is` follows a value; write `is_null(field)` or `==`"),
        ("debt AND owns", "column 6: `AND` follows a value; write `and`"),
        ("min(*debt)", "column 5: a value is missing before `*`"),
        ("min(debt, x=1)", "column 12: `=` is not part of expressions; write `==`"),
        ("+debt", "column 1: a sign + is not part of expressions; remove it"),
        ("* debt", "column 1: a value is missing before `*`"),
        ("debt + * 2", "column 8: a value is missing before `*`"),
        ("debt +", "column 7: the expression ends after `+`; a value is missing"),
        ("()", "column 2: a value is missing before `)`"),
        ("debt in ()", "column 10: a value is missing before `)`"),
        ("min(debt, , 2)", "column 11: a value is missing before `,`"),
        ("(debt", "column 1: `(` is not closed"),
        ("(debt]", "column 6: `]` closes nothing; is an opening bracket missing?"),
        ("debt)", "column 5: `)` closes nothing; is an opening bracket missing?"),
        ("in > 1", "column 1: a value is missing before `in`"),
        ("-not owns", "column 2: `not` is not possible here; are parentheses missing?"),
        ("debt not 3", "column 10: `3` is not possible here; are parentheses missing?"),
    ],
)
def test_what_is_not_in_the_grammar(text: str, fault: str) -> None:
    """Whatever Python knows beyond the grammar is one error for numbers and conditions, at its column."""
    assert fault_of_number(text).startswith(fault)
    assert fault_of_condition(text).startswith(fault)


def test_limits_are_reached_before_the_parser_is() -> None:
    """An expression at each limit is parsed; one above it is one error, however far above it is."""
    deepest = "(" * DEPTH_MAX + "debt" + ")" * DEPTH_MAX
    for text in (deepest, "-" * DEPTH_MAX + "debt", "debt" + " + debt" * (TOKENS_MAX // 2 - 1)):
        assert parse_number(text, CONTRACT).evaluate(COLUMNS).shape == (4,)
    assert parse_condition("not " * DEPTH_MAX + "owns", CONTRACT).fields == ("owns",)
    long = "debt" + " " * (CHARACTERS_MAX - 4)
    assert parse_number(long, CONTRACT).fields == ("debt",)
    assert fault_of_number(long + " ") == "the expression has more than 10,000 characters; split it in two"
    for text in (
        f"({deepest})",
        "(" * 900 + "debt",
        "-" * 900 + "debt",
        "not " * 900,
        "min(1, -" * 180,
        "- (" * 400,
    ):
        assert "the expression is nested more than 32 deep; split it in two" in fault_of_number(text)
    for text in ("debt" + " + debt" * 500, "debt " * 2_000, "1," * 4_000, "(" * 9_000, "-" * 9_000):
        assert "the expression has more than 1,000 parts; split it in two" in fault_of_number(text)
    for text in ("(" * 100_000, "debt + " * 1_000_000, "`" * 20_000, "'" * 20_000, "\\" * 20_000):
        assert "characters" in fault_of_number(text)


def test_the_deepest_expressions_need_few_frames() -> None:
    """Each level uses a function, a sum, a product, a sign and a negation: parsing and evaluating it works."""
    text = "debt"
    while text.count("(") + text.count("-") < DEPTH_MAX - 3:
        text = f"1 + 2 * -min(1, {text})"
    parse_condition(f"owns and (not {text} > 1 or owns)", CONTRACT).evaluate(COLUMNS)


def test_long_names_are_shown_in_part() -> None:
    """A message stays short and printable, whatever names the text has."""
    fault = fault_of_number("`" + "x\u202e" * 2_000 + "`")
    assert len(fault) < 150
    assert fault.isprintable()
