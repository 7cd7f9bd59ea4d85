"""What the pages say about a bundle's decisions: policy and sentences, or why they are not known."""

import json
from pathlib import Path

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.console.bundle_texts import BundleTexts
from scorer.store.store import BundleStore
from tests.unit.bundle.making import EXPLAINED, PLAIN, named, remake


def test_a_shipped_bundle() -> None:
    """Its policy in words; it has no catalogue, so a code has no sentence."""
    text = BundleTexts(None).of(BundleStore(None).locate("credit-risk:1.1.0").reference)
    assert text.policy == ("above 0.5 DECLINED, above 0.3 MAYBE, otherwise APPROVED",)
    assert text.explain(["INCOME"]) == [{"code": "INCOME", "text": None}]
    assert text.fault == ""


def test_sentences_by_code(tmp_path: Path) -> None:
    """Of a shipped bundle without any store, of another one from the store, and in English if there is a choice."""
    manifest = read_manifest(EXPLAINED)
    assert manifest.reasons is not None
    expected = {entry.code: entry.text["en"] for entry in manifest.reasons.catalogue}
    assert BundleTexts(None).of(manifest.reference).sentences == expected
    own = named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    assert BundleTexts(str(tmp_path)).of(read_manifest(own).reference).sentences == expected


def test_the_first_language_without_english(tmp_path: Path) -> None:
    """A catalogue in other languages is shown in the first of them."""

    def translate(text: str) -> str:
        return text.replace('"en":', '"fr":')

    own = named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    remake(own, lambda manifest: manifest.update(reasons=json.loads(translate(json.dumps(manifest["reasons"])))))
    reasons = read_manifest(own).reasons
    assert reasons is not None
    sentences = BundleTexts(str(tmp_path)).of(read_manifest(own).reference).sentences
    assert sentences == {entry.code: entry.text["fr"] for entry in reasons.catalogue}


def test_nothing_without_a_catalogue_or_the_bundle(tmp_path: Path) -> None:
    """A bundle without reasons, one that the store lacks, another one in its place, and a store of no filesystem."""
    own = read_manifest(named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)).reference
    assert BundleTexts(str(tmp_path)).of(read_manifest(PLAIN).reference).sentences == {}
    assert BundleTexts(str(tmp_path / "other")).of(own).sentences == {}
    assert BundleTexts(str(tmp_path)).of(own.model_copy(update={"digest": "0" * 64})).sentences == {}
    assert BundleTexts("nosuch://bucket").of(own).sentences == {}


def test_a_bundle_that_is_not_available() -> None:
    """The page says so, and has the codes all the same."""
    text = BundleTexts(None).of(BundleReference(name="credit-risk", version="9.9.9", digest="9" * 64))
    assert "credit-risk:9.9.9" in text.fault
    assert text.policy == ()
    assert text.explain(["DEBT"]) == [{"code": "DEBT", "text": None}]


def test_thresholds_for_the_scale_of_probabilities() -> None:
    """Those of the policy, or null with the reason if the bundle is not available."""
    reference = read_manifest(PLAIN).reference
    expected = {"maybe_above": 0.3, "declined_above": 0.5, "has_conditions": False, "fault": ""}
    assert BundleTexts(None).of(reference).policy_as_json() == expected
    missing = BundleTexts(None).of(BundleReference(name="credit-risk", version="9.9.9", digest="9" * 64))
    assert missing.policy_as_json()["maybe_above"] is None
    assert "credit-risk:9.9.9" in missing.policy_as_json()["fault"]
