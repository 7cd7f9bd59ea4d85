"""Maps the columns of a file of applications to fields of a contract, and finds ignored or misnamed columns."""

import difflib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from schemas.contract import Contract
from schemas.printable import printable
from schemas.rows import OutcomeColumn

_NEAR: Final = 0.85  # debts, incme and martial are close to a field; dept and outcome are not
_LEFT_OUT: Final = frozenset({"Cc", "Cf", "Mn", "Pc", "Pd", "Zl", "Zp", "Zs"})
_SHOWN_MAX: Final = 20
_SHOWN_CHARACTERS_MAX: Final = 40
_words_of = re.compile(r"[^\W\d_]+").findall


def fold(column: str) -> str:
    """A column's name without letter case, spaces, dashes, underscores and invisible characters."""
    folded = unicodedata.normalize("NFKC", column).casefold()
    return "".join(c for c in folded if unicodedata.category(c) not in _LEFT_OUT)


class FileFields:
    """The fields that a file of applications may have: those of a contract, and the outcome of the loan."""

    def __init__(self, contract: Contract, outcome: OutcomeColumn | None) -> None:
        self.contract = contract
        self.id = contract.id_field.name
        self.outcome = outcome if outcome and outcome.name not in contract.fields else None
        """None if the contract has a field of this name, which is no outcome."""
        self.names = (*contract.fields, *([self.outcome.name] if self.outcome else []))
        self.required = tuple(
            name for name, field in contract.fields.items() if contract.is_required(field) and name != self.id
        )
        """Without the id: a row without one gets one."""
        self.unknown = tuple(
            name for name, field in contract.fields.items() if field.kind.is_numeric and field.nullable
        )
        self._by_folded = {fold(name): name for name in self.names}

    def field_of(self, column: str) -> str | None:
        """The field that a column is; None if it is neither one of the contract's nor the outcome."""
        return self._by_folded.get(fold(column))

    def find_near_misses(self, columns: Iterable[str], missing: Collection[str]) -> dict[str, str]:
        """Columns that may stand for a missing field, with that field: `Monthly Income` for `income`.

        Args:
            columns: the names of columns that are not fields of the contract.
            missing: the fields without a column.
        """
        near = ((column, self._find_near(column, missing)) for column in columns)
        return {column: field for column, field in near if field}

    def _find_near(self, column: str, missing: Collection[str]) -> str | None:
        words = [fold(word) for word in _words_of(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column))]
        is_id_missing = self.id in missing
        if is_id_missing and words == ["id"]:
            return self.id
        known = {fold(name): name for name in missing} | ({"application": self.id} if is_id_missing else {})
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
