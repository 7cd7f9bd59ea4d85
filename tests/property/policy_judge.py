"""Decides one application by a policy, slowly and obviously: written from the grammar's documentation alone.

A condition is true, false or unknown (None), by SQL's three-valued logic; so is everything that is calculated.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from scorer.core.policy import LABELS, Policy

Row = Mapping[str, Any]
"""An application: a text for a category, a float for anything else (0 and 1 for booleans), None for unknown."""
Value = Callable[[Row], Any]

_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<quoted>`(?:``|[^`])*`)
      | (?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
      | (?P<symbol><=|>=|==|!=|[-+*/()\[\],<>])
    )""",
    re.VERBOSE | re.ASCII,
)


def judge(policy: Policy, conditions: list[Value], row: Row, probability: float) -> tuple[str, int]:
    """Returns the label of an application and the index of the rule that gave it, or -1."""
    for index, (rule, condition) in enumerate(zip(policy.rules, conditions, strict=True)):
        if _truth(condition(row)) is True:
            return rule.label, index
    thresholds: Any = policy
    if policy.segments and row[policy.segments.field] in policy.segments.values:
        thresholds = policy.segments.values[row[policy.segments.field]]
    if probability > thresholds.declined_above:
        return LABELS[2], -1
    return (LABELS[1] if probability > thresholds.maybe_above else LABELS[0]), -1


def read_condition(text: str) -> Value:
    """Reads a condition."""
    tokens = list(_tokens(text))
    value = _Reader(tokens).either()
    assert not tokens, tokens
    return value


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match, text[position:]
        assert match.lastgroup
        yield match.lastgroup, match[match.lastgroup]
        position = match.end()


class _Reader:
    """Takes the tokens from the front; each method reads what binds at least as strongly as its name says."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens

    def _next_is(self, *texts: str) -> bool:
        return bool(self._tokens) and self._tokens[0][0] in {"symbol", "name"} and self._tokens[0][1] in texts

    def _take(self, *texts: str) -> str:
        kind, text = self._tokens.pop(0)
        assert not texts or (text in texts and kind in {"symbol", "name"}), text
        return text

    def either(self) -> Value:
        parts = [self.both()]
        while self._next_is("or"):
            self._take()
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda row: _either([part(row) for part in parts])

    def both(self) -> Value:
        parts = [self.negation()]
        while self._next_is("and"):
            self._take()
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda row: _both([part(row) for part in parts])

    def negation(self) -> Value:
        if not self._next_is("not"):
            return self.comparison()
        self._take()
        negated = self.negation()
        return lambda row: _not(_truth(negated(row)))

    def comparison(self) -> Value:
        first = self.sum()
        pairs: list[Value] = []
        while self._next_is("<", "<=", ">", ">=", "==", "!=", "in", "not"):
            symbol = self._take()
            if symbol == "not":
                self._take("in")
                pairs.append(_membership(first, self.list(), is_in=False))
            elif symbol == "in":
                pairs.append(_membership(first, self.list(), is_in=True))
            else:
                second = self.sum()
                pairs.append(_comparison(first, symbol, second))
                first = second
        if not pairs:
            return first
        return lambda row: _both([pair(row) for pair in pairs])

    def list(self) -> list[Any]:
        end = {"(": ")", "[": "]"}[self._take("(", "[")]
        values = []
        while not self._next_is(end):
            values.append(self.sum()({}))
            if self._next_is(","):
                self._take()
        self._take(end)
        return values

    def sum(self) -> Value:
        value = self.product()
        while self._next_is("+", "-"):
            value = _arithmetic(value, self._take(), self.product())
        return value

    def product(self) -> Value:
        value = self.sign()
        while self._next_is("*", "/"):
            value = _arithmetic(value, self._take(), self.sign())
        return value

    def sign(self) -> Value:
        if not self._next_is("-"):
            return self.atom()
        self._take()
        number = self.sign()
        return _known(lambda a: -a, number)

    def atom(self) -> Value:
        kind, text = self._tokens.pop(0)
        if kind == "symbol":
            assert text == "(", text
            value = self.either()
            self._take(")")
            return value
        if kind == "number":
            return lambda _: float(text)
        if kind == "text":
            return lambda _: re.sub(r"\\(.)", r"\1", text[1:-1])
        if kind == "quoted":
            name = text[1:-1].replace("``", "`")
            return lambda row: row[name]
        return self.call(text) if self._next_is("(") else _constant_or_field(text)

    def call(self, function: str) -> Value:
        self._take("(")
        arguments = [self.sum()]
        while self._next_is(","):
            self._take()
            arguments.append(self.sum())
        self._take(")")
        if function == "is_null":
            return lambda row: float(arguments[0](row) is None)
        functions: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs, "days": lambda days: days}
        return _known(functions[function], *arguments)


def _constant_or_field(text: str) -> Value:
    if text.lower() in {"true", "false"}:
        return lambda _: float(text.lower() == "true")
    return lambda row: row[text]


def _known(calculate: Callable[..., Any], *parts: Value) -> Value:
    """What is calculated from values; unknown if one of them is, or if the result is not finite."""

    def value(row: Row) -> Any:
        values = [part(row) for part in parts]
        if None in values:
            return None
        result = calculate(*values)
        return None if isinstance(result, float) and not math.isfinite(result) else result

    return value


def _arithmetic(first: Value, symbol: str, second: Value) -> Value:
    operations: dict[str, Callable[[float, float], float]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: math.nan if b == 0 else a / b,
    }
    return _known(operations[symbol], first, second)


def _comparison(first: Value, symbol: str, second: Value) -> Value:
    comparisons: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b,
        ">=": lambda a, b: a >= b,
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
    }
    return _known(comparisons[symbol], first, second)


def _membership(value: Value, values: list[Any], *, is_in: bool) -> Value:
    return _known(lambda one: (one in values) is is_in, value)


def _truth(value: Any) -> bool | None:
    """The truth of a condition; a boolean field or `is_null(…)` is 0 or 1."""
    return None if value is None else bool(value)


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value


def _both(values: list[Any]) -> bool | None:
    truths = [_truth(value) for value in values]
    if False in truths:
        return False
    return None if None in truths else True


def _either(values: list[Any]) -> bool | None:
    truths = [_truth(value) for value in values]
    if True in truths:
        return True
    return None if None in truths else False
