"""The review: every fault that a reviewer would name is named, with its place, its weight and its cure."""

import platform
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xgboost

from scorer.author.build import Draft, build_bundle
from scorer.author.finding import Finding, Rule
from scorer.author.lint import lint_bundle
from scorer.author.model_input import ModelInput
from scorer.bundle.manifest import Features
from scorer.core.features import columns_of
from scorer.core.policy import Policy
from tests.fakes import CONTRACT
from tests.unit.bundle.making import PLAIN, WITH_MARITAL, copy_bundle, remake

Change = Callable[[dict[str, Any]], object]


def _lint(tmp_path: Path, change: Change = lambda _: None, source: Path = PLAIN) -> list[Finding]:
    return lint_bundle(remake(copy_bundle(tmp_path / "bundle", source), change))


def _told(findings: list[Finding]) -> set[tuple[str, str]]:
    return {(finding.severity, finding.rule) for finding in findings}


def test_the_default_bundle(tmp_path: Path) -> None:
    """It makes no use of marital status; it uses age, and rates some of the elderly lower for it: said plainly."""
    findings = _lint(tmp_path, lambda manifest: manifest["libraries"].update(python=platform.python_version()))
    assert _told(findings) == {("warning", "age"), ("warning", "elderly"), ("note", "income")}
    age, elderly = (finding for finding in findings if finding.severity == "warning")
    assert "12 CFR 1002.6(b)(2)(ii)" in age.what
    assert "--drop age" in elderly.fix


def test_a_prohibited_basis_is_an_error_and_comes_first(tmp_path: Path) -> None:
    """The course's own recipe uses marital status."""
    first = _lint(tmp_path, source=WITH_MARITAL)[0]
    assert (first.severity, first.rule, first.where) == ("error", "basis", "features: marital")
    assert "marital status is a prohibited basis (12 CFR 1002.2(z))" in first.what
    assert first.fix.endswith("--drop marital")


@pytest.mark.parametrize(
    ("column", "basis"),
    [
        ("sex=female", "sex"),
        ("Gender", "sex"),
        ("race=x", "race"),
        ("religion=x", "religion"),
        ("national_origin=x", "national origin"),
        ("public-assistance", "income from public assistance"),
        ("marital_status=single", "marital status"),
    ],
)
def test_every_basis_is_known_by_its_name(tmp_path: Path, column: str, basis: str) -> None:
    """Even in a bundle that this contract could not open: the manifest is enough."""
    findings = _lint(tmp_path, lambda manifest: manifest["features"]["columns"].append(column))
    assert _told(findings) >= {("error", "basis"), ("error", "opens")}
    assert any(f"{basis} is a prohibited basis" in finding.what for finding in findings)


@pytest.mark.parametrize("column", ["essex", "traces", "average", "colourless"])
def test_a_word_within_a_word_is_none(tmp_path: Path, column: str) -> None:
    """A name that only holds the letters is no prohibited basis."""
    assert ("error", "basis") not in _told(_lint(tmp_path, lambda m: m["features"]["columns"].append(column)))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"maybe_above": 0.4, "declined_above": 0.4}, "no application is ever MAYBE"),
        ({"maybe_above": 0.0, "declined_above": 0.5}, "exactly 0 are APPROVED"),
        ({"maybe_above": 0.3, "declined_above": 1.0}, "no application is ever DECLINED"),
    ],
)
def test_thresholds_that_leave_a_decision_out(tmp_path: Path, policy: dict[str, float], words: str) -> None:
    """They are in order, so they are a manifest; and a reviewer would ask."""
    found = [f for f in _lint(tmp_path, lambda m: m.update(policy=policy)) if f.rule == "thresholds"]
    assert [finding.severity for finding in found] == ["warning"]
    assert words in found[0].what


def test_thresholds_out_of_order(tmp_path: Path) -> None:
    """No manifest has them; the finding says which they are."""
    (found,) = _lint(tmp_path, lambda m: m.update(policy={"maybe_above": 0.6, "declined_above": 0.5}))
    assert (found.severity, found.rule) == ("error", "manifest")
    assert "maybe_above (0.6) must not be greater than declined_above (0.5)" in found.what


def _without_rows(manifest: dict[str, Any]) -> None:
    for found in manifest["metrics"]["calibration"]["bins"]:
        found.update(rows=0, predicted_mean=None, observed_share=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(metrics=None), "no metrics"),
        (lambda m: m["metrics"]["holdout"].update(rows=0), "the AUC was measured on 0 rows"),
        (lambda m: m["metrics"]["holdout"].update(auc=0.5), "no better than chance"),
        (_without_rows, "the calibration was measured on 0 rows"),
        (
            lambda m: m["metrics"]["decisions"]["by_decision"].update(MAYBE={"ok": 0, "default": 0}),
            "the policy never decides MAYBE",
        ),
    ],
)
def test_a_figure_that_is_missing(tmp_path: Path, change: Change, words: str) -> None:
    """Each is a warning: somebody should say why."""
    found = [finding for finding in _lint(tmp_path, change) if finding.rule == "figures"]
    assert [finding.severity for finding in found] == ["warning"]
    assert words in found[0].what


@pytest.mark.parametrize(
    ("name", "version", "severity"),
    [("xgboost", "3.1.0", "warning"), ("numpy", "1.0.0", "note"), ("python", "3.9.1", "note")],
)
def test_other_libraries_than_it_was_made_with(tmp_path: Path, name: str, version: str, severity: str) -> None:
    """The runner's own weighs more than the others; both versions are named."""
    found = [f for f in _lint(tmp_path, lambda m: m["libraries"].update({name: version})) if name in f.where]
    assert [finding.severity for finding in found] == [severity]
    assert f"made with {name} {version}, but " in found[0].what


def test_a_library_that_is_not_here_needs_none(tmp_path: Path) -> None:
    """What only training needed need not be installed where applications are decided."""
    assert not [f for f in _lint(tmp_path, lambda m: m["libraries"].update(nowhere="1.0")) if "nowhere" in f.where]


def test_another_architecture(tmp_path: Path) -> None:
    """On another one the last bits may differ."""
    found = [f for f in _lint(tmp_path, lambda m: m.update(platform="another")) if f.where == "platform"]
    assert [finding.severity for finding in found] == ["note"]


def test_no_model_card(tmp_path: Path) -> None:
    """A bundle without its paper opens, and lacks something."""
    folder = copy_bundle(tmp_path / "bundle")
    (folder / "model-card.md").unlink()
    assert ("warning", "card") in _told(lint_bundle(remake(folder, lambda m: m["files"].pop("model-card.md"))))


def test_no_golden_examples(tmp_path: Path) -> None:
    """An empty file of them, or none: an error either way."""
    folder = copy_bundle(tmp_path / "empty")
    (folder / "golden.jsonl").write_bytes(b"")
    (empty,) = [finding for finding in lint_bundle(remake(folder)) if finding.severity == "error"]
    assert "there are 0 golden examples" in empty.what
    (none,) = _lint(tmp_path, lambda manifest: manifest["files"].pop("golden.jsonl"))
    assert (none.severity, "must name golden.jsonl" in none.what) == ("error", True)


def test_golden_examples_that_miss_a_decision(tmp_path: Path) -> None:
    """A slip in the policy would not show."""
    folder = copy_bundle(tmp_path / "bundle")
    lines = (folder / "golden.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "golden.jsonl").write_bytes(b"".join(line for line in lines if b"DECLINED" not in line))
    (found,) = [finding for finding in lint_bundle(remake(folder)) if finding.rule == "golden"]
    assert (found.severity, "golden examples is DECLINED" in found.what) == ("note", True)


def test_a_damaged_bundle_is_reviewed_as_far_as_it_goes(tmp_path: Path) -> None:
    """What the manifest tells is told, and that it does not open."""
    folder = copy_bundle(tmp_path / "bundle", WITH_MARITAL)
    (folder / "model.ubj").write_bytes(b"{")
    assert _told(lint_bundle(folder)) >= {("error", "basis"), ("error", "opens"), ("warning", "age")}


def _retrained(folder: Path, columns: tuple[str, ...], defaulted_if: Callable[[Any], Any]) -> Path:
    """A bundle whose model was trained on chance and a rule, with these columns; its golden examples are its own."""
    matrix = np.random.default_rng(1).uniform(0, 120, (2_000, len(columns))).astype(np.float32)
    data = xgboost.DMatrix(matrix, label=defaulted_if(matrix), feature_names=list(columns))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2, "nthread": 1, "seed": 1}, data, 10)
    folder.mkdir()
    draft = Draft(
        name="mine",
        version="1.0.0",
        created=datetime(2026, 1, 31, tzinfo=UTC),
        runner="xgboost",
        model=bytes(booster.save_raw("ubj")),
        inputs=ModelInput(CONTRACT, Features(columns=columns, missing=0.0)),
        policy=Policy(),
        metrics=None,
        training=None,
        libraries={},
        labels={},
    )
    build_bundle(draft, folder)
    return folder


def test_a_field_without_effect(tmp_path: Path) -> None:
    """A column that no tree asks about is asked of applicants for nothing."""
    folder = _retrained(tmp_path / "bundle", ("age", "expenses"), lambda matrix: matrix[:, 0] > 40)
    found = [finding for finding in lint_bundle(folder) if finding.rule == "effect"]
    assert [(finding.severity, finding.where) for finding in found] == [("note", "features: expenses")]


def test_every_field_of_the_default_bundle_has_an_effect() -> None:
    """None of them is asked for in vain."""
    assert not [finding for finding in lint_bundle(PLAIN) if finding.rule == "effect"]


@pytest.mark.parametrize(("worse_above", "told"), [(50, True), (30, True), (200, False)])
def test_the_elderly_rated_lower(tmp_path: Path, worse_above: float, told: bool) -> None:
    """A model by which older applicants default more is told; one that favours them, or ignores age there, is not."""

    def defaulted(matrix: Any) -> Any:
        return (matrix[:, 0] > worse_above) | (matrix[:, 0] < 20)

    findings = lint_bundle(_retrained(tmp_path / "bundle", ("age", "expenses"), defaulted))
    assert (("warning", "elderly") in _told(findings)) == told


def test_a_category_without_a_column(tmp_path: Path) -> None:
    """It would be scored as if the field were empty; the finding names it."""
    columns = tuple(column for column in columns_of(CONTRACT, ["home", "age"]) if column != "home=unk")
    folder = _retrained(tmp_path / "bundle", columns, lambda matrix: matrix[:, 0] > 40)
    (found,) = [finding for finding in lint_bundle(folder) if finding.rule == "columns"]
    assert found.severity == "warning"
    assert "no column for home=unk" in found.what


def test_the_docs_name_every_rule() -> None:
    """docs/review.md has each in its table, and no other."""
    page = (Path(__file__).parents[3] / "docs" / "review.md").read_text(encoding="utf-8")
    table = page.partition("| rule |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))) == sorted(
        get_args(Rule)
    )


def test_a_folder_that_is_no_bundle(tmp_path: Path) -> None:
    """One error, and no traceback."""
    (found,) = lint_bundle(tmp_path)
    assert (found.severity, found.rule) == ("error", "manifest")
    shutil.copy(PLAIN / "bundle.json", tmp_path)
    assert ("error", "opens") in _told(lint_bundle(tmp_path))
