"""Parses an expression to a tree, and finds out from the contract what its parts are.

Python's `ast` only tells what binds how: it is given a text that consists of operators, brackets and, for each value
and each function's name, a placeholder. What the placeholders are, the tokens tell.
"""

import ast
import difflib
from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum
from typing import Final

from schemas.contract import NUMBER_MAX, Contract, ContractField, Kind
from schemas.contract_faults import shown
from scorer.core.expression_tokens import ExpressionError, Token, TokenKind, fault_at, read_tokens, write_name

FUNCTIONS: Final = ("abs", "days", "is_null", "max", "min")
_NULLS: Final = frozenset({"null", "none", "nan", "missing", "unknown"})


class Type(Enum):
    """The types of parts of an expression; the value is the name for messages."""

    NUMBER = "a number"
    BOOLEAN = "a boolean"
    CATEGORY = "a category"
    DATE = "a date"
    TEXT = "a text"
    CONDITION = "a condition"
    LIST = "a list"


_OF_FIELDS: Final = {
    Kind.NUMBER: Type.NUMBER,
    Kind.INTEGER: Type.NUMBER,
    Kind.BOOLEAN: Type.BOOLEAN,
    Kind.CATEGORY: Type.CATEGORY,
    Kind.DATE: Type.DATE,
    Kind.DATE_TIME: Type.DATE,
}
_OF_CONSTANTS: Final = {
    TokenKind.NUMBER: Type.NUMBER,
    TokenKind.BOOLEAN: Type.BOOLEAN,
    TokenKind.TEXT: Type.TEXT,
}


class ExpressionTree:
    """The tree of an expression.

    Attributes:
        root: its topmost node.
    """

    def __init__(self, text: str, contract: Contract) -> None:
        """Parses an expression.

        Raises:
            ExpressionError: it is not in the grammar.
        """
        self._text = text
        self._contract = contract
        self._tokens = read_tokens(text)
        # Every part and the space after it, so that a node's position tells its token.
        parts = [token.text if token.kind is TokenKind.SYMBOL else f"_{i}" for i, token in enumerate(self._tokens)]
        self._starts = [0]
        for part in parts[:-1]:
            self._starts.append(self._starts[-1] + len(part) + 1)
        try:
            self.root = ast.parse(" ".join(parts), mode="eval").body
        except SyntaxError as error:
            token = self._token_at((error.offset or 1) - 1)
            problem = f"`{shown(token.text)}` is not possible here; are parentheses missing?"
            raise fault_at(text, token.offset, problem) from None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of fields in it, each once, in the order of the text."""
        return tuple(dict.fromkeys(token.text for token in self._tokens if token.kind is TokenKind.NAME))

    def fault(self, node: ast.expr, problem: str) -> ExpressionError:
        """The error about a node, with its column."""
        return fault_at(self._text, self.token(node).offset, problem)

    def token(self, node: ast.expr) -> Token:
        """The token with which a node starts; of a constant, a field or a call the only one, or the function's."""
        return self._token_at(node.col_offset)

    def _token_at(self, position: int) -> Token:
        return self._tokens[bisect_right(self._starts, position) - 1]

    def type_of(self, node: ast.expr) -> Type:
        """The type of a node.

        Raises:
            ExpressionError: it is an unknown field or function, or not part of the grammar.
        """
        match node:
            case ast.Name():
                constant = _OF_CONSTANTS.get(self.token(node).kind)
                return constant or _OF_FIELDS[self.field(node).kind]
            case ast.Call():
                return Type.BOOLEAN if self.function(node) == "is_null" else Type.NUMBER
            case ast.BinOp() | ast.UnaryOp(op=ast.USub()):
                return Type.NUMBER
            case ast.Compare() | ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                return Type.CONDITION
            case ast.Tuple() | ast.List():
                return Type.LIST
            case _:
                raise self.fault(node, "a sign + is not part of expressions; remove it")

    def function(self, call: ast.Call) -> str:
        """The name of the function that is called.

        Raises:
            ExpressionError: it is not one of `FUNCTIONS`.
        """
        name = self.token(call).text
        if name not in FUNCTIONS:
            advice = _closest(name, FUNCTIONS) or f"; the functions are {', '.join(FUNCTIONS)}"
            raise self.fault(call, f"unknown function {shown(name)}{advice}")
        return name

    def field(self, node: ast.expr) -> ContractField:
        """The field that a node names.

        Raises:
            ExpressionError: it does not name a field, or one that expressions cannot use.
        """
        token = self.token(node)
        if not isinstance(node, ast.Name) or token.kind is not TokenKind.NAME:
            raise self.fault(node, "a field is needed here, not a value or a calculation")
        field = self._contract.inputs.get(token.text)
        if field is None:
            raise self.fault(node, self._describe_missing(token.text))
        return field

    def _describe_missing(self, name: str) -> str:
        text = self._contract.fields.get(name)
        if text is self._contract.id_field:
            return f"{shown(name)} identifies the application; expressions cannot use it"
        if text is not None:
            return f"{shown(name)} is a text, which expressions cannot use; with an enum it would be a category"
        nested = [write_name(other) for other in self._contract.inputs if other.endswith(f".{name}")]
        if nested:
            return f"unknown field {shown(name)}; did you mean {shown(nested[0])}?"
        if name.lower() in _NULLS:
            return f"unknown field {shown(name)}; to find out whether a field has a value, write is_null(field)"
        advice = _closest(name, map(write_name, self._contract.inputs)) or "; it is not in the contract"
        return f"unknown field {shown(name)}{advice}"

    def number(self, node: ast.expr) -> float:
        """The constant number that a node is.

        Raises:
            ExpressionError: it is something else, or too large.
        """
        token = self.token(node)
        if not isinstance(node, ast.Name) or token.kind is not TokenKind.NUMBER:
            raise self.fault(node, "a constant number is needed here")
        number = float(token.text)
        if number > NUMBER_MAX:
            raise self.fault(node, f"the number is too large; no number of an application is above {NUMBER_MAX:.2g}")
        return number

    def category_code(self, field: ContractField, node: ast.expr) -> int:
        """The index of the category's value that a node is.

        Raises:
            ExpressionError: it is not a value of the category.
        """
        token = self.token(node)
        if not isinstance(node, ast.Name) or token.kind is not TokenKind.TEXT:
            raise self.fault(node, "a category is compared with its values, each in quotation marks")
        if token.text in field.categories:
            return field.categories.index(token.text)
        if token.text in field.unknown:
            instead = f"write is_null({write_name(field.name)})"
            raise self.fault(node, f"{shown(token.text)} means unknown in the contract; {shown(instead)}")
        advice = _closest(token.text, field.categories) or "; its values are in the contract"
        raise self.fault(node, f"{shown(token.text)} is not a value of {shown(field.name)}{advice}")


def _closest(name: str, names: Iterable[str]) -> str:
    """Advice with the closest of the names, or ""; letter case does not count."""
    by_folded = {other.casefold(): other for other in names}
    close = difflib.get_close_matches(name.casefold(), by_folded, 1)
    return f"; did you mean {shown(by_folded[close[0]])}?" if close else ""
