"""Reads the schema of one field of a contract: keywords of its kind, limits, categories and annotations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from schemas.contract import ID_CHARACTERS_MAX, ContractField, Kind, Limits, Value
from schemas.contract_faults import Faults, is_number, is_text, shown, shown_path
from schemas.contract_values import is_valid

_UNKNOWN_MAX: Final = 100  # values of one field that mean unknown
_LENGTH_MAX: Final = 1_000_000  # above every record

ANNOTATIONS: Final = frozenset({"title", "description", "$comment"})
_OF_FIELDS: Final = ANNOTATIONS | {"type", "default", "examples", "x-unit", "x-prohibited"}
_OF_NUMBERS: Final = _OF_FIELDS | {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "x-unknown", "x-codes",
}  # fmt: skip
KEYWORDS: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.NUMBER: _OF_NUMBERS,
    Kind.INTEGER: _OF_NUMBERS,
    Kind.BOOLEAN: _OF_FIELDS,
    Kind.CATEGORY: _OF_FIELDS | {"enum", "x-unknown", "x-codes"},
    Kind.TEXT: _OF_FIELDS | {"minLength", "maxLength", "x-id"},
    Kind.DATE: _OF_FIELDS | {"format"},
    Kind.DATE_TIME: _OF_FIELDS | {"format"},
}


class FieldParser:
    """Reads fields, and adds what is wrong in them to the document's faults."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.id_paths: list[tuple[str, ...]] = []
        """The fields with x-id, in the order in which they were read."""

    def read(
        self, path: tuple[str, ...], schema: Mapping[str, Any], kind: Kind, *, required: bool, nullable: bool
    ) -> ContractField:
        """Reads a field of a kind; what is wrong in it is noted."""
        location = shown_path(path)
        if schema.get("x-id", False) is not False:
            self._mark_id(path, location, schema, may_be_missing=nullable or not required)
        is_id = path in self.id_paths
        length_min, length_max = self._lengths(location, schema, is_id=is_id) if kind is Kind.TEXT else (0, None)
        categories = self._categories(location, schema["enum"], nullable=nullable) if kind is Kind.CATEGORY else ()
        parsed = ContractField(
            path=path,
            kind=kind,
            required=required,
            nullable=nullable,
            default=schema.get("default"),
            limits=self._limits(location, schema, kind) if kind.is_numeric else Limits(),
            length_min=length_min,
            length_max=length_max,
            categories=categories,
            unknown=self._unknown(location, schema, kind),
            codes=self._codes(location, schema, categories),
            unit=str(schema.get("x-unit", "")),
            prohibited=str(schema.get("x-prohibited", "")),
            title=str(schema.get("title", "")),
            description=str(schema.get("description", "")),
            examples=self._examples(location, schema),
        )
        if "default" in schema and not is_valid(parsed, schema["default"]):
            self._faults.add(f"{location}.default", "is not a valid value of the field")
        if not all(is_valid(parsed, example) for example in parsed.examples):
            self._faults.add(f"{location}.examples", "contains a value that is not valid for the field")
        return parsed

    def _mark_id(
        self, path: tuple[str, ...], location: str, schema: Mapping[str, Any], *, may_be_missing: bool
    ) -> None:
        if schema["x-id"] is not True:
            self._faults.add(f"{location}.x-id", "must be true or absent")
            return
        self.id_paths.append(path)
        if may_be_missing:
            self._faults.add(location, "identifies an application, so it must be required and not nullable")

    def _lengths(self, location: str, schema: Mapping[str, Any], *, is_id: bool) -> tuple[int, int | None]:
        low: Any = schema.get("minLength", 1 if is_id else 0)
        high: Any = schema.get("maxLength", ID_CHARACTERS_MAX if is_id else None)
        for keyword, length in (("minLength", low), ("maxLength", high)):
            if keyword in schema and not (
                isinstance(length, int) and not isinstance(length, bool) and 0 <= length <= _LENGTH_MAX
            ):
                self._faults.add(f"{location}.{keyword}", f"must be an integer from 0 to {_LENGTH_MAX}")
                return 0, None
        if high is not None and low > high:
            self._faults.add(location, "no text is both as long as minLength and as short as maxLength")
        if is_id and low < 1:
            self._faults.add(f"{location}.minLength", "must be at least 1: an empty id identifies nothing")
        return low, high

    def _limits(self, location: str, schema: Mapping[str, Any], kind: Kind) -> Limits:
        numbers = {}
        for keyword in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"):
            if keyword in schema:
                if not is_number(schema[keyword]):
                    self._faults.add(f"{location}.{keyword}", "must be a finite number")
                    return Limits()
                numbers[keyword] = float(schema[keyword])
        limits = Limits(
            numbers.get("minimum", -math.inf),
            numbers.get("exclusiveMinimum", -math.inf),
            numbers.get("maximum", math.inf),
            numbers.get("exclusiveMaximum", math.inf),
        )
        if not _satisfiable(limits, kind):
            self._faults.add(location, f"no {kind} satisfies the limits")
        return limits

    def _categories(self, location: str, values: object, *, nullable: bool) -> tuple[str, ...]:
        if not isinstance(values, list) or not values:
            self._faults.add(f"{location}.enum", "must be a list of at least one string")
            return ()
        texts = [value for value in values if value is not None]
        if not texts or not all(is_text(text) for text in texts):
            self._faults.add(f"{location}.enum", "must contain strings only (and null, if type allows it)")
            return ()
        for text in sorted({text for text in texts if texts.count(text) > 1}) if len(set(texts)) < len(texts) else ():
            self._faults.add(f"{location}.enum", f"contains {shown(text)} twice")
        if values.count(None) != int(nullable):
            fix = "add null to enum" if nullable else 'add "null" to type'
            self._faults.add(
                f"{location}.enum", f"null must be in both type and enum, or in neither: {fix}, or remove it"
            )
        return tuple(texts)

    def _unknown(self, location: str, schema: Mapping[str, Any], kind: Kind) -> tuple[Value, ...]:
        values = schema.get("x-unknown", [])
        right = is_number if kind.is_numeric else is_text
        if "x-unknown" not in KEYWORDS[kind]:
            return ()
        if not isinstance(values, list) or not all(map(right, values)) or len(values) > _UNKNOWN_MAX:
            what = "numbers" if kind.is_numeric else "strings"
            self._faults.add(f"{location}.x-unknown", f"must be a list of at most {_UNKNOWN_MAX} {what}")
            return ()
        if len(set(values)) < len(values):
            self._faults.add(f"{location}.x-unknown", "contains a value twice")
        return tuple(float(value) if kind.is_numeric else value for value in values)

    def _codes(self, location: str, schema: Mapping[str, Any], categories: Sequence[str]) -> Mapping[str, str | None]:
        codes = schema.get("x-codes", {})
        location = f"{location}.x-codes"
        if not isinstance(codes, dict):
            self._faults.add(location, 'must be an object of codes and values such as {"1": "rent", "0": null}')
            return {}
        unknown = schema.get("x-unknown", [])
        for code, value in codes.items():
            if value is None or value in categories or (isinstance(unknown, list) and value in unknown):
                continue
            rule = "must be in enum, or null" if categories else "must be null, which means unknown"
            self._faults.add(location, f"the value of code {shown(code)} {rule}")
        return codes

    def _examples(self, location: str, schema: Mapping[str, Any]) -> tuple[Any, ...]:
        values = schema.get("examples", [])
        if not isinstance(values, list):
            self._faults.add(f"{location}.examples", "must be a list of values")
            return ()
        return tuple(values)


def _satisfiable(limits: Limits, kind: Kind) -> bool:
    low = max(limits.minimum, math.nextafter(limits.exclusive_minimum, math.inf))
    high = min(limits.maximum, math.nextafter(limits.exclusive_maximum, -math.inf))
    if kind is Kind.INTEGER and math.isfinite(low) and math.isfinite(high):
        return math.ceil(low) <= math.floor(high)
    return low <= high
