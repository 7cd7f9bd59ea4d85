"""The fields of the contract, from their JSON Schemas, and the values that a field may have in words."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.application import CreditApplication

PROPERTIES: Final[dict[str, Any]] = CreditApplication.model_json_schema()["properties"]


def rule_of(field: str) -> dict[str, Any]:
    """The schema of a field's values other than null."""
    rule: dict[str, Any] = PROPERTIES[field].get("anyOf", [PROPERTIES[field]])[0]
    return rule


def may_be_null(field: str) -> bool:
    """Returns whether a field may be null, which means unknown."""
    return "anyOf" in PROPERTIES[field]


def describe_field(field: str) -> str:
    """Describes the values of a field: "a number from 18 to 120", "one of no, yes, unk"."""
    rule = rule_of(field)
    if "enum" in rule:
        return f"one of {', '.join(rule['enum'])}"
    if rule["type"] == "string":
        return f"a string of {rule['minLength']} to {rule['maxLength']} characters"
    return f"a number {describe_range(rule)}{' or null' if may_be_null(field) else ''}"


def describe_range(rule: Mapping[str, Any], separator: str = "") -> str:
    """Describes the limits of a number from its schema: "from 18 to 120", "above 0, up to 600"; "" if it has none.

    Args:
        rule: the schema.
        separator: between groups of three digits, for example ",".
    """
    low, above, high = (
        None if name not in rule else f"{rule[name]:{separator}.15g}"
        for name in ("minimum", "exclusiveMinimum", "maximum")
    )
    if low is not None:
        return f"from {low}" + ("" if high is None else f" to {high}")
    texts = ([] if above is None else [f"above {above}"]) + ([] if high is None else [f"up to {high}"])
    return ", ".join(texts)
