"""Trees that XGBoost would follow out of its memory: each is refused before XGBoost sees it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from xgboost import DMatrix

from scorer.author.boosters import check_booster
from scorer.bundle.runners import open_model
from scorer.bundle.tree_structure import read_document, require_trees
from scorer.errors import BundleError
from tests.unit.author.made_boosters import COLUMNS, INPUTS, LABELS, MATRIX, VERSIONS, edit, raw, train

pytestmark = pytest.mark.slow

TREE = dict[str, Any]
CATEGORICAL = xgboost.train(
    {"objective": "binary:logistic", "nthread": 1, "max_depth": 3},
    DMatrix(
        MATRIX, LABELS, feature_types=["c" if "=" in column else "q" for column in COLUMNS], enable_categorical=True
    ),
    3,
)


def put(name: str, place: int, value: object) -> Callable[[TREE], object]:
    """Changes one entry of an array of the first tree with a category."""
    return lambda tree: tree[name].__setitem__(place, value)


DAMAGED: dict[str, tuple[Callable[[TREE], object], str]] = {
    "a child beyond the nodes": (put("left_children", 0, 10**6), "a child that is not one of the nodes 1 to"),
    "a child below zero": (put("right_children", 0, -5), "a child that is not one of the nodes 1 to"),
    "the root as a child": (put("left_children", 0, 0), "a child that is not one of the nodes 1 to"),
    "two parents": (put("left_children", 0, 2), "not the child of exactly one other"),
    "another parent": (put("parents", 1, 2), "parent is not the node"),
    "a column beyond the columns": (put("split_indices", 0, 10**6), "not on one of the columns 0 to 23"),
    "a column below zero": (put("split_indices", 0, -1), "not on one of the columns 0 to 23"),
    "a text as a child": (put("left_children", 0, "a"), "is not an integer"),
    "a fraction as a child": (put("left_children", 0, 1.5), "is not an integer"),
    "a huge number as a child": (put("left_children", 0, 2**70), "is not an integer"),
    "one entry less": (lambda tree: tree["split_conditions"].pop(), "do not have one entry for each of"),
    "more nodes": (lambda tree: tree["tree_param"].update(num_nodes="99999"), "do not have one entry for each of"),
    "leaves of several values": (lambda tree: tree["tree_param"].update(size_leaf_vector="5"), "for each of 1 targets"),
    "another id": (lambda tree: tree.update(id=7), "the trees' ids are not"),
    "no children": (lambda tree: tree.pop("left_children"), "'left_children' is missing"),
    "another type": (lambda tree: tree.update(left_children=1), "another type than in XGBoost's format"),
    "a kind of split that is none": (put("split_type", 0, 7), "split_type does not have"),
    "a category that no split has": (put("categories_nodes", 0, 14), "categories_nodes are not"),
    "a category below zero": (put("categories", 0, -1), "categories does not have"),
    "categories beyond the categories": (put("categories_segments", 0, 99), "categories_segments does not have"),
    "too many categories": (put("categories_sizes", 0, 99), "categories_sizes does not have"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_tree(name: str) -> None:
    """It is refused when a bundle is made of it and when a bundle is opened, with what is wrong."""
    change, fault = DAMAGED[name]

    def damage(learner: dict[str, Any]) -> None:
        trees = learner["gradient_booster"]["model"]["trees"]
        change(next(tree for tree in trees if tree["categories"]))

    model = edit(CATEGORICAL, damage)
    with pytest.raises(BundleError, match=f"the model is damaged: .*{fault}"):
        check_booster(model, INPUTS)
    with pytest.raises(BundleError, match=f"the model is damaged: .*{fault}"):
        open_model("xgboost", "model.json", model, COLUMNS)


MODELS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a tree of another group": (lambda booster: booster["model"]["tree_info"].__setitem__(0, 3), "tree_info does not"),
    "rounds beyond the trees": (
        lambda booster: booster["model"]["iteration_indptr"].__setitem__(-1, 99), "does not divide the 10 trees"
    ),
    "no trees": (lambda booster: booster["model"].pop("trees"), "'trees' is missing"),
    "one weight too few": (lambda booster: booster.update(weight_drop=[1.0]), "weight_drop does not have one weight"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_damaged_model(name: str) -> None:
    """What goes with the trees is as long as there are trees."""
    change, fault = MODELS[name]
    with pytest.raises(BundleError, match=f"the model is damaged: .*{fault}"):
        check_booster(edit(train(), lambda learner: change(learner["gradient_booster"])), INPUTS)


def test_one_byte_in_ubjson() -> None:
    """The byte of a child's number, and that of a column's: both crashed the process."""
    model = raw(train())
    for name in (b"left_children", b"split_indices"):
        place = model.index(name) + len(name) + len("[$l#L") + 8
        assert read_document(model)
        damaged = model[:place] + b"\x40" + model[place + 1 :]
        with pytest.raises(BundleError, match="the model is damaged: tree 0: "):
            open_model("xgboost", "model.ubj", damaged, COLUMNS)


def test_json_that_is_nested_deeply() -> None:
    """XGBoost's parser and Python's call themselves for each level."""
    with pytest.raises(BundleError, match="deeper than 64 levels"):
        open_model("xgboost", "model.json", b'{"a":' * 100_000, COLUMNS)


@pytest.mark.parametrize("version", ["1.0.2.json", "1.3.3.json", "1.7.6.ubj", "2.1.4.json", "3.0.5.ubj"])
def test_what_older_versions_wrote(version: str) -> None:
    """Nothing of theirs is taken for damaged."""
    require_trees(read_document(Path(VERSIONS / f"xgboost-{version}").read_bytes()))


@pytest.mark.parametrize("parameters", [{"tree_method": "exact", "gamma": 3}, {"booster": "dart", "rate_drop": 0.5}])
def test_pruned_trees_and_weighted_ones(parameters: dict[str, Any]) -> None:
    """Pruning leaves nodes that no other has as a child."""
    booster = train(max_depth=8, **parameters)
    for form in ("ubj", "json"):
        require_trees(read_document(raw(booster, form)))
    deleted = [int(tree["tree_param"]["num_deleted"]) for tree in _trees(booster)]
    assert np.any(deleted) == ("gamma" in parameters)


def _trees(booster: xgboost.Booster) -> list[TREE]:
    learner = json.loads(raw(booster, "json"))["learner"]["gradient_booster"]
    trees: list[TREE] = learner.get("gbtree", learner)["model"]["trees"]
    return trees


def test_leaves_of_several_targets() -> None:
    """They say which weights are theirs: numbers beyond those ended the process."""
    both = np.stack([LABELS, 1 - LABELS], axis=1)
    given = {"objective": "binary:logistic", "nthread": 1, "multi_strategy": "multi_output_tree"}
    booster = xgboost.train(given, DMatrix(MATRIX, both), 2)
    with pytest.raises(BundleError, match="predicts 2 targets"):
        check_booster(raw(booster), INPUTS)
    changes: tuple[Callable[[TREE], object], ...] = (
        put("right_children", -1, 10**6),
        lambda t: t["leaf_weights"].pop(),
    )
    for change in changes:
        model = json.loads(raw(booster, "json"))
        change(model["learner"]["gradient_booster"]["model"]["trees"][0])
        with pytest.raises(BundleError, match="tree 0: the leaves do not each have their own entries in leaf_weights"):
            check_booster(json.dumps(model).encode(), INPUTS)
