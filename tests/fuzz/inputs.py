"""Strategies for hostile input: valid documents that were damaged, and bytes that were cut, repeated and spliced."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hypothesis import strategies as st

TOKENS: Final = (
    b"9" * 5_000,
    b"-1e400",
    b"NaN",
    b"[" * 3_000,
    b'{"a":' * 3_000,
    b"a=" + b"[" * 3_000,
    b"2001-99-99",
    b"0x" + b"f" * 5_000,
    b"1_000",
    b"\\ud800",
    b'"\\u0000"',
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\x1b]0;title\x07",
    b"\r\n",
    b"%00%ff%",
    b"../",
    b"/",
    b"&a *a",
    b"<<: *a\n",
    b"true",
    b"null",
    b",",
    b":",
    b"=",
)
"""What parsers stumble over, put into bytes by `mutated`."""

text: Final = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "a" * 5_000, "\x1b[2J", "a\nb", "\u202e", "../..", "/etc", "é" * 300, "-1", "NaN", "1" * 5_000]
    ),
)
numbers: Final = st.one_of(
    st.integers(), st.floats(), st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**400, float("nan"), float("-inf")])
)
json_values: Final = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, text),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=8,
)


def damaged(document: Any) -> st.SearchStrategy[Any]:
    """A document in which up to four values were replaced, removed or added."""

    @st.composite
    def damage(draw: st.DrawFn) -> Any:
        result = copy.deepcopy(document)
        for _ in range(draw(st.integers(0, 4))):
            positions = list(_places(result))
            if not positions:
                break
            holder, key = draw(st.sampled_from(positions))
            match draw(st.sampled_from(("replace", "remove", "add"))):
                case "replace":
                    holder[key] = draw(json_values)
                case "remove":
                    del holder[key]
                case _ if isinstance(holder, dict):
                    holder[draw(text)] = draw(json_values)
                case _:
                    holder.append(draw(json_values))
        return result

    return damage()


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of a document, by what holds it and its name or number there."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(items):
        yield document, key
        yield from _places(value)


def as_json(document: Any) -> bytes:
    """A document as JSON, with NaN and numbers of any length in it."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


_edit: Final = st.tuples(
    st.sampled_from(("overwrite", "insert", "remove", "repeat", "cut off")),
    st.integers(0, 2**20),
    st.integers(1, 64),
    st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(TOKENS)),
)


def _apply(kind: str, content: bytes, at: int, span: int, piece: bytes) -> bytes:
    head, tail = content[:at], content[at:]
    match kind:
        case "overwrite":
            return head + piece + tail[len(piece) :]
        case "insert":
            return head + piece + tail
        case "remove":
            return head + tail[span:]
        case "repeat":
            return head + tail[:span] + tail
        case _:
            return head


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the byte strings after up to eight edits anywhere in it."""

    def apply(content: bytes, edits: list[tuple[str, int, int, bytes]]) -> bytes:
        for kind, at, span, piece in edits:
            content = _apply(kind, content, at % (len(content) + 1), span, piece)
        return content

    return st.builds(apply, st.sampled_from(seeds), st.lists(_edit, max_size=8))
