"""The cost of reasons is measured where 38 % of decisions have some, and their contributions are those of XGBoost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.applications import as_records, course_applications
from benchmarks.engines import BUNDLE
from benchmarks.reasons import with_library, with_policy, with_reasons
from scorer.core.reasons import NONE
from scorer.core.score import score_batch
from scorer.store.store import BundleStore

BYTES_MAX = 65_536


@pytest.mark.parametrize("rules", [0, 10])
def test_the_share_of_explained_decisions(tmp_path: Path, rules: int) -> None:
    """With rules, too, because they hold for few applications; both ways to explain give nearly always the same codes.

    XGBoost adds contributions as float32, so that nearly equal ones can change places.
    """
    records = as_records(course_applications(), 1_000)
    bundle = with_reasons(BundleStore(str(tmp_path)).open(BUNDLE))
    columns = bundle.decoder.decode_batch([record.content for record in records], BYTES_MAX).columns
    explaining = with_policy(bundle, columns, rules)
    scores, library = (score_batch(records, each, BYTES_MAX) for each in (explaining, with_library(explaining)))
    assert scores.reasons is not None
    assert library.reasons is not None
    has_reasons = scores.reasons[:, 0] != NONE
    assert np.array_equal(has_reasons, scores.decided != 0)
    assert 0.379 <= has_reasons.mean() <= 0.39
    assert (scores.reasons == library.reasons).all(axis=1).mean() > 0.99
    plain = score_batch(records, with_policy(replace(bundle, explainer=None), columns, rules), BYTES_MAX)
    assert np.array_equal(plain.decided, scores.decided)
    assert plain.reasons is None
