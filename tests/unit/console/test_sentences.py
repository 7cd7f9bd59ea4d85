"""The sentences of a decision's reasons come from the bundle that decided, if the store has it."""

import json
from pathlib import Path

import pytest

from schemas.decision import BundleReference
from scorer.bundle.load import read_manifest
from scorer.console.sentences import parse_bundle, read_sentences
from scorer.errors import MisuseError
from tests.unit.bundle.making import EXPLAINED, PLAIN, named, remake


def test_sentences_by_code(tmp_path: Path) -> None:
    """Of a shipped bundle without any store, of another one from the store, and in English if there is a choice."""
    manifest = read_manifest(EXPLAINED)
    assert manifest.reasons is not None
    expected = {entry.code: entry.text["en"] for entry in manifest.reasons.catalogue}
    assert read_sentences(None, manifest.reference) == expected
    own = named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    assert read_sentences(tmp_path, read_manifest(own).reference) == expected


def test_the_first_language_without_english(tmp_path: Path) -> None:
    """A catalogue in other languages is shown in the first of them."""

    def translate(text: str) -> str:
        return text.replace('"en":', '"fr":')

    own = named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)
    remake(own, lambda manifest: manifest.update(reasons=json.loads(translate(json.dumps(manifest["reasons"])))))
    reasons = read_manifest(own).reasons
    assert reasons is not None
    sentences = read_sentences(tmp_path, read_manifest(own).reference)
    assert sentences == {entry.code: entry.text["fr"] for entry in reasons.catalogue}


def test_nothing_without_a_catalogue_or_the_bundle(tmp_path: Path) -> None:
    """A bundle without reasons, one that the store lacks, another one in its place, and a store of no filesystem."""
    own = read_manifest(named(tmp_path / "mine" / "2.0.0", "mine", "2.0.0", EXPLAINED)).reference
    assert read_sentences(tmp_path, read_manifest(PLAIN).reference) == {}
    assert read_sentences(tmp_path / "other", own) == {}
    assert read_sentences(tmp_path, own.model_copy(update={"digest": "0" * 64})) == {}
    assert read_sentences("nosuch://bucket", own) == {}


def test_the_query_names_a_bundle() -> None:
    """By name, version and digest, each in its form: never a path."""
    query = {"name": "mine", "version": "2.0.0", "digest": "0" * 64}
    assert parse_bundle(query) == BundleReference(name="mine", version="2.0.0", digest="0" * 64)
    for wrong in ({"name": "../x"}, {"version": "latest"}, {"digest": "x"}):
        with pytest.raises(MisuseError, match="name a bundle by name, version and digest"):
            parse_bundle({**query, **wrong})
    with pytest.raises(MisuseError):
        parse_bundle({})
