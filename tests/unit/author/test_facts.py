"""Two bundles side by side in words: what a reviewer compares, whether or not both have it."""

from pathlib import Path

from scorer.author.facts import Fact, compare_facts
from scorer.bundle.load import read_manifest
from tests.unit.bundle.making import PLAIN, WITH_MARITAL, copy_bundle, remake


def _facts(before: Path, after: Path) -> dict[str, Fact]:
    return {fact.name: fact for fact in compare_facts(read_manifest(before), read_manifest(after))}


def test_a_bundle_does_not_differ_from_itself() -> None:
    """All facts are there, and none differs."""
    facts = _facts(PLAIN, PLAIN)
    assert {"contract", "model", "fields", "policy", "reasons", "AUC", "held out: APPROVED"} <= facts.keys()
    assert not any(fact.differs for fact in facts.values())


def test_fields_that_only_one_has_are_named() -> None:
    """Those of both are only counted."""
    fields = _facts(WITH_MARITAL, PLAIN)["fields"]
    assert (fields.before, fields.after) == (("13, only here: marital",), ("12",))
    assert fields.differs


def test_a_policy_is_in_words_line_by_line(tmp_path: Path) -> None:
    """As everywhere else."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda m: m["policy"].update(maybe_above=0.25))
    policy = _facts(PLAIN, folder)["policy"]
    assert policy.after == ("above 0.5 DECLINED, above 0.25 MAYBE, otherwise APPROVED",)
    assert policy.differs


def test_figures_that_one_does_not_have(tmp_path: Path) -> None:
    """A bundle that was not measured has none."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda m: m.update(metrics=None))
    assert _facts(PLAIN, folder)["AUC"] == Fact("AUC", ("0.8449",), ("none",))
    assert _facts(folder, PLAIN)["AUC"] == Fact("AUC", ("none",), ("0.8449",))


def test_many_names_are_cut_off(tmp_path: Path) -> None:
    """A contract may have a thousand fields."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda m: m["features"].update(columns=["age"]))
    (text,) = _facts(PLAIN, folder)["fields"].before
    assert text.startswith("12, only here: amount, ")
    assert text.endswith(" and 1 more")
