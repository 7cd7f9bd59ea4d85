"""Golden examples pin the reasons of bundles with a catalogue; files of others keep their bytes."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scorer.author.build import build_bundle
from scorer.author.repolicy import draft_repolicy
from scorer.bundle import engine
from scorer.bundle.engine import compile_engine, with_engine
from scorer.bundle.load import load_bundle, read_contract, read_files, read_manifest
from scorer.core.catalogue import Reasons
from scorer.core.engine import IS_INSTALLED
from scorer.core.policy import Policy
from scorer.errors import BundleError
from tests.unit.bundle.contracts import CAR_LOAN, car_loan_bundle
from tests.unit.bundle.making import remake

REASONS = Reasons.model_validate_json(
    json.dumps(
        {
            "method": "tree-path-dependent",
            "catalogue": [
                {"code": "OWNER", "fields": ["owner"], "text": {"en": "No house is owned."}},
                {"code": "SALARY", "fields": ["salary"], "text": {"en": "The salary is low."}},
            ],
        }
    )
)


@pytest.fixture
def explained(tmp_path: Path) -> Path:
    """A bundle with a catalogue, built from one without."""
    plain = car_loan_bundle(tmp_path / "plain")
    manifest = read_manifest(plain)
    files = read_files(plain, manifest)
    draft = draft_repolicy(manifest, files, CAR_LOAN, manifest.policy, ("1.1.0", manifest.created))
    folder = tmp_path / "explained"
    folder.mkdir()
    build_bundle(replace(draft, reasons=REASONS), folder)
    return folder


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "golden.jsonl").read_bytes().splitlines()]


def _rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    lines = _lines(folder)
    change(lines)
    (folder / "golden.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return remake(folder)


def _drop_all(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        line.pop("reasons", None)


def _first_declined(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next(line for line in lines if line["decision"] == "DECLINED")


def test_decisions_that_are_not_approved_have_reasons(explained: Path, tmp_path: Path) -> None:
    """As in decisions; lines of a bundle without a catalogue are the same without them."""
    lines = _lines(explained)
    assert all(("reasons" in line) == (line["decision"] != "APPROVED") for line in lines)
    assert {code for line in lines for code in line.get("reasons", [])} <= set(REASONS.codes)
    assert _first_declined(lines)["reasons"][0] == "SALARY"
    plain = _lines(tmp_path / "plain")
    assert not any("reasons" in line for line in plain)
    _drop_all(lines)
    assert lines == plain


def test_they_are_compared_when_the_bundle_is_opened(explained: Path) -> None:
    """The check says so, and how many differ."""
    passed: list[str] = []
    load_bundle(explained, passed.append)
    assert passed[-1].startswith(f"golden examples: {len(_lines(explained))} with reasons reproduced")
    _rewrite(explained, lambda lines: _first_declined(lines).update(reasons=["OWNER"]))
    with pytest.raises(BundleError, match=r"the reasons of 1 of \d+ golden examples differ from those in the file"):
        load_bundle(explained)


@pytest.mark.parametrize(
    "change",
    [lambda line: line.pop("reasons"), lambda line: line.update(reasons=["NO_SUCH_CODE"])],
    ids=["missing", "unknown"],
)
def test_a_line_without_its_reasons(explained: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """It is an error if others have theirs; so is a code that is not in the catalogue."""
    _rewrite(explained, lambda lines: change(_first_declined(lines)))
    with pytest.raises(BundleError, match="the reasons of 1 of"):
        load_bundle(explained)


def test_reasons_of_another_catalogue(explained: Path) -> None:
    """The entries' fields are swapped, and the examples are not: all decisions have other reasons."""

    def swap(manifest: dict[str, Any]) -> None:
        first, second = manifest["reasons"]["catalogue"]
        first["fields"], second["fields"] = second["fields"], first["fields"]

    with pytest.raises(BundleError, match="the reasons of"):
        load_bundle(remake(explained, swap))


def test_examples_without_reasons_stay_valid(explained: Path) -> None:
    """A bundle that was built before examples had them opens; the check does not mention them."""
    passed: list[str] = []
    load_bundle(_rewrite(explained, _drop_all), passed.append)
    assert " with reasons" not in passed[-1]


def test_reasons_without_a_catalogue(explained: Path) -> None:
    """Nothing could give them."""
    with pytest.raises(BundleError, match="golden examples have reasons, but the bundle has no catalogue"):
        load_bundle(remake(explained, lambda manifest: manifest.pop("reasons")))


def test_another_policy_has_its_own_reasons(explained: Path, tmp_path: Path) -> None:
    """Examples of a bundle with a new policy have the labels and reasons of that policy."""
    manifest = read_manifest(explained)
    files = read_files(explained, manifest)
    contract = read_contract(manifest, files)
    policy = Policy(maybe_above=0.0, declined_above=0.6)
    folder = tmp_path / "repoliced"
    folder.mkdir()
    build_bundle(draft_repolicy(manifest, files, contract, policy, ("1.2.0", manifest.created)), folder)
    assert all(line["reasons"] for line in _lines(folder))
    load_bundle(folder)


@pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed")
def test_the_compiled_engine_gives_the_same_reasons(explained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It decides if it gives the golden examples' reasons; with another catalogue it does not, and is not used."""
    bundle = load_bundle(explained)
    assert with_engine(bundle, "compiled").engine is not None

    def swap(manifest: dict[str, Any]) -> None:
        first, second = manifest["reasons"]["catalogue"]
        first["fields"], second["fields"] = second["fields"], first["fields"]

    _rewrite(explained, _drop_all)
    other = compile_engine(replace(bundle, explainer=load_bundle(remake(explained, swap)).explainer))
    monkeypatch.setattr(engine, "compile_engine", lambda _: other)
    fault = with_engine(bundle, "compiled").engine_fault
    assert fault.startswith("it does not decide the golden examples like the reference")
