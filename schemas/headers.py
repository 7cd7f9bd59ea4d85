"""Maps the columns of a CSV file of applications to fields, and finds columns that are ignored or misnamed."""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from schemas.printable import printable
from schemas.rows import FIELDS, ID, STATUS

REQUIRED: Final = tuple(name for name, field in FIELDS.items() if field.is_required() and name != ID)
UNKNOWN: Final = tuple(name for name in ("income", "assets", "debt") if name in FIELDS)

_NEAR: Final = 0.85  # debts, incme and martial are close to a field; dept and outcome are not
_LEFT_OUT: Final = frozenset({"Cc", "Cf", "Mn", "Pc", "Pd", "Zl", "Zp", "Zs"})
_SHOWN_MAX: Final = 20
_SHOWN_CHARACTERS_MAX: Final = 40
_words_of = re.compile(r"[^\W\d_]+").findall


def fold(column: str) -> str:
    """A column's name without letter case, spaces, dashes, underscores and invisible characters."""
    folded = unicodedata.normalize("NFKC", column).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in _LEFT_OUT)


_FIELDS: Final[Mapping[str, str]] = {fold(name): name for name in (*FIELDS, STATUS)}


def field_of(column: str) -> str | None:
    """The field of the contract, or `status`, that a column is; None if it is neither."""
    return _FIELDS.get(fold(column))


def find_near_misses(columns: Iterable[str], missing: Collection[str]) -> dict[str, str]:
    """Columns that may stand for a missing field, with that field: `Monthly Income` for `income`.

    Args:
        columns: the names of columns that are not fields of the contract.
        missing: the fields without a column.
    """
    near = ((column, _find_near(column, missing)) for column in columns)
    return {column: field for column, field in near if field}


def _find_near(column: str, missing: Collection[str]) -> str | None:
    words = [fold(word) for word in _words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column))]
    if ID in missing and words == ["id"]:
        return ID
    known = {fold(name): name for name in missing} | ({"application": ID} if ID in missing else {})
    for word in (fold(column), *words):
        close = difflib.get_close_matches(word, known, 1, _NEAR)
        if close:
            return known[close[0]]
    return None


def quote_names(names: Iterable[str], near: Mapping[str, str] | None = None) -> str:
    """Names of a user's columns for a message: cut, without invisible characters, with similar fields."""
    listed = list(names)
    shown = [
        (f'"{printable(name.strip())[:_SHOWN_CHARACTERS_MAX]}"' if name.strip() else "one without a name")
        + (f" ({near[name]}?)" if near and name in near else "")
        for name in listed[:_SHOWN_MAX]
    ]
    more = [f"{len(listed) - _SHOWN_MAX:,} more"] if len(listed) > _SHOWN_MAX else []
    return ", ".join([*shown, *more])
