"""Writes blocks of drawn applications as JSON, with the fields in the contract's order."""

import json
from collections.abc import Collection, Iterable, Iterator

from producer.drawing import Path, Values
from schemas.contract import ContractObject


class ObjectWriter:
    """Writes one object of a contract, and the objects in it, from the values of its fields.

    An object whose members are always there is written by one template. Of other members, name and value go together.
    """

    def __init__(self, group: ContractObject, optional: Collection[Path] = ()) -> None:
        """Prepares the template.

        Args:
            group: the object; the application itself.
            optional: the paths of fields and objects that can be absent.
        """
        self._path = group.path
        self._members = [member.path for member in group.members]
        self._objects = {inner.path: ObjectWriter(inner, optional) for inner in group.objects.values()}
        self._prefixes = {path: f"{_name(path)}:" for path in self._members if path in optional}
        parts = ["%s" if path in optional else f"{_name(path).replace('%', '%%')}:%s," for path in self._members]
        self._may_be_empty = self._members[-1] in optional
        template = "".join(parts)
        self._template = template if self._may_be_empty else f"{{{template[:-1]}}}"

    def write(self, values: Values) -> Iterator[str]:
        """Yields the object of each application; `values` are those of the whole application."""
        columns = [self._column(path, values) for path in self._members]
        texts: Iterator[str] = map(self._template.__mod__, zip(*columns, strict=True))
        if self._may_be_empty:
            texts = (f"{{{text[:-1]}}}" for text in texts)  # without the last comma
        return texts

    def _column(self, path: Path, values: Values) -> Iterable[object]:
        """The values of a member, with its name and a comma if it is optional."""
        column: Iterable[object]
        if path in self._objects:
            texts, presence = self._objects[path].write(values), values.get(path)
            column = texts if presence is None else (_either(*pair) for pair in zip(presence, texts, strict=True))
        else:
            column = values[path]
        prefix = self._prefixes.get(path)
        if prefix is None:
            return column
        return ("" if value is None else f"{prefix}{value}," for value in column)


def _either(presence: object, text: str) -> object:
    """The object's text if it is there."""
    return text if presence == "" else presence


def _name(path: Path) -> str:
    return json.dumps(path[-1], ensure_ascii=False)
