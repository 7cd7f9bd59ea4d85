"""Converts a pydantic model into a contract; what a contract cannot express is named by field and constraint."""

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BaseModel, PydanticUserError

from schemas.contract_faults import ContractError, shown, shown_path
from schemas.contract_fields import KEYWORDS
from schemas.contract_parser import DIALECT, parse_contract
from scorer.errors import MisuseError

_KEYWORDS_KEPT: Final = frozenset().union(*KEYWORDS.values()) | {"properties", "required"}
_WITHOUT_MEANING: Final = frozenset(
    {"deprecated", "readOnly", "writeOnly", "$defs", "contentMediaType", "contentEncoding"}
)
_TYPES: Final = frozenset({"number", "integer", "boolean", "string"})
_LIMITS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_DATES: Final = frozenset({"date", "datetime"})
_LIMITED_DATES: Final = frozenset({"PastDate", "FutureDate", "PastDatetime", "FutureDatetime"})
_FORMATS: Final = frozenset({"date", "date-time"})
_ADVICE: Final[Mapping[str, str]] = {
    "pattern": "use Literal for a fixed set of values, or check it in the publisher",
    "multipleOf": "use int for whole numbers",
    "items": "a contract has no lists: give each element a field of its own",
    "additionalProperties": "a contract has no dictionaries: use a model with named fields",
    "oneOf": "a field has one type, which may be None",
    "anyOf": "a field has one type, which may be None",
}
_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """A contract made from a model.

    Attributes:
        document: the JSON Schema.
        notes: rules of the model that are not rules of the contract.
    """

    document: dict[str, Any]
    notes: list[str]


def load_model(reference: str) -> type[BaseModel]:
    """Imports a model, from the current folder or an installed package; this runs the module's code.

    Args:
        reference: `package.module:Model`.

    Raises:
        MisuseError: there is no such model, or its module cannot be imported.
    """
    module_name, colon, name = reference.partition(":")
    if not colon or not module_name or not name:
        raise MisuseError(f"{reference}: write package.module:Model, for example lending.models:LoanApplication")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise MisuseError(
            f"{reference}: no module {error.name}; is it installed in this environment, or in the current folder?"
        ) from None
    except Exception as error:  # the user's code may raise anything
        raise MisuseError(f"{reference}: importing it failed: {type(error).__name__}: {error}") from error
    model = getattr(module, name, None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        models = sorted(n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, BaseModel))
        known = ", ".join(other for other in models if other != "BaseModel") or "none"
        raise MisuseError(f"{reference}: {module_name} has no pydantic model {name}; its models: {known}")
    return model


def convert_model(model: type[BaseModel], id_name: str | None) -> Converted:
    """Converts a model.

    Args:
        model: the model of an application.
        id_name: the dotted name of the field that identifies an application; None if the model marks it with
            `json_schema_extra={"x-id": True}`.

    Raises:
        MisuseError: the model has a constraint that a contract cannot express; all of them are named.
    """
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise MisuseError(f"{model.__name__}: has no JSON Schema: {str(error).splitlines()[0]}") from None
    conversion = _Conversion(schema.get("$defs", {}))
    application = conversion.convert((), schema, ())
    if id_name is not None:
        _mark_id(application, id_name, conversion)
    faults = list(conversion.faults)
    application.pop("title", None)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", model.__name__).lower().replace("_", "-").strip("-")
    document = {"$schema": DIALECT, "x-name": name, "x-version": "1.0.0"} | application
    if not faults:
        try:
            parse_contract(json.dumps(document))
        except ContractError as error:
            faults = list(error.faults)
    if faults:
        lines = "\n".join(f"  {fault}" for fault in faults)
        raise MisuseError(f"{model.__name__} cannot be converted into a contract:\n{lines}")
    return Converted(document, [*conversion.notes, *_find_code(model)])


def _mark_id(application: dict[str, Any], id_name: str, conversion: "_Conversion") -> None:
    schema: Any = application
    for name in id_name.split("."):
        schema = schema.get("properties", {}).get(name)
        if schema is None:
            names = ", ".join(map(shown, application.get("properties", {})))
            raise MisuseError(f"--id {id_name}: the model has no such field; its fields: {names}")
    if schema.get("type") != "string":
        conversion.faults.append(f"{shown(id_name)}: the id must be a str, which is not None")
    schema["x-id"] = True


@dataclass
class _Conversion:
    """Converts schemas of one document. `faults` and `notes` grow while it is converted."""

    definitions: Final[Mapping[str, Any]]
    faults: Final[list[str]] = field(default_factory=list)
    notes: Final[list[str]] = field(default_factory=list)

    def convert(self, path: _Path, schema: Mapping[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        """Converts the schema of a field or object; `within` are the definitions that it is a part of."""
        reference = schema.get("$ref")
        if reference is not None:
            name = str(reference).removeprefix("#/$defs/")
            if name in within:
                self._fault(path, "$ref", f"{shown(name)} contains itself, which a contract cannot describe")
                return {}
            own = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
            return self.convert(path, {**self.definitions.get(name, {}), **own}, (*within, name))
        if "anyOf" in schema:
            return self._convert_union(path, schema, within)
        if "allOf" in schema and len(schema["allOf"]) == 1:
            own = {keyword: value for keyword, value in schema.items() if keyword != "allOf"}
            return self.convert(path, {**schema["allOf"][0], **own}, within)
        return self._convert_plain(path, schema, within)

    def _convert_union(self, path: _Path, schema: Mapping[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        """Converts a type that may be None, and Decimal, which is a number or a string of digits."""
        branches = [branch for branch in schema["anyOf"] if branch.get("type") != "null"]
        is_nullable = len(branches) < len(schema["anyOf"])
        numbers = [branch for branch in branches if branch.get("type") == "number"]
        if len(branches) == 2 and len(numbers) == 1 and any(branch.get("type") == "string" for branch in branches):
            self.notes.append(f"{shown_path(path)}: Decimal becomes a number; strings of digits are not valid")
            branches = numbers
        if len(branches) != 1:
            self._fault(path, "anyOf", _ADVICE["anyOf"])
            return {}
        own = {keyword: value for keyword, value in schema.items() if keyword != "anyOf"}
        converted = self.convert(path, {**branches[0], **own}, within)
        if is_nullable and "type" in converted:
            converted["type"] = [converted["type"], "null"]
            if "enum" in converted:
                converted["enum"] = [*converted["enum"], None]
        if converted.get("default", 0) is None:  # an absent field without a default is unknown, too
            del converted["default"]
        return converted

    def _convert_plain(self, path: _Path, schema: Mapping[str, Any], within: tuple[str, ...]) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for keyword, value in schema.items():
            if keyword == "properties":
                converted[keyword] = {
                    name: self.convert((*path, name), member, within) for name, member in value.items()
                }
            elif keyword == "const":
                converted["enum"] = [value]
            elif keyword == "format" and value not in _FORMATS:
                self.notes.append(f"{shown_path(path)}: format {shown(str(value))} is not checked: it is a text")
            elif keyword == "title" and path and _is_generated(value, path[-1], within):
                continue
            elif keyword == "additionalProperties" and value is False:
                self.notes.append(f"{shown_path(path) or 'the model'}: other properties are ignored, not forbidden")
            elif keyword in _LIMITS and isinstance(value, float) and value.is_integer():
                converted[keyword] = int(value)
            elif keyword in _KEYWORDS_KEPT:
                converted[keyword] = value
            elif keyword not in _WITHOUT_MEANING and not (keyword == "additionalProperties" and value is True):
                self._fault(path, keyword, _ADVICE.get(keyword, "a contract cannot express it"))
        self._check_type(path, schema, converted)
        return {keyword: converted[keyword] for keyword in ("type",) if keyword in converted} | converted

    def _check_type(self, path: _Path, schema: Mapping[str, Any], converted: dict[str, Any]) -> None:
        if "enum" in converted and not all(isinstance(value, str) for value in converted["enum"]):
            self._fault(path, "enum", "the values of a category are strings: use a str Enum or Literal of strings")
        elif converted.get("type") == "object" and "properties" in converted:
            if converted.pop("default", None) is not None:
                self._fault(path, "default", "an object has no default: give its fields one")
        elif converted.get("type") not in _TYPES and not {"items", "oneOf"} & schema.keys():
            what = "additionalProperties" if schema.get("type") == "object" else "type"
            self._fault(path, what, _ADVICE.get(what, "must be a number, bool, str, date, datetime or a model"))

    def _fault(self, path: _Path, constraint: str, advice: str) -> None:
        fault = f"{shown_path(path) or 'the model'}: {constraint}: {advice}"
        if fault not in self.faults:
            self.faults.append(fault)


def _is_generated(title: object, name: str, within: tuple[str, ...]) -> bool:
    """Whether pydantic made the title from the name of a field or a class."""
    return title == name.replace("_", " ").title() or title in within


def _find_code(model: type[BaseModel]) -> Iterator[str]:
    """Rules of a model, and of those in it, that JSON Schema does not have: validators, and limits of dates."""
    for current in _models(model, []):
        decorators = current.__pydantic_decorators__
        for validator in (
            *decorators.validators, *decorators.field_validators, *decorators.root_validators,
            *decorators.model_validators,
        ):  # fmt: skip
            yield f"{current.__name__}.{validator}: a validator in Python, which is not part of the contract"
        for name, info in current.model_fields.items():
            names = {type_.__name__ for type_ in _types(info.annotation)}
            if names & _LIMITED_DATES or (names & _DATES and info.metadata):
                yield f"{current.__name__}.{name}: limits of dates are not part of the contract"


def _models(model: type[BaseModel], seen: list[type[BaseModel]]) -> list[type[BaseModel]]:
    if model not in seen:
        seen.append(model)
        for info in model.model_fields.values():
            for type_ in _types(info.annotation):
                if issubclass(type_, BaseModel):
                    _models(type_, seen)
    return seen


def _types(annotation: object) -> Iterator[type]:
    """The classes in an annotation."""
    if isinstance(annotation, type):
        yield annotation
    for argument in get_args(annotation):
        yield from _types(argument)
