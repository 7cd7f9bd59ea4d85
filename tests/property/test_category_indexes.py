"""Columns of categories' indexes, for any categories: XGBoost gets what it would get from a list of the values."""

import json
from typing import Any, Final

import numpy as np
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.bundle.runners import open_model
from scorer.core.decode import Decoder
from scorer.core.features import FeatureEncoding
from tests.fakes import make_contract

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case trains a model
TRAINING: Final = {"objective": "binary:logistic", "nthread": 1, "min_child_weight": 0, "max_depth": 3}


@st.composite
def loans(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[int | None, int]], list[int | None]]:
    """A category's values, those that mean unknown, loans to train with (a value and an outcome), and one more each.

    The values of training are often few of all, so that the others are ones that training never saw.
    """
    count = draw(st.sampled_from((1, 2, 3, 5, 40, 200)))
    values = draw(st.permutations([f"value {number}: a, b" for number in range(count)]))
    unknown = draw(st.lists(st.sampled_from(["n/a", "unk", *values[:1]]), unique=True))
    some = st.none() | st.integers(0, draw(st.integers(0, count - 1)))
    trained = draw(st.lists(st.tuples(some, st.integers(0, 1)), min_size=2, max_size=30))
    scored = draw(st.lists(st.none() | st.integers(0, count - 1), min_size=1, max_size=10))
    return list(values), unknown, trained, scored


@law
@given(loans(), st.sampled_from((0.0, -1.0, np.nan)))
def test_predictions_are_xgboosts(
    case: tuple[list[str], list[str], list[tuple[int | None, int]], list[int | None]], missing: float
) -> None:
    """Values that training never saw, unknown ones, one value or 200: the bits are XGBoost's on the indexes."""
    values, unknown, trained, scored = case
    field = {"type": ["string", "null"], "enum": [*values, None], "x-unknown": unknown}
    contract = make_contract("kind", kind=field)

    def index(number: int | None) -> float:
        return np.nan if number is None or values[number] in unknown else float(number)

    learnt = np.array([[index(number)] for number, _ in trained], dtype=np.float32)
    types: dict[str, Any] = {"feature_types": ["c"], "feature_names": ["kind"], "enable_categorical": True}
    booster = xgboost.train(TRAINING, xgboost.DMatrix(learnt, [bad for _, bad in trained], **types), 3)
    expected = booster.inplace_predict(np.array([[index(number)] for number in scored], dtype=np.float32))

    encoding = FeatureEncoding(contract, ["kind"], missing)
    records = [json.dumps({"id": "a", "kind": None if n is None else values[n]}).encode() for n in scored]
    decoded = Decoder(contract).decode_batch(records, 10_000)
    assert not decoded.rejections
    model = open_model("xgboost", "model.ubj", bytes(booster.save_raw("ubj")), ["kind"], {}, encoding.categories)
    np.testing.assert_array_equal(model.predict(encoding.matrix(decoded.columns)), expected, strict=True)
