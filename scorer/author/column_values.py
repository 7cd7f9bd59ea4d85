"""The values that the contract allows in a column of a bundle's matrix."""

from schemas.fields import rule_of


def is_one_hot(column: str) -> bool:
    """Returns whether a column stands for one value of a category (0 or 1), not for a number."""
    return "=" in column


def limits_of(column: str) -> tuple[float, float]:
    """Returns the lower and the upper limit of a number; the lower one may be exclusive."""
    schema = rule_of(column)
    return schema["minimum" if "minimum" in schema else "exclusiveMinimum"], schema["maximum"]


def may_be(column: str, value: float) -> bool:
    """Returns whether a column may have this value."""
    if is_one_hot(column):
        return value in {0.0, 1.0}
    low, high = limits_of(column)
    is_above_minimum = value > low if "exclusiveMinimum" in rule_of(column) else value >= low
    return is_above_minimum and value <= high
