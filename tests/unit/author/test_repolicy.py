"""A bundle with another policy has the same files, and golden examples of its own."""

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from scorer.author.build import build_bundle
from scorer.author.draft_reasons import read_reasons
from scorer.author.repolicy import draft_repolicy
from scorer.bundle.load import load_bundle, read_contract, read_files, read_manifest
from scorer.core.policy import Policy, Rule
from tests.unit.bundle.contracts import car_loan_bundle
from tests.unit.bundle.making import EXPLAINED, PLAIN, copy_bundle, everything_in, remake

CATALOGUE = Path(__file__).parents[3] / "examples" / "reasons.toml"
REFUSE_ALL = Policy(maybe_above=0.0, declined_above=0.0)


def _repolicy(before: Path, folder: Path, policy: Policy) -> Path:
    manifest = read_manifest(before)
    files = read_files(before, manifest)
    draft = draft_repolicy(manifest, files, read_contract(manifest, files), policy, ("9.0.0", manifest.created))
    folder.mkdir()
    build_bundle(draft, folder)
    return folder


@pytest.mark.parametrize("has_contract", [True, False])
def test_other_files_are_carried_over(tmp_path: Path, has_contract: bool) -> None:
    """Whatever the manifest lists, with the same bytes; nothing else is added."""
    before = car_loan_bundle(tmp_path / "before") if has_contract else copy_bundle(tmp_path / "before", PLAIN)
    (before / "validation.pdf").write_bytes(b"%PDF-")
    remake(before, lambda manifest: manifest["files"].update({"validation.pdf": ""}))
    after = _repolicy(before, tmp_path / "after", REFUSE_ALL)
    assert (after / "validation.pdf").read_bytes() == b"%PDF-"
    manifests = read_manifest(before), read_manifest(after)
    assert manifests[0].files.keys() == manifests[1].files.keys()
    changed = {name for name, digest in manifests[0].files.items() if digest != manifests[1].files[name]}
    assert changed == {"golden.jsonl", "model-card.md"}
    load_bundle(after)


def test_golden_examples_have_the_labels_of_the_new_policy(tmp_path: Path) -> None:
    """The same applications and PDs; the bundle opens, which compares the labels."""
    rule = Rule(id="owners", when="owner", label="APPROVED")
    before = car_loan_bundle(tmp_path / "before")
    after = _repolicy(before, tmp_path / "after", Policy(maybe_above=0.0, declined_above=0.0, rules=(rule,)))
    examples = [_examples(folder) for folder in (before, after)]
    assert [(one["application"], one["probability_of_default"]) for one in examples[0]] == [
        (one["application"], one["probability_of_default"]) for one in examples[1]
    ]
    expected = ["APPROVED" if one["application"]["owner"] else "DECLINED" for one in examples[1]]
    assert [one["decision"] for one in examples[1]] == expected
    assert [one["decision"] for one in examples[0]] != expected
    load_bundle(after)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its golden examples were made on x86_64")
def test_the_default_bundle_is_the_one_before_with_the_examples_catalogue(tmp_path: Path) -> None:
    """Whoever adds the catalogue to it has the same bundle, byte for byte."""
    before, created = read_manifest(PLAIN), read_manifest(EXPLAINED).created
    contents = read_files(PLAIN, before)
    catalogue = read_reasons(CATALOGUE)
    contract = read_contract(before, contents)
    build_bundle(draft_repolicy(before, contents, contract, before.policy, ("1.1.1", created), catalogue), tmp_path)
    assert everything_in(tmp_path) == everything_in(EXPLAINED)


def _examples(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "golden.jsonl").read_bytes().splitlines()]
