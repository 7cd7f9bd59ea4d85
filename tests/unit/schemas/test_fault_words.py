"""Faults of documents that pydantic checks: each rule in words of our own, with the field and without the value."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from scorer.bundle.manifest import parse_manifest
from scorer.errors import BundleError
from tests.unit.bundle.making import EXPLAINED

PYDANTIC = (
    "Input should",
    "String should",
    "should have",
    "Field required",
    "Extra inputs",
    "Value error",
    "Invalid JSON",
)
Change = Callable[[Any], object]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda it: it.pop("model"), "model: is missing"),
        (lambda it: it["policy"].update(maybe=0.3), "policy.maybe: unknown name (is it misspelled?)"),
        (lambda it: it.update(metrics=[]), "metrics: must be an object or a table"),
        (lambda it: it.update(labels=[]), "labels: must be an object or a table"),
        (lambda it: it.update(labels=dict.fromkeys(map(str, range(65)), "")), "labels: must have at most 64 entries"),
        (lambda it: it["features"].update(columns={}), "features.columns: must be a list"),
        (lambda it: it["features"].update(columns=[]), "features.columns: must not be empty"),
        (lambda it: it["features"].update(columns=[1]), "features.columns.0: must be a text"),
        (lambda it: it["features"].update(columns=["secret" * 99]), "features.columns.0: must have at most 256 char"),
        (lambda it: it.update(name="Secret"), "name: must match the pattern ^"),
        (lambda it: it.update(platform=""), "platform: must not be empty"),
        (lambda it: it.update(platform="secret\n"), "platform: contains a control character or a line break"),
        (lambda it: it.update(created="secret"), "created: must be a date and time, for example 2026-11-01T09:30:00Z"),
        (lambda it: it.update(created="2026-11-01T09:30:00"), "created: must be a time with a time zone"),
        (lambda it: it.update(created="2026-11-01T09:30:00+01:00"), "created: must be in UTC"),
        (lambda it: it["policy"].update(maybe_above="secret"), "policy.maybe_above: must be a number"),
        (lambda it: it["policy"].update(maybe_above=2), "policy.maybe_above: must be at most 1"),
        (lambda it: it["metrics"]["dataset"].update(rows=1.5), "metrics.dataset.rows: must be a whole number"),
        (lambda it: it["metrics"]["dataset"].update(rows=-1), "metrics.dataset.rows: must be at least 0"),
        (lambda it: it["reasons"].update(method="secret"), "reasons.method: must be 'tree-path-dependent'"),
        (lambda it: it["files"].pop("golden.jsonl"), "valid manifest: files must name golden.jsonl"),
    ],
)
def test_a_fault_of_a_manifest(change: Change, fault: str) -> None:
    """Pydantic's own words were shown, such as "Input should be a valid dictionary or instance of Policy"."""
    manifest = json.loads((EXPLAINED / "bundle.json").read_bytes())
    change(manifest)
    message = explain(json.dumps(manifest).encode())
    assert fault in message
    assert "secret" not in message.lower()


def explain(raw: bytes) -> str:
    """The message about a manifest, in which pydantic's words do not occur."""
    with pytest.raises(BundleError) as raised:
        parse_manifest(raw)
    message = str(raised.value)
    assert not [words for words in PYDANTIC if words in message]
    return message


def test_a_document_that_is_not_json() -> None:
    """The place is named."""
    assert explain(b'{\n"manifest_version": 3,}').startswith("bundle.json is not a valid manifest: not JSON: ")
    assert "line 2" in explain(b'{\n"manifest_version": 3,}')


def test_five_faults_are_shown() -> None:
    """With the number of the others."""
    message = explain(b'{"manifest_version": 3}')
    assert message.count("is missing") == 5
    assert "; and " in message


def test_invalid_entries_of_a_list() -> None:
    """Pydantic does not count them: a list of one invalid entry was also reported as too short."""
    manifest = json.loads((EXPLAINED / "bundle.json").read_bytes())
    manifest["features"]["columns"] = [1]
    assert explain(json.dumps(manifest).encode()).endswith("manifest: features.columns.0: must be a text")


def test_a_name_that_an_author_chose() -> None:
    """It is shortened and printable."""
    manifest = json.loads((EXPLAINED / "bundle.json").read_bytes()) | {"\x1b" + "x" * 200: 1}
    name = explain(json.dumps(manifest).encode()).removeprefix("bundle.json is not a valid manifest: ")
    assert name.startswith("\N{REPLACEMENT CHARACTER}xxx")
    assert name.endswith("…: unknown name (is it misspelled?)")
