"""What the pages say about a bundle's decisions: policy and sentences, or why they are not known."""

from schemas.decision import BundleReference
from scorer.console.bundle_texts import BundleTexts
from scorer.store.store import BundleStore


def test_a_shipped_bundle() -> None:
    """Its policy in words; it has no catalogue, so a code has no sentence."""
    text = BundleTexts(None).of(BundleStore(None).locate("credit-risk:1.1.0").reference)
    assert text.policy == ("above 0.5 DECLINED, above 0.3 MAYBE, otherwise APPROVED",)
    assert text.explain(["INCOME"]) == [{"code": "INCOME", "text": None}]
    assert text.fault == ""


def test_a_bundle_that_is_not_available() -> None:
    """The page says so, and has the codes all the same."""
    text = BundleTexts(None).of(BundleReference(name="credit-risk", version="9.9.9", digest="9" * 64))
    assert "credit-risk:9.9.9" in text.fault
    assert text.policy == ()
    assert text.explain(["DEBT"]) == [{"code": "DEBT", "text": None}]
