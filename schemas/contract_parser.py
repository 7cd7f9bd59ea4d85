"""Reads contracts strictly: a JSON Schema in a closed subset, in which each fault is reported with its location."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

from schemas.contract import (
    CATEGORIES_MAX,
    CONTRACT_BYTES_MAX,
    FIELDS_MAX,
    Contract,
    ContractField,
    ContractObject,
    Kind,
)
from schemas.contract_faults import ContractError, Faults, is_text, shown, shown_path
from schemas.contract_fields import ANNOTATIONS, KEYWORDS, FieldParser
from schemas.decision import NAME_PATTERN, VERSION_PATTERN
from schemas.printable import has_controls
from schemas.text import is_utf8

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DEPTH_MAX: Final = 16  # of objects in objects
_NAME_CHARACTERS_MAX: Final = 128  # of a property; a column has up to 256
_ANNOTATION_CHARACTERS_MAX: Final = 10_000
_DIGITS_MAX: Final = 40  # of an integer; no limit of a field has as many

_OF_OBJECTS: Final = ANNOTATIONS | {"type", "properties", "required", "additionalProperties"}
_OF_DOCUMENT: Final = _OF_OBJECTS | {"$schema", "$id", "x-name", "x-version"}
_ALL_KEYWORDS: Final = _OF_DOCUMENT.union(*KEYWORDS.values())
_TEXTS: Final = ANNOTATIONS | {"$id", "x-unit", "x-prohibited"}
_ADVICE: Final = {
    "$ref": "write the referenced schema in its place",
    "$defs": "write each schema where it is used",
    "pattern": "use enum for a fixed set of values",
    "oneOf": "a field has one type, which may be nullable",
    "anyOf": 'for a value that may be null, write "type": ["number", "null"]',
    "allOf": "write all keywords in one schema",
    "const": "use enum with one value",
    "items": "arrays are not supported: give each element a field of its own",
    "multipleOf": 'use "type": "integer" for whole numbers',
}
_TYPES: Final = ("number", "integer", "boolean", "string", "object")
_PLURALS: Final[Mapping[Kind, str]] = {kind: f"fields of the kind {kind}" for kind in Kind}


def parse_contract(raw: str | bytes) -> Contract:
    """Reads a contract.

    Args:
        raw: the document: JSON, in UTF-8 if it is bytes.

    Raises:
        ContractError: it is not a JSON Schema in the supported subset.
    """
    parser = _DocumentParser()
    contract = parser.read(_parse_json(raw))
    if contract is None or parser.faults.texts:
        raise ContractError(parser.faults.texts)
    return contract


def _parse_json(raw: str | bytes) -> dict[str, Any]:
    try:
        text = raw if isinstance(raw, str) else raw.decode()
    except UnicodeDecodeError as error:
        raise ContractError([f"the document is not UTF-8: see byte {error.start}"]) from None
    if len(text.encode(errors="surrogatepass")) > CONTRACT_BYTES_MAX:
        raise ContractError([f"the document is larger than {CONTRACT_BYTES_MAX} bytes"])
    try:
        document = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_reject_constant, parse_int=_parse_integer
        )
    except json.JSONDecodeError as error:
        location = f"line {error.lineno}, column {error.colno}"
        raise ContractError([f"the document is not JSON: {error.msg.removesuffix(' at')} at {location}"]) from None
    except RecursionError:
        raise ContractError(["the document is nested too deep"]) from None
    if not isinstance(document, dict):
        raise ContractError(['the document is not an object: a contract is {"type": "object", "properties": …}'])
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise ContractError([f"the name {shown(name)} is given twice in one object"])
        members[name] = value
    return members


def _reject_constant(name: str) -> NoReturn:
    raise ContractError([f"the document is not JSON: {name} is not a JSON number"])


def _parse_integer(digits: str) -> int:
    if len(digits) > _DIGITS_MAX:
        raise ContractError([f"a number has more than {_DIGITS_MAX} digits"])
    return int(digits)


class _DocumentParser:
    """Reads the document, its objects and, with a `FieldParser`, its fields."""

    def __init__(self) -> None:
        self.faults = Faults()
        self._fields = FieldParser(self.faults)
        self._count = 0
        """Number of fields read; objects stop at the limit."""

    def read(self, document: dict[str, Any]) -> Contract | None:
        """Returns the contract; not meaningful if there are faults."""
        self._check_keywords("", document, _OF_DOCUMENT, "the document")
        if document.get("$schema", DIALECT) not in (DIALECT, f"{DIALECT}#"):
            self.faults.add("$schema", f"must be {DIALECT}")
        if document.get("type") != "object":
            self.faults.add("type", 'must be "object": an application is a JSON object')
        application = self._read_object((), document, required=True, nullable=False)
        name = self._read_identifier(document, "x-name", _name_from_title(document))
        version = self._read_identifier(document, "x-version", "1.0.0")
        if application is None:
            return None
        self._check_fields(list(application.fields()))
        ids = self._fields.id_paths
        return Contract(name, version, application, ids[0], document) if ids else None

    def _check_fields(self, fields: Sequence[ContractField]) -> None:
        """Checks what concerns all fields together."""
        seen: set[str] = set()
        for field in fields:
            if field.name in seen:
                self.faults.add(
                    shown(field.name), "two fields have this name: one is nested, the other has a dot in it"
                )
            seen.add(field.name)
        if sum(len(field.categories) for field in fields) > CATEGORIES_MAX:
            self.faults.add("", f"the contract has more than {CATEGORIES_MAX} values of categories")
        ids = [shown_path(path) for path in self._fields.id_paths]
        if not ids:
            self.faults.add("", 'no field has "x-id": true; mark the string that identifies an application')
        for other in ids[1:]:
            self.faults.add(f"{other}.x-id", f"{ids[0]} has it, too; exactly one field identifies an application")

    def _read_identifier(self, document: Mapping[str, Any], keyword: str, default: str) -> str:
        value = document.get(keyword, default)
        pattern = NAME_PATTERN if keyword == "x-name" else VERSION_PATTERN
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        rule = "lower-case letters, digits and hyphens" if keyword == "x-name" else "three numbers such as 1.0.0"
        self.faults.add(keyword, f"must be {rule}")
        return default

    def _check_keywords(self, location: str, schema: Mapping[str, Any], supported: frozenset[str], what: str) -> None:
        """Reports keywords that are not supported here, and annotations that are not texts."""
        for keyword, value in schema.items():
            where = f"{location}.{shown(keyword)}".lstrip(".")
            if keyword not in supported:
                advice = _ADVICE.get(keyword, f"supported here: {', '.join(sorted(supported))}")
                why = f"does not apply to {what}" if keyword in _ALL_KEYWORDS else "keyword is not supported"
                self.faults.add(where, f"{why}; {advice}")
            elif keyword in _TEXTS and not (is_text(value) and len(value) <= _ANNOTATION_CHARACTERS_MAX):
                self.faults.add(where, f"must be a text of at most {_ANNOTATION_CHARACTERS_MAX} characters")

    def _read_object(
        self, path: tuple[str, ...], schema: Mapping[str, Any], *, required: bool, nullable: bool
    ) -> ContractObject | None:
        location = shown_path(path)
        prefix = f"{location}." if location else ""
        properties = schema.get("properties")
        if schema.get("additionalProperties", True) is not True:
            self.faults.add(f"{prefix}additionalProperties", "must be true or absent: other properties are ignored")
        if not isinstance(properties, dict) or not properties:
            self.faults.add(f"{prefix}properties", "must be an object with at least one property")
            return None
        if len(path) > _DEPTH_MAX:
            self.faults.add(location, f"objects are nested more than {_DEPTH_MAX} deep")
            return None
        names_required = self._read_required(prefix, schema.get("required", []), properties)
        members: list[ContractField | ContractObject] = []
        for name, member in properties.items():
            if self._is_valid_name(prefix, name):
                parsed = self._read_member((*path, name), member, required=name in names_required)
                members += [] if parsed is None else [parsed]
            if self._count > FIELDS_MAX:
                self.faults.add("", f"the contract has more than {FIELDS_MAX} fields")
                return None
        title, description = str(schema.get("title", "")), str(schema.get("description", ""))
        return ContractObject(path, tuple(members), required, nullable, title, description)

    def _read_required(self, prefix: str, names: object, properties: Mapping[str, Any]) -> frozenset[str]:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.faults.add(f"{prefix}required", "must be a list of names of properties")
            return frozenset()
        for name in names:
            if name not in properties:
                self.faults.add(f"{prefix}required", f"names {shown(name)}, which is not in properties")
        if len(set(names)) < len(names):
            self.faults.add(f"{prefix}required", "names a property twice")
        return frozenset(names)

    def _is_valid_name(self, prefix: str, name: str) -> bool:
        if not name:
            self.faults.add(f"{prefix}properties", "a property has an empty name")
        elif "=" in name or has_controls(name) or not is_utf8(name):
            self.faults.add(f"{prefix}{shown(name)}", "a property's name must not contain = or control characters")
        elif len(name) > _NAME_CHARACTERS_MAX:
            self.faults.add(f"{prefix}{shown(name)}", f"a name has at most {_NAME_CHARACTERS_MAX} characters")
        else:
            return True
        return False

    def _read_member(
        self, path: tuple[str, ...], schema: object, *, required: bool
    ) -> ContractField | ContractObject | None:
        """Reads one property."""
        location = shown_path(path)
        if not isinstance(schema, dict):
            self.faults.add(location, "must be an object: the schema of the property")
            return None
        type_, nullable = self._read_type(location, schema)
        if type_ == "object":
            self._check_keywords(location, schema, _OF_OBJECTS, "objects")
            return self._read_object(path, schema, required=required, nullable=nullable)
        kind = self._read_kind(location, schema, type_)
        if kind is None:
            return None
        self._count += 1
        self._check_keywords(location, schema, KEYWORDS[kind], _PLURALS[kind])
        return self._fields.read(path, schema, kind, required=required, nullable=nullable)

    def _read_type(self, location: str, schema: Mapping[str, Any]) -> tuple[str, bool]:
        """Returns the type, "" if it is invalid, and whether null is allowed, too."""
        type_ = schema.get("type")
        types = type_ if isinstance(type_, list) else [type_]
        others = [name for name in types if name != "null"]
        if len(others) == 1 and others[0] in _TYPES and len(types) <= 2:
            return others[0], len(types) == 2
        unsupported = next((keyword for keyword in schema if keyword in _ADVICE), None)
        if type_ is None and unsupported is not None:
            self.faults.add(f"{location}.{unsupported}", f"keyword is not supported; {_ADVICE[unsupported]}")
        else:
            self.faults.add(
                f"{location}.type", f"must be one of {', '.join(_TYPES)}, or a list of one of them and null"
            )
        return "", False

    def _read_kind(self, location: str, schema: Mapping[str, Any], type_: str) -> Kind | None:
        if type_ in {"number", "integer", "boolean"}:
            return Kind(type_)
        if type_ == "string" and "enum" in schema:
            return Kind.CATEGORY
        if type_ == "string" and "format" in schema:
            if schema["format"] in ("date", "date-time"):
                return Kind(schema["format"])
            self.faults.add(f"{location}.format", "must be date or date-time")
            return None
        return Kind.TEXT if type_ == "string" else None


def _name_from_title(document: Mapping[str, Any]) -> str:
    title = document.get("title")
    words = re.findall("[a-z0-9]+", title.lower()) if isinstance(title, str) else []
    return "-".join(words)[:64].strip("-") or "application"
