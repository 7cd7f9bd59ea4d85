"""Expressions over a contract's fields: numbers for derived columns, and conditions for rules of the policy.

The grammar is closed; nothing of a text is ever run as code. Operators bind as in Python, from weak to strong:

    condition   a or b    a and b    not a    a comparison    a boolean field    is_null(field)    true    false
    comparison  x < y    <=  >  >=  ==  !=    x in (1, 2)    x not in [1, 2]    0 < x <= 5    purpose == "car"
    number      x + y    x - y    x * y    x / y    -x    (x)    min(x, y, …)    max(x, y, …)    abs(x)
                days(date)    is_null(field)    1000    0.5    1e6    a field
    field       income    applicant.income    `loan amount`    `applicant.in`    `a``b`

- A field is written by its name, the dotted path. A name that is not made of plain identifiers (ASCII letters, digits,
  underscores), or that is a word of the grammar (`and or not in true false`), is written whole in backticks, as in
  pandas' `query`; a backtick within it is doubled. Names of functions are only special before a parenthesis.
- Numbers, integers and booleans (0 and 1) can be calculated with. A date counts as days since 1970-01-01, by
  `days(field)`: for date-times in UTC, with a fraction. `is_null` works for fields of all of these kinds and for
  categories. Texts, among them the id, are not part of expressions.
- A category is compared with texts in single or double quotation marks: by `==`, `!=`, `in` or `not in`, and only with
  values that the contract lists. A backslash may come before a quotation mark or a backslash.
- A boolean is compared, by `==` or `!=`, with another one or with `true` or `false` (or `True`, `False`).
- Comparisons can be chained in one direction: `0.2 < x <= 0.4` means `0.2 < x and x <= 0.4`.
- Numbers are calculated in float64, in the order in which they are written. Division by zero, overflow, and whatever
  is calculated from an unknown value is unknown.

Conditions follow SQL's three-valued logic: a comparison with an unknown value is neither true nor false, and neither
is its negation; a rule applies only if its condition is true. So a rule about a value never applies to an application
without it, `not (income >= 1000)` always means the same as `income < 1000`, and a rule can be turned around without
hitting applicants of whom nothing is known. `true or unknown` is true and `false and unknown` is false. A rule that is
meant for unknown values says so: `income < 1000 or is_null(income)`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract
from scorer.core.evaluation import Columns, Program, evaluate_condition, evaluate_number
from scorer.core.expression_tokens import fault_at
from scorer.core.expression_translation import translate_condition, translate_number
from scorer.core.expression_tree import ExpressionTree


@dataclass(frozen=True, slots=True)
class NumberExpression:
    """An expression whose value is a number or unknown.

    Attributes:
        text: as it was written.
        fields: the names of the fields that it uses, at least one, in the order of the text.
        program: its steps.
    """

    text: str
    fields: tuple[str, ...]
    program: Program

    def evaluate(self, columns: Columns) -> NDArray[np.float64]:
        """Evaluates it on a batch.

        Args:
            columns: those of its fields, as `scorer.core.evaluation.Columns` describes them, each of shape (n,).

        Returns:
            Shape (n,): finite, or NaN for unknown. A row has the same bits in every batch.
        """
        return evaluate_number(self.program, columns)


@dataclass(frozen=True, slots=True)
class Condition:
    """An expression that holds or not; it does not hold if that is unknown.

    Attributes:
        text: as it was written.
        fields: the names of the fields that it uses, at least one, in the order of the text.
        program: its steps.
    """

    text: str
    fields: tuple[str, ...]
    program: Program

    def evaluate(self, columns: Columns) -> NDArray[np.bool_]:
        """Evaluates it on a batch.

        Args:
            columns: those of its fields, as `scorer.core.evaluation.Columns` describes them, each of shape (n,).

        Returns:
            Shape (n,): whether it holds.
        """
        return evaluate_condition(self.program, columns)


def parse_number(text: str, contract: Contract) -> NumberExpression:
    """Parses the expression of a derived column.

    Raises:
        ExpressionError: it is not in the grammar, or does not fit the contract.
    """
    tree = ExpressionTree(text, contract)
    program = translate_number(tree)
    return NumberExpression(text, _names_of(tree, text), program)


def parse_condition(text: str, contract: Contract) -> Condition:
    """Parses the condition of a rule.

    Raises:
        ExpressionError: it is not in the grammar, or does not fit the contract.
    """
    tree = ExpressionTree(text, contract)
    program = translate_condition(tree)
    return Condition(text, _names_of(tree, text), program)


def _names_of(tree: ExpressionTree, text: str) -> tuple[str, ...]:
    if not tree.names:
        raise fault_at(text, 0, "the expression names no field, so that all applications would have the same value")
    return tree.names
