"""Infers a contract from a data file: a proposal that a person checks and edits."""

import difflib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from schemas.contract_faults import ContractError, shown_path
from schemas.contract_parser import DIALECT, parse_contract
from schemas.headers import fold, quote_names
from scorer.author.column_profile import ColumnProfile
from scorer.author.data_file import DataProfile, Names
from scorer.author.propose import propose_field, propose_id
from scorer.errors import MisuseError

_ID_ADDED: Final = "application_id"
_ID_WORDS: Final = frozenset({"id", "uuid", "key", "number", "no", "nr"})
_OBJECT: Final[dict[str, Any]] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Inferred:
    """A proposed contract.

    Attributes:
        document: the JSON Schema, with what to check in `$comment`.
        notes: what to check, by field; without values of applications.
    """

    document: dict[str, Any]
    notes: list[str]


def infer_contract(
    profile: DataProfile, name: str, id_column: str | None, target: str | None, dropped: Collection[str]
) -> Inferred:
    """Proposes a contract.

    Args:
        profile: what the data file contains.
        name: the file's name without its suffix, from which the contract gets its name.
        id_column: the column that identifies an application; None looks for one, or adds a field.
        target: the column with the outcome of the loan, which is not part of an application.
        dropped: other columns that are not part of an application.

    Raises:
        MisuseError: there is no such column, or no contract can be made of the columns.
    """
    columns = dict(profile.columns)
    left_out = [*(("--drop", column) for column in dropped), *([("--target", target)] if target else [])]
    for option, text in left_out:
        del columns[_find_column(option, text, columns)]
    id_names = _find_id(profile, columns) if id_column is None else _find_column("--id", id_column, columns)
    notes = list(profile.notes)
    if target is None:
        notes.append("no --target: if a column is the outcome of the loan, remove its field")
    tree = _Tree(profile, notes)
    if id_names is None:
        id_names = (_ID_ADDED,)
        notes.append(f"no column identifies applications: {_ID_ADDED} was added, which publishers have to send")
        tree.put(id_names, propose_id(ColumnProfile()).schema, [], required=True)
    elif id_column is None:
        notes.append(f"{shown_path(id_names)}: taken as the id, as each value occurs once; --id names another column")
    for names, column in columns.items():
        tree.add(names, column, is_id=names == id_names)
    document = _document(profile, name, tree)
    try:
        parse_contract(json.dumps(document))
    except ContractError as error:
        raise MisuseError(f"no contract can be made of the columns: {error}. Rename or --drop columns") from None
    return Inferred(document, notes)


def _document(profile: DataProfile, name: str, tree: "_Tree") -> dict[str, Any]:
    if tree.integers:
        tree.notes.append(
            f"integer, because the file has no fractions: {', '.join(tree.integers)}; use number where they may occur"
        )
    slug = "-".join(re.findall("[a-z0-9]+", name.lower()))[:64].strip("-") or "application"
    comment = (
        f"Inferred from {profile.rows:,} applications: a proposal. Check limits, values and each $comment, add units "
        "and descriptions, and remove the comments."
    )
    head = {"$schema": DIALECT, "$comment": comment, "x-name": slug, "x-version": "1.0.0"}
    return head | tree.root


class _Tree:
    """The application's object while fields are added. `put` writes `root`, `add` adds to the lists."""

    def __init__(self, profile: DataProfile, notes: list[str]) -> None:
        self._profile = profile
        self.notes = notes
        self.root: dict[str, Any] = {**_OBJECT, "properties": {}, "required": []}
        self.integers: list[str] = []

    def add(self, names: Names, column: ColumnProfile, *, is_id: bool) -> None:
        """Adds the field of a column, or a note why it is left out."""
        name = shown_path(names)
        if names in self._profile.objects:
            if column.present:
                self.notes.append(f"{name}: left out where it is not an object; in some rows it is one")
            return
        missing = self._profile.objects[names[:-1]] - column.present
        proposal = propose_id(column) if is_id else propose_field(names[-1], column, nullable=missing > 0)
        if isinstance(proposal, str):
            self.notes.append(f"{name}: {proposal}")
            return
        self.notes.extend(f"{name}: {check}" for check in proposal.checks)
        if proposal.schema["type"] in ("integer", ["integer", "null"]):
            self.integers.append(name)
        self.put(names, proposal.schema, proposal.checks, required=is_id or not missing)

    def put(self, names: Names, schema: dict[str, Any], checks: Iterable[str], *, required: bool) -> None:
        """Puts a field into its object, which is created if necessary."""
        parent = self.root
        for depth in range(1, len(names)):
            properties = parent["properties"]
            if names[depth - 1] not in properties:
                self._put_object(parent, names[:depth])
            parent = properties[names[depth - 1]]
        comment = "; ".join(checks)
        parent["properties"][names[-1]] = schema | ({"$comment": f"Check: {comment}"} if comment else {})
        parent["required"] += [names[-1]] if required else []

    def _put_object(self, parent: dict[str, Any], names: Names) -> None:
        objects, column = self._profile.objects, self._profile.columns.get(names)
        is_complete = objects[names] == objects[names[:-1]]
        type_ = "object" if column is None else ["object", "null"]
        parent["properties"][names[-1]] = {"type": type_, "properties": {}, "required": []}
        parent["required"] += [names[-1]] if is_complete else []


def _find_id(profile: DataProfile, columns: dict[Names, ColumnProfile]) -> Names | None:
    """The first column with `id` or the like in its name of which each value occurs once."""
    for names, column in columns.items():
        words = set(re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", names[-1]).lower()))
        is_unique = column.present == profile.rows and max(column.counts.values(), default=0) == 1
        if names == (_ID_ADDED,) or (words & _ID_WORDS and is_unique):
            return names
    return None


def _find_column(option: str, text: str, columns: Collection[Names]) -> Names:
    """The column of a name; letter case, spaces and underscores do not matter if it is the only one."""
    by_name = {".".join(names): names for names in columns}
    if text in by_name:
        return by_name[text]
    similar = [names for name, names in by_name.items() if fold(name) == fold(text)]
    if len(similar) == 1:
        return similar[0]
    close = difflib.get_close_matches(text, by_name, n=1)
    hint = f" Did you mean {quote_names(close)}?" if close else ""
    raise MisuseError(f"{option} {text}: no such column.{hint} The columns are {quote_names(by_name)}")
