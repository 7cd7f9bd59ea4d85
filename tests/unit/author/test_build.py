"""Making a bundle: the same draft gives the same bytes, and the card says what its user must know."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scorer.author.build import Draft, build_bundle
from scorer.author.model_input import ModelInput
from scorer.bundle.load import load_bundle, read_manifest
from scorer.bundle.manifest import Features
from scorer.core.policy import Policy
from scorer.errors import BundleError
from tests.fakes import CONTRACT
from tests.unit.author.made_boosters import raw, train
from tests.unit.bundle.making import PLAIN, WITH_MARITAL

pytestmark = pytest.mark.slow


def _draft(source: Path = PLAIN) -> Draft:
    manifest = read_manifest(source)
    return Draft(
        name="mine",
        version="3.0.0",
        created=datetime(2026, 1, 31, 10, 0, tzinfo=UTC),
        runner=manifest.runner,
        model=(source / manifest.model).read_bytes(),
        inputs=ModelInput(CONTRACT, manifest.features),
        policy=manifest.policy,
        metrics=manifest.metrics,
        training=manifest.training,
        libraries=manifest.libraries,
        labels={"reason": "a test"},
    )


def _build(draft: Draft, folder: Path) -> Path:
    folder.mkdir()
    build_bundle(draft, folder)
    return folder


def test_the_same_draft_gives_the_same_bytes(tmp_path: Path) -> None:
    """Every file of two bundles made of one draft is the same, and so is the digest."""
    first, second = _build(_draft(), tmp_path / "first"), _build(_draft(), tmp_path / "second")
    files = sorted(path.name for path in first.iterdir())
    assert files == ["bundle.json", "golden.jsonl", "model-card.md", "model.ubj"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in files)


def test_what_is_built_passes_every_check(tmp_path: Path) -> None:
    """The manifest that is returned is the one on disk, and the bundle opens."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    manifest = build_bundle(_draft(), folder)
    assert manifest == read_manifest(folder)
    assert load_bundle(folder).reference == manifest.reference


def test_a_policy_is_part_of_the_bundle(tmp_path: Path) -> None:
    """Other thresholds are another bundle, decide the examples otherwise, and stand in its card."""
    strict = replace(_draft(), policy=Policy(maybe_above=0.1, declined_above=0.2))
    plain, changed = _build(_draft(), tmp_path / "plain"), _build(strict, tmp_path / "strict")
    assert load_bundle(plain).reference.digest != load_bundle(changed).reference.digest
    assert (plain / "golden.jsonl").read_bytes() != (changed / "golden.jsonl").read_bytes()
    assert "0.2 DECLINED, above 0.1 MAYBE" in " ".join((changed / "model-card.md").read_text().split())


def test_unknown_numbers_may_be_left_to_the_model(tmp_path: Path) -> None:
    """A bundle with NaN for what is missing survives its JSON, and is another model in effect."""
    draft = replace(_draft(), model=raw(train(3)))  # with too few splits to tell that it never saw one
    left = replace(draft, inputs=draft.inputs.leave_missing())
    changed = _build(left, tmp_path / "with NaN")
    assert load_bundle(changed).encoding.missing != load_bundle(changed).encoding.missing
    assert "left to the model" in " ".join((changed / "model-card.md").read_text().split())
    plain = _build(draft, tmp_path / "plain")
    assert (changed / "golden.jsonl").read_bytes() != (plain / "golden.jsonl").read_bytes()


def test_a_model_of_other_columns_is_not_built(tmp_path: Path) -> None:
    """The mistake shows when the bundle is made, not when a worker opens it."""
    inputs = ModelInput(CONTRACT, Features(columns=("age", "amount"), missing=0.0))
    with pytest.raises(BundleError, match="expects 24 columns"):
        _build(replace(_draft(), inputs=inputs), tmp_path / "bundle")
    assert list((tmp_path / "bundle").iterdir()) == []


def test_a_draft_beyond_the_limits_is_not_built(tmp_path: Path) -> None:
    """Nothing is written that could not be read again."""
    with pytest.raises(ValueError, match="version"):
        _build(replace(_draft(), version="three"), tmp_path / "bundle")
    assert list((tmp_path / "bundle").iterdir()) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (PLAIN, ["Does not use `marital`", "Fields left out: marital", "--version 3.0.0 --drop marital`"]),
        (WITH_MARITAL, ["**Uses `marital`**", "Fields left out: none", "--name mine --version 3.0.0`"]),
    ],
)
def test_the_card_says_what_its_user_must_know(tmp_path: Path, source: Path, words: list[str]) -> None:
    """Data, recipe, figures, limits and prohibited bases, in lines that fit a terminal."""
    card = (_build(_draft(source), tmp_path / "bundle") / "model-card.md").read_text()
    metrics = read_manifest(source).metrics
    assert metrics is not None
    text = " ".join(card.split())
    for word in [
        *words,
        metrics.dataset.sha256,
        f"{metrics.holdout.auc:.4f}",
        "1002.6(b)(1)",
        "not legal advice",
        "age",
    ]:
        assert word in text
    assert re.findall(r"^## (.*)$", card, re.MULTILINE) == [
        "Model details",
        "Metrics",
        "Limitations",
        "Prohibited bases",
    ]
    assert max(map(len, card.splitlines())) <= 100
