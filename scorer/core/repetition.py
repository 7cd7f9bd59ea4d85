"""Finds values that may have a member of the contract twice, or something invalid that the fast decoder skips.

Each member in a value has one colon. So if a value has no more colons than the members that were decoded, the texts
that were decoded and the properties that were skipped, none of its members is repeated.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import reduce
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json

from schemas.contract import Contract, ContractField, ContractObject, Kind
from scorer.core.columns import Columns, Row, attribute_of
from scorer.core.slow_decode import has_repeated

# Up to this size, or with so few members, pydantic's parser is faster than looking at the names one by one.
_SHORT_BYTES: Final = 384
_FEW_COLONS: Final = 32
# Shorter values have no integer that is too long for the slow decoder, and with fewer brackets none is nested too deep.
_LONG_BYTES: Final = 4_300
_NESTING_MAX: Final = 100
_COLON: Final = ord(":")
_ESCAPED_COLON: Final = b"\\u003"  # or one of the characters next to it
_COLON_KINDS: Final = frozenset({Kind.TEXT, Kind.DATE_TIME})

_decode_members: Final[Callable[[bytes | msgspec.Raw], dict[str, msgspec.Raw]]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw]
).decode


class RepetitionCheck:
    """Checks values of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        members = list(members_of(contract.application))
        self.members = len(members)
        """The number of the contract's fields and objects."""
        self._is_flat = not contract.application.objects
        self._long_bytes = max(_LONG_BYTES, 30 * self.members)
        self._names = frozenset(member.path[-1].encode() for member in members)
        self._names_by_path = {
            group.path: frozenset(member.path[-1] for member in group.members)
            for group in [contract.application, *members]
            if isinstance(group, ContractObject)
        }
        self._paths = list(_paths_of_texts(contract.application))
        self._texts_of = attrgetter(*map(".".join, self._paths))

    def find(
        self, values: Sequence[Any], decoded: tuple[Sequence[int], Sequence[Row], Columns], checked: Collection[int]
    ) -> list[int]:
        """Returns the positions of decoded values that the slow decoder has to read again.

        Args:
            values: the records' values.
            decoded: the positions of the decoded values, at least one, with their rows and columns.
            checked: the positions of those that `is_unambiguous` has checked.
        """
        positions, rows, columns = decoded
        # The colons of long values are not counted a second time.
        raws = [b" " if i in checked else values[i] for i in positions] if checked else [values[i] for i in positions]
        more = _count_colons(raws) + columns.absent - self.members
        unclear: list[int] = []
        for row in (more.astype(np.bool_) & ~columns.invalid).nonzero()[0].tolist():
            i = positions[row]
            raw = values[i]
            if i in checked or (self._is_flat and len(raw) <= _SHORT_BYTES and self.is_unambiguous(raw)):
                continue
            if not self._explains(raw, rows[row], int(more[row])) and not self.is_unambiguous(raw):
                unclear.append(i)
        return unclear

    def _explains(self, raw: bytes, row: Row, more: int) -> bool:
        """Whether `more` colons are those of texts, or of properties that are not in the contract, which are valid.

        The properties of short and of long values are not looked for: `is_unambiguous` is faster.
        """
        if b"\\" in raw and _ESCAPED_COLON in raw:
            return False
        more -= self._count_in_texts(row)
        if not more:
            return True
        if not _SHORT_BYTES < len(raw) <= self._long_bytes:
            return False
        if self._are_at_the_end(raw, more):
            return True
        try:
            for names, skipped in self._skipped(raw):
                if len(names) + "".join(names).count(":") + skipped.count(b":") == more:
                    from_json(skipped, allow_inf_nan=False)
                    return _is_shallow(skipped)
        except (msgspec.MsgspecError, ValueError):
            pass
        return False

    def _count_in_texts(self, row: Row) -> int:
        try:
            return "".join(self._texts_of(row)).count(":")
        except (AttributeError, TypeError):  # one of them, or an object, is null or absent
            values = (reduce(lambda value, name: getattr(value, name, None), path, row) for path in self._paths)
            return sum(text.count(":") for text in values if isinstance(text, str))

    def _are_at_the_end(self, raw: bytes, more: int) -> bool:
        """Whether the last `more` colons belong to properties of the application that are not in the contract.

        The value is valid JSON but for what the fast decoder skips. So if the part from one name on is an object with
        an opening brace in front, it consists of whole members of the application: from within a text, it would end in
        a text; from within an object or a list, it would have a closing bracket too many.
        """
        name_end = raw.rsplit(b":", more)[0].rstrip()
        tail = b"".join((b"{", memoryview(raw)[name_end.rfind(b'"', 0, -1) :]))
        try:
            members = from_json(tail, allow_inf_nan=False)
        except ValueError:
            return False
        return self._names_by_path[()].isdisjoint(members) and _is_shallow(tail)

    def _skipped(self, raw: bytes) -> Iterator[tuple[list[str], bytes]]:
        """Yields the names of the properties that are not in the contract, and a list of their values, as JSON.

        First those of the application; then with those of its objects, then with those of the objects in these.
        """
        level: list[tuple[bytes | msgspec.Raw, ContractObject]] = [(raw, self._contract.application)]
        names: list[str] = []
        values: list[msgspec.Raw] = []
        while level:
            inner: list[tuple[bytes | msgspec.Raw, ContractObject]] = []
            for value, group in level:
                members = _decode_members(value)
                others = members.keys() - self._names_by_path[group.path]
                names += others
                values += [members[name] for name in others]
                inner += [(members[n], object_) for n, object_ in group.objects.items() if n in members]
            yield names, b"[%b]" % b",".join(values)
            level = [(value, group) for value, group in inner if bytes(value) != b"null"]

    def is_unambiguous(self, raw: bytes) -> bool:
        """Whether what the fast decoder skips is valid JSON, too, and no member of the contract is repeated."""
        colons = raw.count(b":")
        if len(raw) <= _SHORT_BYTES or colons <= _FEW_COLONS or not _is_plain(raw):
            try:
                members = from_json(raw, allow_inf_nan=False)  # no number takes it longer than another
            except ValueError:
                return False
            if len(members) == colons or len(members) == _count_names(raw, colons):
                return True  # as many names as members: none is repeated, and no value is an object
        if b"\\" not in raw:  # otherwise a name can be spelt differently
            texts = raw.split(b'"')[1::2]
            if sum(map(self._names.__contains__, texts)) == len(self._names.intersection(texts)):
                return True
        return not has_repeated(raw, self._contract)


def _paths_of_texts(group: ContractObject) -> Iterator[tuple[str, ...]]:
    """Yields the attributes, in a row's struct, that lead to the texts that can contain colons."""
    for i, member in enumerate(group.members):
        if isinstance(member, ContractObject):
            yield from ((attribute_of(i), *path) for path in _paths_of_texts(member))
        elif member.kind in _COLON_KINDS:
            yield (attribute_of(i),)


def _is_shallow(skipped: bytes) -> bool:
    """Whether no value in what was skipped can be nested too deep."""
    return skipped.count(b"[") + skipped.count(b"{") <= _NESTING_MAX


def members_of(group: ContractObject) -> Iterator[ContractField | ContractObject]:
    """Yields the object's members and those of objects in it."""
    for member in group.members:
        yield member
        if isinstance(member, ContractObject):
            yield from members_of(member)


def _count_colons(values: Sequence[bytes]) -> NDArray[np.intp]:
    """Returns the number of colons in each of n values, at least one and none of them empty; shape (n,)."""
    ends = np.fromiter(map(len, values), dtype=np.intp, count=len(values)).cumsum()
    colon_positions = (np.frombuffer(b"".join(values), dtype=np.uint8) == _COLON).nonzero()[0]
    counts: NDArray[np.intp] = colon_positions.searchsorted(ends)
    counts[1:] -= counts[:-1].copy()
    return counts


def _count_names(raw: bytes, colons: int) -> int:
    """Returns the number of names in a JSON value, or more if spaces precede some of its colons."""
    has_spaces = b" :" in raw or b"\n:" in raw or b"\t:" in raw or b"\r:" in raw
    return colons if has_spaces else raw.count(b'":')


def _is_plain(raw: bytes) -> bool:
    """Whether msgspec checks all of the syntax: it skips texts that are not UTF-8, long integers, and any nesting."""
    return raw.isascii() and len(raw) < _LONG_BYTES and raw.count(b"[") + raw.count(b"{") <= _NESTING_MAX
