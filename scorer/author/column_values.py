"""The values that the contract allows in a column of a bundle's matrix."""

from typing import Any, Final

from schemas.application import CreditApplication

_PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


def is_one_hot(column: str) -> bool:
    """Returns whether a column stands for one value of a category (0 or 1), not for a number."""
    return "=" in column


def may_be_unknown(column: str) -> bool:
    """Returns whether a number is optional."""
    return "anyOf" in _PROPERTIES[column]


def limits_of(column: str) -> tuple[float, float]:
    """Returns the lower and the upper limit of a number; the lower one may be exclusive."""
    schema = _schema_of(column)
    return schema["minimum" if "minimum" in schema else "exclusiveMinimum"], schema["maximum"]


def may_be(column: str, value: float) -> bool:
    """Returns whether a column may have this value."""
    if is_one_hot(column):
        return value in {0.0, 1.0}
    low, high = limits_of(column)
    is_above_minimum = value > low if "exclusiveMinimum" in _schema_of(column) else value >= low
    return is_above_minimum and value <= high


def _schema_of(column: str) -> dict[str, Any]:
    schema: dict[str, Any] = _PROPERTIES[column].get("anyOf", [_PROPERTIES[column]])[0]
    return schema
