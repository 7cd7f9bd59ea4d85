"""Kinds of models: trees of any size, trained and saved in any way, and what the compiled engine does not know."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal
from zlib import crc32

import numpy as np
import xgboost
from numpy.typing import NDArray

from scorer.core.features import FeatureEncoding
from scorer.core.trees import TreesTable
from scorer.errors import ModelError

SAVED: Final = Path(__file__).parents[1] / "unit/author/xgboost_versions"
"""Models that older versions of XGBoost have saved, for the columns of the shipped bundle."""


@dataclass(frozen=True, slots=True)
class ModelKind:
    """A kind of model.

    Attributes:
        depth, rounds: its size.
        name: what is special about it; its other parameters are drawn.
        parameters: those that make it special.
        stopped: training stops early, and the model has its best rounds only, or all of them.
        has_categories: it splits on categories.
        is_old: it is saved in the form of XGBoost 1 and 2.
        file: it is this one of `SAVED`.
        is_other: it is not XGBoost's.
    """

    depth: int
    rounds: int
    name: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stopped: Literal["", "best", "all"] = ""
    has_categories: bool = False
    is_old: bool = False
    file: str = ""
    is_other: bool = False

    def __str__(self) -> str:
        size = f"depth {self.depth}, {self.rounds} rounds"
        return self.file or (f"{self.name}, {size}" if self.name else size)


_SIZES: Final = (
    (1, 1), (1, 50), (2, 300), (3, 175), (3, 2_000), (4, 100), (5, 60), (6, 200), (7, 40), (8, 100), (9, 30), (10, 20),
    (10, 300),
)  # fmt: skip

SPECIAL_KINDS: Final = (
    ModelKind(6, 50, "exact", {"tree_method": "exact"}),
    ModelKind(0, 60, "loss-guided", {"tree_method": "hist", "grow_policy": "lossguide", "max_leaves": 200}),
    ModelKind(5, 60, "monotone", {"monotone_constraints": (1, -1)}),
    ModelKind(4, 10, "ten parallel trees", {"num_parallel_tree": 10}),
    ModelKind(4, 300, "stopped early", stopped="best"),
    ModelKind(4, 300, "stopped early, all rounds", stopped="all"),
    ModelKind(3, 20, "base score 1e-7", {"base_score": 1e-7}),
    ModelKind(3, 20, "base score 0.9999999", {"base_score": 0.9999999}),
    ModelKind(3, 20, "base score 1e-38", {"base_score": 1e-38}),
    ModelKind(6, 100, "large leaves", {"learning_rate": 1.0, "lambda": 0.0, "scale_pos_weight": 1e6}),
    ModelKind(4, 100, "regularized to single leaves", {"gamma": 3.0, "min_child_weight": 5.0}),
    ModelKind(5, 80, "saved in the old form", is_old=True),
    ModelKind(5, 60, "splits on categories", has_categories=True),
    ModelKind(4, 40, "dropouts", {"booster": "dart", "rate_drop": 0.2}),
    ModelKind(1, 1, "any probabilities, some failures", is_other=True),
    *(
        ModelKind(3, 10, file=f"xgboost-{version}")
        for version in ("1.0.2.json", "1.3.3.json", "1.7.6.ubj", "2.1.4.json", "3.0.5.ubj")
    ),
)
"""Kinds of which something else than the size is special."""

KINDS: Final = (*(ModelKind(depth, rounds) for depth, rounds in _SIZES), *SPECIAL_KINDS)
"""All kinds, of which each drawn bundle has the next one."""


class AnyModel:
    """A model of a kind that the engine does not know: PDs of any size; it fails on every eighth row."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns probabilities that depend on the bits of the row. Raises ModelError if it fails on a row."""
        numbers = np.array([crc32(row.tobytes()) for row in matrix], dtype=np.uint32)
        if (numbers % 8 == 0).any():
            raise ModelError("some rows")
        bits = numbers % 0x3F800001  # up to 1.0
        return bits.astype(np.uint32).view(np.float32)


def train(random: Random, matrix: NDArray[np.float32], encoding: FeatureEncoding, kind: ModelKind) -> bytes:
    """Trains a model of a kind on rows with random labels; returns it as it is saved."""
    indexes = {i for i, _ in encoding.indexes}
    width = matrix.shape[1]
    parameters = _draw_parameters(random, indexes, width) | {"max_depth": kind.depth, **kind.parameters}
    rounds = kind.rounds
    if "num_parallel_tree" in parameters and not kind.parameters:
        rounds = max(1, rounds // 5)
    if kind.name == "monotone":
        parameters["monotone_constraints"] = tuple(0 if i in indexes else (1, -1)[i % 2] for i in range(width))
    generator = np.random.default_rng(random.randrange(2**32))
    labels = generator.integers(0, 2, len(matrix)) | (np.nan_to_num(matrix[:, 0]) > 1)
    types = ["c" if i in indexes else "q" for i in range(width)] if indexes else None

    def learnable(rows: slice) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            matrix[rows],
            labels[rows],
            missing=np.nan,
            feature_types=types,
            enable_categorical=bool(indexes),
            nthread=1,
        )

    if not kind.stopped:
        booster = xgboost.train(parameters, learnable(slice(None)), rounds)
    else:
        stop = xgboost.callback.EarlyStopping(rounds=5, save_best=False)
        learned = len(matrix) * 3 // 4
        watched = [(learnable(slice(learned, None)), "watched")]
        booster = xgboost.train(
            parameters, learnable(slice(learned)), rounds, evals=watched, callbacks=[stop], verbose_eval=False
        )
        if kind.stopped == "best":
            booster = booster[: booster.best_iteration + 1]
    saved = bytes(booster.save_raw("json" if kind.is_old else random.choice(("ubj", "json"))))
    return _in_old_form(saved) if kind.is_old else saved


def measure(trees: TreesTable) -> tuple[int, int]:
    """Returns the number of trees, and the number of splits on the way to the deepest leaf."""
    starts = np.cumsum([0, *trees.sizes])[:-1]
    of_tree = np.repeat(starts, trees.sizes)
    left, right = (np.frombuffer(part, np.int32) for part in (trees.left, trees.right))
    depth, level = 0, starts
    while len(inner := level[left[level] >= 0]):
        depth += 1
        level = np.concatenate([left[inner], right[inner]]) + np.tile(of_tree[inner], 2)
    return len(trees.sizes), depth


def _draw_parameters(random: Random, indexes: set[int], width: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "objective": "binary:logistic", "nthread": 1, "min_child_weight": 0.01, "lambda": random.random(),
        "learning_rate": random.choice((0.02, 0.1, 0.5)), "seed": random.randrange(2**31),
        "tree_method": random.choice(("hist", "hist", "hist" if indexes else "exact")),
        "subsample": random.choice((0.7, 1.0)),
    }  # fmt: skip
    if random.random() < 0.2:
        parameters["num_parallel_tree"] = 5
    if random.random() < 0.3:
        parameters["monotone_constraints"] = tuple(
            0 if i in indexes else random.choice((-1, 0, 1)) for i in range(width)
        )
    if random.random() < 0.5:
        parameters["base_score"] = random.choice((0.5, 0.01, 0.2819, 0.9))
    return parameters


def _in_old_form(saved: bytes) -> bytes:
    """Writes the base score as a number, and leaves out what XGBoost 1 did not have."""
    document = json.loads(saved)
    parameters = document["learner"]["learner_model_param"]
    parameters["base_score"] = parameters["base_score"].strip("[]")
    parameters.pop("boost_from_average", None)
    document["version"] = [1, 7, 6]
    return json.dumps(document).encode()
