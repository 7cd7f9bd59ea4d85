"""`scorer bundle`: what is there, what it says of itself, and whether it holds."""

import json
from pathlib import Path

import pytest

from scorer.bundle.load import read_manifest
from scorer.bundle.store import BundleStore
from tests.unit.bundle.making import PLAIN, copy_bundle, named
from tests.unit.cli.conftest import Run


def test_list_names_every_bundle_and_where_it_is(tmp_path: Path, run: Run) -> None:
    """The shipped ones, those in the store, and which one decides if none is named."""
    BundleStore(tmp_path / "store").put(named(tmp_path / "made", "mine", "2.0.0"))
    lines = run("bundle", "list").out.splitlines()
    assert any("credit-risk:1.1.0 (default)" in line and "shipped" in line for line in lines)
    assert any("mine:2.0.0" in line and "store" in line for line in lines)
    found = json.loads(run("bundle", "list", "--json").out)
    assert [(row["name"], row["version"], row["shipped"], row["default"]) for row in found] == [
        ("credit-risk", "1.0.0", True, False),
        ("credit-risk", "1.1.0", True, True),
        ("mine", "2.0.0", False, False),
    ]
    assert found[1]["digest"] == read_manifest(PLAIN).digest


def test_list_shows_a_damaged_bundle_as_such(tmp_path: Path, run: Run) -> None:
    """It is in the list, with what is wrong, and the list does not fail."""
    place = BundleStore(tmp_path / "store").put(named(tmp_path / "made", "mine", "2.0.0"))
    (place / "bundle.json").write_text("{}")
    ended = run("bundle", "list")
    assert ended.code == 0
    assert "damaged" in ended.out
    assert "is no manifest" in json.loads(run("bundle", "list", "--json").out)[-1]["fault"]


def test_another_store_by_flag(tmp_path: Path, run: Run) -> None:
    """--store goes over SCORER_STORE."""
    BundleStore(tmp_path / "other").put(named(tmp_path / "made", "mine", "2.0.0"))
    assert "mine:2.0.0" not in run("bundle", "list").out
    assert "mine:2.0.0" in run("bundle", "list", "--store", tmp_path / "other").out


def test_show_tells_what_a_bundle_says(run: Run) -> None:
    """Policy, fields, recipe, data and figures of the default bundle; with --json the manifest itself."""
    out = run("bundle", "show").out
    manifest = read_manifest(PLAIN)
    for words in (manifest.digest, "above 0.5 DECLINED", "left out  marital", "175 rounds", "AUC 0.8449", "none"):
        assert words in out
    found = json.loads(run("bundle", "show", "credit-risk:latest", "--json").out)
    assert found["digest"] == manifest.digest
    assert found["manifest"] == json.loads((PLAIN / "bundle.json").read_bytes())


def test_verify_says_what_was_checked(run: Run) -> None:
    """Five checks of a sound bundle, in words or as JSON; exit 0."""
    ended = run("bundle", "verify")
    assert ended.code == 0
    assert [line[0] for line in ended.out.splitlines()] == ["✓"] * 5
    found = json.loads(run("bundle", "verify", "--json").out)
    assert found["ok"]
    assert found["fault"] is None
    assert len(found["checks"]) == 5


def test_verify_says_what_is_wrong(tmp_path: Path, run: Run) -> None:
    """Exit 1, the checks that passed, and the reason with its cure."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "golden.jsonl").unlink()
    ended = run("bundle", "verify", folder)
    assert ended.code == 1
    assert ended.out.startswith("✓ manifest")
    assert "golden.jsonl is missing" in ended.err
    as_json = run("bundle", "verify", folder, "--json")
    found = json.loads(as_json.out)
    assert as_json.code == 1
    assert (found["ok"], len(found["checks"])) == (False, 1)
    assert "golden.jsonl is missing" in found["fault"]


@pytest.mark.parametrize("command", ["show", "verify"])
def test_a_reference_to_nothing_is_one_message(run: Run, command: str) -> None:
    """What there is and what was perhaps meant, without a traceback."""
    ended = run("bundle", command, "credit-rsik:1.1.0")
    assert ended.code == 1
    assert "Did you mean credit-risk:1.1.0" in ended.err


def test_markup_in_a_label_is_shown_as_it_is(tmp_path: Path, run: Run) -> None:
    """What a bundle says of itself cannot colour, hide or break what is printed."""
    folder = named(tmp_path / "made", "mine", "2.0.0")
    manifest = json.loads((folder / "bundle.json").read_bytes())
    manifest["labels"] = {"note": "[red]x[/red] [/]"}
    (folder / "bundle.json").write_text(json.dumps(manifest))
    assert "note=[red]x[/red] [/]" in run("bundle", "show", folder).out
