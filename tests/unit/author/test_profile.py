"""The profile of a bundle: what it says about the data that a model was trained on, and what it must not say."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.profile import AT, FieldProfile, Profile, ProfileError, parse_profile
from scorer.author.profile import GROUP_MIN, make_profile
from scorer.core.columns import Columns
from scorer.core.decode import Decoder

BYTES_MAX = 65_536
PROPERTIES = {
    "id": {"type": "string", "x-id": True},
    "name": {"type": "string"},
    "income": {"type": ["number", "null"]},
    "born": {"type": "string", "format": "date"},
    "home": {"type": "string", "enum": ["rent", "own", "boat"]},
    "owns_car": {"type": "boolean"},
}
CONTRACT = parse_contract(json.dumps({"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)}))


def _columns(applications: Sequence[dict[str, Any]], contract: Contract = CONTRACT) -> Columns:
    decoded = Decoder(contract).decode_batch([json.dumps(a).encode() for a in applications], BYTES_MAX)
    assert not decoded.rejections
    return decoded.columns


def _people(count: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(3)
    return [
        {
            "id": f"a-{number}",
            "name": f"Zoe {number}",
            "income": None if number % 10 == 0 else round(float(random.lognormal(10, 1)), 2),
            "born": f"{random.integers(1950, 2006)}-{random.integers(1, 13):02}-17",
            "home": "rent" if number % 4 else "own",
            "owns_car": bool(number % 2),
        }
        for number in range(count)
    ]


def test_a_profile_is_near_the_data() -> None:
    """Shares and quantiles are those of the data, rounded; the file is read as it was written."""
    people = _people(4_000)
    profile = make_profile(CONTRACT, _columns(people))
    assert parse_profile(profile.dump()) == profile
    income, home = profile.fields["income"], profile.fields["home"]
    assert (income.unknown, income.decimals, home.shares) == (0.1, 2, {"rent": 0.75, "own": 0.25})
    known = [person["income"] for person in people if person["income"] is not None]
    assert income.quantiles == pytest.approx(np.quantile(known, AT), rel=0.005)
    assert profile.fields["owns_car"].shares == {"false": 0.5, "true": 0.5}


def test_a_profile_has_no_value_of_a_person() -> None:
    """Texts are not in it, numbers have three digits, dates are 30 days apart, and the extremes are nobody's."""
    people = _people(1_000)
    people[0] |= {"income": 9_999_999.25, "born": "1901-01-01", "home": "boat"}
    profile = make_profile(CONTRACT, _columns(people))
    written = profile.dump().decode()
    assert "Zoe" not in written
    assert "a-1" not in written
    assert "boat" not in written
    assert set(profile.fields) == {"income", "born", "home", "owns_car"}
    for value in profile.fields["income"].quantiles or ():
        assert len(f"{value:.15g}".replace(".", "").strip("0")) <= 3
        assert sum(p["income"] is not None and p["income"] <= value * 1.005 for p in people) >= GROUP_MIN
        assert sum(p["income"] is not None and p["income"] >= value * 0.995 for p in people) >= GROUP_MIN
    assert all(days % 30 == 0 for days in profile.fields["born"].quantiles or ())


def test_a_person_more_or_less_changes_no_share() -> None:
    """With and without an applicant who stands out in every field, the shares of unknown and of values are the same."""
    people = _people(4_000)
    other = people[0] | {"income": 5_000_000.5, "home": "boat", "born": "1901-01-01", "id": "one more"}
    before, after = (make_profile(CONTRACT, _columns(rows)).fields for rows in (people, [*people, other]))
    for name, field in before.items():
        assert (after[name].unknown, after[name].shares) == (field.unknown, field.shares)


@pytest.mark.parametrize("count", [0, 1, 99])
def test_few_applications_have_no_profile(count: int) -> None:
    """Below a hundred applications nothing is said about any field."""
    assert make_profile(CONTRACT, _columns(_people(count))) == Profile(fields={})


def test_what_few_applications_have_is_not_said() -> None:
    """A share of fewer than ten counts as none, and a number that fewer than a hundred have has no quantiles."""
    people = [person | {"income": 5.0 if number < 60 else None} for number, person in enumerate(_people(200))]
    people = [person | {"owns_car": number < 9} for number, person in enumerate(people)]
    fields = make_profile(CONTRACT, _columns(people)).fields
    assert fields["income"] == FieldProfile(unknown=0.7)
    assert fields["owns_car"].shares == {"false": 0.95}
    people = [person | {"income": 5.0 if number > 8 else None} for number, person in enumerate(people)]
    assert make_profile(CONTRACT, _columns(people)).fields["income"].unknown == 0


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not a profile: not JSON"),
        (b"[]", "is not a profile: must be an object"),
        (b'{"fields": {"x": {"unknown": 2}}}', "fields.unknown: must be at most 1"),
        (b'{"fields": {"x": {"unknown": 0, "quantiles": [1, 2]}}}', "fields.quantiles: must have at least 11"),
        (b'{"fields": {"x": {"unknown": 0, "quantiles": [2,1,1,1,1,1,1,1,1,1,1]}}}', "quantiles must not fall"),
        (b'{"fields": {"x": {"unknown": NaN}}}', "is not a profile"),
        (b'{"profile_version": 2, "fields": {}}', "profile_version: must be 1"),
        (b'{"fields": {}, "x": 1}', "unknown name"),
        (b" " * (4 << 20) + b"{}", "has more than 4194304 bytes"),
    ],
)
def test_what_is_not_a_profile_is_reported(raw: bytes, message: str) -> None:
    """The message says what is wrong, and repeats no name or value of the file."""
    with pytest.raises(ProfileError, match=message):
        parse_profile(raw)
