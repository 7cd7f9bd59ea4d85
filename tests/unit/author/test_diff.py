"""Two bundles side by side: every difference of their manifests, and every decision that flips, counted right."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.files import dump_application
from schemas.made_up import make_applications
from scorer.author.diff import Change, Flip, compare_decisions, compare_manifests
from scorer.bundle.load import load_bundle, read_manifest
from scorer.core.policy import LABELS
from scorer.core.score import score_batch
from tests.fakes import BROKEN_PRICE, CONTRACT, RECORD_BYTES_MAX, FakeRecord, application, tiny_bundle
from tests.unit.bundle.making import PLAIN, WITH_MARITAL, copy_bundle, remake

BEFORE, AFTER = load_bundle(WITH_MARITAL), load_bundle(PLAIN)


def _records() -> list[FakeRecord]:
    """The made-up applications, and one that is none."""
    sound = [
        FakeRecord((0, line), dump_application(made, CONTRACT))
        for line, made in enumerate(make_applications(CONTRACT), 1)
    ]
    return [*sound, FakeRecord((0, 100), b"{}")]


def test_a_bundle_does_not_differ_from_itself() -> None:
    """No change, no flip, no shift."""
    manifest = read_manifest(PLAIN)
    assert compare_manifests(manifest, manifest) == []
    comparison = compare_decisions([_records()], (AFTER, AFTER), RECORD_BYTES_MAX, keep_flips=True)
    assert (comparison.compared, comparison.flipped, comparison.flips) == (64, 0, [])
    assert (comparison.shift_mean, comparison.distance_mean, comparison.shift_max) == (0, 0, 0)


def test_every_change_of_a_manifest_is_reported(tmp_path: Path) -> None:
    """A column, a threshold, a library more, a figure: each at its place, with both values."""
    folder = remake(
        copy_bundle(tmp_path / "bundle"),
        lambda m: (
            m["policy"].update(maybe_above=0.25),
            m["libraries"].update(polars="1.0"),
            m["features"]["columns"].remove("age"),
            m["metrics"]["holdout"].update(auc=0.9),
        ),
    )
    changes = compare_manifests(read_manifest(PLAIN), read_manifest(folder))
    assert {change.where for change in changes} == {
        "digest",
        "features.columns.age",
        "policy.maybe_above",
        "metrics.holdout.auc",
        "libraries.polars",
    }
    assert Change("policy.maybe_above", 0.3, 0.25) in changes
    assert Change("features.columns.age", True, None) in changes
    assert Change("libraries.polars", None, "1.0") in changes


def test_figures_that_one_does_not_have(tmp_path: Path) -> None:
    """A bundle without figures differs in each of them."""
    folder = remake(copy_bundle(tmp_path / "bundle"), lambda m: m.update(metrics=None))
    changes = {change.where: change for change in compare_manifests(read_manifest(PLAIN), read_manifest(folder))}
    auc = changes["metrics.holdout.auc"]
    assert (round(float(str(auc.before)), 4), auc.after) == (0.8449, None)
    assert "metrics" not in changes


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_flips_and_shift_are_those_of_the_two_scores(batch: int) -> None:
    """Counted again from each bundle's own decisions; how the records are batched does not matter."""
    records = _records()
    batches = [records[start : start + batch] for start in range(0, len(records), batch)]
    comparison = compare_decisions(batches, (BEFORE, AFTER), RECORD_BYTES_MAX, keep_flips=True)
    old, new = (score_batch(records, bundle, RECORD_BYTES_MAX) for bundle in (BEFORE, AFTER))
    names = [(LABELS[a], LABELS[b]) for a, b in zip(old.decided.tolist(), new.decided.tolist(), strict=True)]
    shift = new.probabilities.astype(np.float64) - old.probabilities
    assert comparison.decided == Counter(names)
    assert comparison.flipped == sum(a != b for a, b in names) > 0
    assert comparison.shift_mean == pytest.approx(shift.mean())
    assert comparison.distance_mean == pytest.approx(np.abs(shift).mean())
    assert comparison.shift_max == np.abs(shift).max() > 0
    assert (comparison.rows, comparison.compared) == (65, 64)


def test_flips_are_kept_only_on_request() -> None:
    """With the line, the id and both decisions; otherwise there is no id anywhere."""
    records = _records()
    comparison = compare_decisions([records], (BEFORE, AFTER), RECORD_BYTES_MAX, keep_flips=True)
    assert len(comparison.flips) == comparison.flipped
    flip = comparison.flips[0]
    assert flip == Flip(flip.offset, f"golden-{flip.offset}", flip.before, flip.after)
    assert flip.before != flip.after
    counted = compare_decisions([records], (BEFORE, AFTER), RECORD_BYTES_MAX, keep_flips=False)
    assert (counted.flips, counted.flipped) == ([], comparison.flipped)


class _Constant:
    """Gives everybody the same probability."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.full(len(matrix), 0.75, dtype=np.float32)


@pytest.mark.parametrize("turned", [False, True])
def test_what_one_model_cannot_score_is_not_compared(turned: bool) -> None:
    """An application on which either model fails has no decision to compare, and shifts nothing."""
    values = [application("a", amount=250), application("b", price=BROKEN_PRICE), application("c", amount=500)]
    records = [FakeRecord((0, line), value) for line, value in enumerate(values)]
    bundles = tiny_bundle(_Constant()), tiny_bundle()
    comparison = compare_decisions([records], bundles[::-1] if turned else bundles, RECORD_BYTES_MAX, keep_flips=False)
    assert (comparison.rows, comparison.compared, comparison.flipped) == (3, 2, 2)
    assert comparison.shift_max == 0.5
    assert comparison.shift_mean == (0.375 if turned else -0.375)
    assert comparison.failed == ({} if turned else {"DECLINED": 1}), "the first one decides it, the second one fails"


def test_nothing_to_compare() -> None:
    """An empty file has no flips and no shift, and no division by zero."""
    comparison = compare_decisions([], (BEFORE, AFTER), RECORD_BYTES_MAX, keep_flips=False)
    assert (
        comparison.rows,
        comparison.flipped,
        comparison.shift_mean,
        comparison.distance_mean,
        comparison.shift_max,
    ) == (0, 0, 0, 0, 0)
