"""Fields in words: what a field takes, from its schema alone."""

import pytest

from schemas.fields import describe_field, describe_range


def test_fields_are_described_from_the_contract() -> None:
    """The values of a field are described from its schema, whatever kind it is."""
    assert describe_field("age") == "a number from 18 to 120"
    assert describe_field("time") == "a number above 0, up to 600"
    assert describe_field("income") == "a number from 0 to 50000000 or null"
    assert describe_field("records") == "one of no, yes, unk"
    assert describe_field("application_id") == "a string of 1 to 64 characters"


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, ""),
        ({"minimum": 0.5}, "from 0.5"),
        ({"maximum": 1_000_000}, "up to 1,000,000"),
        ({"exclusiveMinimum": 0}, "above 0"),
        ({"minimum": 1_024, "maximum": 8_388_608}, "from 1,024 to 8,388,608"),
    ],
)
def test_limits_that_a_schema_has(rule: dict[str, float], words: str) -> None:
    """A schema may have any of the limits, or none."""
    assert describe_range(rule, ",") == words
