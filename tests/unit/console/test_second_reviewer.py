"""Whether a decision needs a second reviewer, as far as the bundle alone says it: no application is read."""

from pathlib import Path
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from schemas.decision import BundleReference
from schemas.records import ReadDecision
from scorer.bundle.load import read_manifest
from scorer.console.second_reviewer import SecondReviewers
from scorer.operate.application_records import Written
from scorer.settings import Settings
from tests.unit.bundle.making import EXPLAINED, PLAIN, named, remake


def decision(bundle: BundleReference) -> Written:
    """A MAYBE decision by this bundle."""
    return Written(ReadDecision("t:0:0@1", "a", "MAYBE", 0.4, bundle, "t", 0, 0, "", "", is_correction=False), 0, 0, 0)


def reviewers(store: Path) -> SecondReviewers:
    """With this store, and a broker that nobody may ask."""
    return SecondReviewers(Settings(store=str(store), bootstrap_servers="localhost:1"))


@pytest.mark.parametrize("bundle", [PLAIN, EXPLAINED], ids=["version 1", "version 3"])
def test_a_policy_without_a_condition(bundle: Path, tmp_path: Path) -> None:
    """One reviewer is enough, and the application is not read."""
    assert not reviewers(tmp_path).is_needed(decision(read_manifest(bundle).reference))


@pytest.mark.parametrize("change", [{"digest": "0" * 64}, {"version": "9.9.9"}])
def test_a_bundle_that_is_not_available(change: dict[str, Any], tmp_path: Path) -> None:
    """It is not known whether its policy has a condition: nobody reviews the decision, and the message says why."""
    missing = read_manifest(PLAIN).reference.model_copy(update=change)
    with pytest.raises(HTTPException) as raised:
        reviewers(tmp_path).is_needed(decision(missing))
    assert raised.value.status_code == 503
    assert "second reviewer is not known, because its bundle is not available" in raised.value.detail


def test_a_condition_that_does_not_fit_the_contract(tmp_path: Path) -> None:
    """A forged bundle, which no worker opens, is not a bundle without a condition."""
    own = named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    remake(own, lambda manifest: manifest["policy"].update(second_review_when="salary > 1"))
    with pytest.raises(HTTPException, match="unknown field salary"):
        reviewers(tmp_path).is_needed(decision(read_manifest(own).reference))
