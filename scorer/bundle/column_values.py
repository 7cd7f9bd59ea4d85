"""What the contract lets a column of a bundle's matrix be."""

from typing import Any, Final

from schemas.application import CreditApplication

_PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


def is_one_hot(column: str) -> bool:
    """Whether it is one value of a category, 0 or 1, and not a number."""
    return "=" in column


def may_be_unknown(column: str) -> bool:
    """Whether a number may be left out."""
    return "anyOf" in _PROPERTIES[column]


def limits_of(column: str) -> tuple[float, float]:
    """The lower and the upper limit of a number, whether or not it may be as low as that."""
    rule = _rule_of(column)
    return rule["minimum" if "minimum" in rule else "exclusiveMinimum"], rule["maximum"]


def may_be(column: str, value: float) -> bool:
    """Whether a column may have this value."""
    if is_one_hot(column):
        return value in {0.0, 1.0}
    low, high = limits_of(column)
    above = value > low if "exclusiveMinimum" in _rule_of(column) else value >= low
    return above and value <= high


def _rule_of(column: str) -> dict[str, Any]:
    rule: dict[str, Any] = _PROPERTIES[column].get("anyOf", [_PROPERTIES[column]])[0]
    return rule
