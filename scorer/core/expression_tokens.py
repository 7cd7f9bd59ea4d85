"""Splits an expression into tokens, with limits that keep Python's parser safe from hostile texts.

Only tokens of the grammar (`scorer.core.expressions`) get past this module, each at a place where one may be, and
nested within a limit.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from schemas.contract_faults import shown

CHARACTERS_MAX: Final = 10_000  # a sum of 250 long names
# Python recurses once per operator of a chain when it makes the tree, and gives up at about 3,000.
TOKENS_MAX: Final = 1_000
DEPTH_MAX: Final = 32  # parentheses and signs within each other; people lose track earlier


class ExpressionError(ValueError):
    """A text is not an expression of the grammar; `str()` of it says what is wrong, at which column, and the fix."""


class TokenKind(StrEnum):
    """The kinds of tokens."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"
    NAME = "name"
    FUNCTION = "function"
    SYMBOL = "symbol"


@dataclass(frozen=True, slots=True)
class Token:
    """A token.

    Attributes:
        kind: what it is.
        text: as written; of names and texts without their quotation marks.
        offset: of its first character in the expression.
    """

    kind: TokenKind
    text: str
    offset: int

    @property
    def is_operand(self) -> bool:
        """Whether it is a value: a constant or a field's name."""
        return self.kind not in {TokenKind.FUNCTION, TokenKind.SYMBOL}


_BARE_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_match_token: Final = re.compile(
    rf"""
    (?P<number> (?: [0-9]+(?:\.[0-9]*)? | \.[0-9]+ ) (?: [eE][+-]?[0-9]+ )? )
    | (?P<word> {_BARE_NAME} )
    | ` (?P<name> (?: [^`] | `` )+ ) `
    | " (?P<double> (?: [^"\\] | \\["'\\] )* ) "
    | ' (?P<single> (?: [^'\\] | \\["'\\] )* ) '
    | (?P<symbol> \*\* | // | && | \|\| | <> | << | >> | := | [<>=!]= | [-+*/<>()\[\],=!&|^%~] )
    """,
    re.VERBOSE,
).match
_skip_space: Final = re.compile(r"[ \t\r\n]*").match

_WORDS: Final = frozenset({"and", "or", "not", "in"})
_BOOLEANS: Final = frozenset({"true", "false", "True", "False"})
_SYMBOLS: Final = frozenset({"+", "-", "*", "/", "(", ")", "[", "]", ",", "<", "<=", ">", ">=", "==", "!="})
_OPENING: Final = {"(": ")", "[": "]"}
_PREFIXES: Final = frozenset({"-", "+", "not"})
_INSTEAD: Final = {
    "=": "==", "&": "and", "&&": "and", "|": "or", "||": "or", "!": "not", "<>": "!=",
    "−": "-", "–": "-", "×": "*", "·": "*", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "is": "is_null(field)` or `==", "AND": "and", "OR": "or", "NOT": "not", "IN": "in",
}  # fmt: skip
"""What people write, and what the grammar has for it."""


def write_name(name: str) -> str:
    """A field's name as expressions write it: in backticks unless it consists of plain identifiers."""
    if re.fullmatch(_BARE_NAME, name) and name not in _WORDS | _BOOLEANS:
        return name
    return f"`{name.replace('`', '``')}`"


def fault_at(text: str, offset: int, problem: str) -> ExpressionError:
    """The error about a place in an expression; columns and lines count from 1."""
    lines = text[:offset].split("\n")
    line = f"line {len(lines)}, " if "\n" in text else ""
    return ExpressionError(f"{line}column {len(lines[-1]) + 1}: {problem}")


def read_tokens(text: str) -> tuple[Token, ...]:
    """Splits an expression into tokens.

    Returns:
        At least one token. Brackets are balanced, and operators and values alternate.

    Raises:
        ExpressionError: the text exceeds a limit, or contains something at a place where the grammar has nothing like
            it.
    """
    if len(text) > CHARACTERS_MAX:
        raise ExpressionError(f"the expression has more than {CHARACTERS_MAX:,} characters; split it in two")
    tokens: list[Token] = []
    end = _skip_space(text).end()  # type: ignore[union-attr]  # it matches an empty text, too
    while end < len(text):
        token, end = _read_token(text, end)
        tokens.append(token)
        if len(tokens) > TOKENS_MAX:
            raise fault_at(text, token.offset, f"the expression has more than {TOKENS_MAX:,} parts; split it in two")
    if not tokens:
        raise ExpressionError("the expression is empty")
    _check_nesting(text, tokens)
    _check_order(text, tokens)
    return tuple(tokens)


def _read_token(text: str, offset: int) -> tuple[Token, int]:
    """Reads the token at an offset, and returns the offset of the next one, too."""
    match = _match_token(text, offset)
    if match is None:
        raise fault_at(text, offset, _describe_unreadable(text[offset]))
    group, end = str(match.lastgroup), match.end()
    value = match[group]
    next_character = text[end : end + 1]
    start = _skip_space(text, end).end()  # type: ignore[union-attr]
    match group:
        case "number":
            if next_character.isalnum() or next_character in {"_", "."}:
                raise fault_at(text, offset, "a number is written as 1000, 0.5 or 1e6, in decimal digits")
            kind = TokenKind.NUMBER
        case "word":
            if next_character.isalnum() or next_character in {".", "`"}:
                raise fault_at(text, offset, "a name that is not a plain identifier is written whole in backticks")
            if next_character in {'"', "'"}:
                raise fault_at(text, offset, f"a text has no prefix; remove {shown(value)} before the quotation mark")
            kind = _kind_of_word(value, text[start : start + 1])
        case "name":
            kind, value = TokenKind.NAME, value.replace("``", "`")
        case "double" | "single":
            kind, value = TokenKind.TEXT, re.sub(r"\\(.)", r"\1", value)
        case _:
            if value not in _SYMBOLS:
                raise fault_at(text, offset, _describe_unsupported(value))
            kind = TokenKind.SYMBOL
    return Token(kind, value, offset), start


def _kind_of_word(word: str, next_character: str) -> TokenKind:
    if word in _WORDS:
        return TokenKind.SYMBOL
    if word in _BOOLEANS:
        return TokenKind.BOOLEAN
    return TokenKind.FUNCTION if next_character == "(" else TokenKind.NAME


def _describe_unreadable(character: str) -> str:
    if character == "`":
        return "this backtick starts a name that does not end; a backtick within a name is doubled"
    if character in "\"'":
        return rf"this {character} starts a text that does not end; within it, a \ comes before a {character} or \ only"
    return _describe_unsupported(character)


def _describe_unsupported(symbol: str) -> str:
    advice = f"; write `{_INSTEAD[symbol]}`" if symbol in _INSTEAD else ""
    if not advice and ord(symbol[0]) > 0x7F and symbol.isalnum():
        advice = "; a name that is not a plain identifier is written in backticks"
    return f"`{shown(symbol)}` is not part of expressions{advice}"


def _check_nesting(text: str, tokens: Sequence[Token]) -> None:
    """Checks that brackets are balanced, and how deep they and signs are nested."""
    opened: list[Token] = []
    depths = [0]  # at the start of each open bracket
    depth = 0  # with the signs before the next value
    is_after_value = False
    for token in tokens:
        symbol = token.text if token.kind is TokenKind.SYMBOL else ""
        if symbol in _OPENING:
            opened.append(token)
            depth += 1
            depths.append(depth)
        elif symbol in _OPENING.values():
            if not opened or _OPENING[opened.pop().text] != symbol:
                raise fault_at(text, token.offset, f"`{symbol}` closes nothing; is an opening bracket missing?")
            depths.pop()
            depth = depths[-1]
        elif symbol in _PREFIXES and not is_after_value:
            depth += 1
        elif token.kind is not TokenKind.FUNCTION:
            depth = depths[-1]
        is_after_value = _ends_value(token)
        if depth > DEPTH_MAX:
            raise fault_at(text, token.offset, f"the expression is nested more than {DEPTH_MAX} deep; split it in two")
    if opened:
        raise fault_at(text, opened[-1].offset, f"`{opened[-1].text}` is not closed")


def _check_order(text: str, tokens: Sequence[Token]) -> None:
    """Checks that operators and values alternate."""
    if not _starts_value(tokens[0]):
        raise fault_at(text, tokens[0].offset, f"a value is missing before `{tokens[0].text}`")
    for token, following in pairwise(tokens):
        symbol = following.text if following.kind is TokenKind.SYMBOL else ""
        if _ends_value(token) and symbol in _OPENING:
            problem = "a value can be neither called nor subscripted; is an operator missing before the bracket?"
        elif _ends_value(token) and (following.is_operand or following.kind is TokenKind.FUNCTION):
            advice = f"write `{_INSTEAD[following.text]}`" if following.text in _INSTEAD else "is an operator missing?"
            problem = f"`{shown(following.text)}` follows a value; {advice}"
        elif _ends_value(token) or _starts_value(following) or _ends_list(token, symbol):
            continue
        else:
            problem = f"a value is missing before `{symbol}`"
        raise fault_at(text, following.offset, problem)
    if not _ends_value(tokens[-1]):
        raise fault_at(text, len(text), f"the expression ends after `{tokens[-1].text}`; a value is missing")


def _starts_value(token: Token) -> bool:
    return token.kind is not TokenKind.SYMBOL or token.text in _PREFIXES or token.text in _OPENING


def _ends_value(token: Token) -> bool:
    return token.is_operand or (token.kind is TokenKind.SYMBOL and token.text in _OPENING.values())


def _ends_list(token: Token, following: str) -> bool:
    """Whether a bracket closes after the comma of a last value, or the `in` of `not in` follows."""
    return (token.text == "," and following in _OPENING.values()) or (token.text == "not" and following == "in")
