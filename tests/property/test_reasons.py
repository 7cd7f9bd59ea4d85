"""Reasons are the same in both engines, also where contributions are equal: then the catalogue decides."""

import json
from dataclasses import replace
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.contract_parser import parse_contract
from schemas.decision import BundleReference
from scorer.bundle.engine import compile_engine
from scorer.bundle.explainer import make_explainer
from scorer.bundle.runners import open_model
from scorer.bundle.tree_structure import read_document
from scorer.core.catalogue import Reasons
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import IS_INSTALLED
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.reasons import NONE, choose
from scorer.core.score import Bundle, score_batch
from tests.equality.compare import DrawnRecord

REFERENCE: Final = BundleReference(name="twins", version="1.0.0", digest="d0" * 32)
COLUMNS: Final = ("first", "second", "third")
CONTRACT: Final = parse_contract(
    json.dumps(
        {
            "x-name": "twins",
            "x-version": "1.0.0",
            "type": "object",
            "properties": {"id": {"type": "string", "x-id": True}}
            | {name: {"type": ["number", "null"]} for name in COLUMNS},
            "required": ["id", *COLUMNS],
        }
    )
)


class Contributions(NamedTuple):
    """What one row's entries contribute, and which entries come first."""

    values: Any
    leading: Any


CONTRIBUTIONS: Final = st.integers(1, 9).flatmap(
    lambda entries: st.builds(
        Contributions,
        arrays.arrays(np.int64, entries, elements=st.integers(-3, 3)),
        arrays.arrays(np.uint8, 3, elements=st.sampled_from([*range(entries), NONE])),
    )
)


@given(CONTRIBUTIONS)
def test_the_choice_is_that_of_a_sorted_list(drawn: Contributions) -> None:
    """Leading entries in order, then positive contributions, the largest first and of equal ones the earlier."""
    entries = range(len(drawn.values))
    expected = [entry for entry in dict.fromkeys(drawn.leading.tolist()) if entry != NONE]
    ranked = sorted(entries, key=lambda entry: -drawn.values[entry])
    expected += [entry for entry in ranked if drawn.values[entry] > 0 and entry not in expected]
    expected = (expected or ranked[:1])[:4]
    (chosen,) = choose(drawn.values[None], np.ones(len(entries), dtype=np.bool_), drawn.leading[None]).tolist()
    assert chosen == expected + [NONE] * (4 - len(expected))


def _twin_model(rounds: int, depth: int) -> bytes:
    """A model that has each tree twice: once with the first column, and once with the second one in its place."""
    generator = np.random.default_rng(rounds)
    matrix = generator.normal(size=(500, 3)).astype(np.float32)
    matrix[generator.random(matrix.shape) < 0.1] = np.nan
    labels = np.nansum(matrix[:, ::2], axis=1) + generator.normal(size=500) > 0
    learnt = xgboost.DMatrix(matrix[:, ::2], labels, feature_names=["first", "third"])
    parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1}
    booster = xgboost.train(parameters, learnt, rounds)
    document = json.loads(json.dumps(read_document(bytes(booster.save_raw("json")))))
    learner = document["learner"]
    learner["feature_names"], learner["feature_types"] = list(COLUMNS), ["float"] * 3
    learner["learner_model_param"]["num_feature"] = "3"
    model = learner["gradient_booster"]["model"]
    trees: list[Any] = []
    for tree in model["trees"]:
        for first in range(2):
            copy = json.loads(json.dumps(tree))
            copy["id"] = len(trees)
            copy["split_indices"] = [(first, 2)[column] for column in tree["split_indices"]]
            copy["tree_param"]["num_feature"] = "3"
            trees.append(copy)
    model["trees"], model["tree_info"] = trees, [0] * len(trees)
    model["gbtree_model_param"]["num_trees"] = str(len(trees))
    model["iteration_indptr"] = list(range(len(trees) + 1))
    return json.dumps(document).encode()


def _bundle(codes: tuple[str, ...], depth: int) -> Bundle:
    encoding = FeatureEncoding(CONTRACT, COLUMNS, np.nan)
    model = open_model("xgboost", "model.json", _twin_model(20, depth), COLUMNS)
    catalogue = tuple({"code": code, "fields": (code.lower(),), "text": {"en": code}} for code in codes)
    reasons = Reasons.model_validate({"method": "tree-path-dependent", "catalogue": catalogue})
    explainer = make_explainer(reasons, encoding, model)
    return Bundle(
        REFERENCE,
        Decoder(CONTRACT),
        encoding,
        model,
        Decider(Policy(maybe_above=0.0, declined_above=0.5), CONTRACT),
        DecisionEncoder(REFERENCE, explainer.codes),
        np.empty((0, 3), dtype=np.float32),
        np.empty(0, dtype=np.float32),
        explainer=explainer,
    )


@pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed: make setup needs cargo")
@pytest.mark.parametrize("depth", [3, 5, 9])
@pytest.mark.parametrize("codes", [("FIRST", "SECOND", "THIRD"), ("THIRD", "SECOND", "FIRST")])
def test_equal_contributions_are_in_the_catalogues_order_in_both_engines(codes: tuple[str, ...], depth: int) -> None:
    """Of two fields with equal values, on which a model has equal trees, the earlier entry is the first reason."""
    bundle, random = _bundle(codes, depth), Random(depth)
    values = []
    for number in range(400):
        twin, third = random.choice([None, random.gauss(0, 1)]), random.choice([None, random.gauss(0, 1)])
        values.append(json.dumps({"id": str(number), "first": twin, "second": twin, "third": third}).encode())
    records = [DrawnRecord(value, number) for number, value in enumerate(values)]
    expected = score_batch(records, bundle, 1_000)
    actual = score_batch(records, replace(bundle, engine=compile_engine(bundle)), 1_000)
    assert expected.results == actual.results
    assert actual.by_engine == len(records)
    assert bundle.explainer is not None
    assert (bundle.explainer.tables is None) == (depth > 8)
    twins = [codes.index("FIRST"), codes.index("SECOND")]
    assert expected.reasons is not None
    both = 0
    for row in expected.reasons.tolist():
        places = [row.index(entry) for entry in sorted(twins) if entry in row]
        assert places == sorted(places)
        both += len(places) == 2
        if len(places) == 1:
            assert sorted(twins)[0] in row
    assert both > 50
