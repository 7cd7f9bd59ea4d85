"""Draws bundles: a contract, columns, a policy and an XGBoost model of any size, opened as its runner opens it."""

from dataclasses import dataclass
from random import Random
from typing import Any, Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.decision import BundleReference
from scorer.bundle.explainer import make_explainer
from scorer.bundle.runners import GuardedModel, open_model
from scorer.core.catalogue import Reasons
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.reasons import Explainer
from scorer.core.score import Bundle
from scorer.errors import BundleError
from tests.equality.contracts import draw_columns, draw_contract
from tests.equality.policies import draw_policy
from tests.equality.records import draw_value

_ROWS: Final = 400
_BYTES_MAX: Final = 65_536
_REFERENCE: Final = BundleReference(name="drawn", version="1.0.0", digest="d0" * 32)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The size of a model."""

    depth: int
    rounds: int


def draw_bundle(random: Random, size: ModelSize, contract: Contract | None = None) -> Bundle:
    """Draws a bundle; one whose contract has no columns is drawn again."""
    while True:
        drawn = contract or draw_contract(random)
        columns, derived = draw_columns(random, drawn)
        if columns:
            break
    encoding = FeatureEncoding(drawn, columns, random.choice((0.0, -1.0, np.nan, np.nan)), derived)
    decoder = Decoder(drawn)
    matrix = _draw_matrix(random, decoder, encoding)
    model = open_model("xgboost", "model.ubj", _train(random, matrix, encoding, size), columns, {}, encoding.categories)
    explainer = _draw_explainer(random, encoding, model)
    codes = explainer.codes if explainer else ()
    encoder = DecisionEncoder(_REFERENCE, codes)
    policy = Decider(draw_policy(random, drawn, codes), drawn)
    rows = matrix[:5]
    return Bundle(_REFERENCE, decoder, encoding, model, policy, encoder, rows, model.predict(rows), explainer=explainer)


def _draw_explainer(random: Random, encoding: FeatureEncoding, model: GuardedModel) -> Explainer | None:
    """A catalogue of some fields, alone or in groups, and of entries for rules; None if it is about no used field."""
    fields = [name for name in dict.fromkeys(encoding.column_fields) if random.random() < 0.9]
    random.shuffle(fields)
    entries: list[dict[str, Any]] = []
    while fields:
        count = random.choice((0, 1, 1, 1, 2))
        text = {"en": "A sentence."}
        entries.append({"code": f"R{len(entries)}", "fields": tuple(fields[:count]), "text": text})
        del fields[:count]
    try:
        reasons = Reasons.model_validate({"method": "tree-path-dependent", "catalogue": tuple(entries)})
        return make_explainer(reasons, encoding, model)
    except (ValueError, BundleError):
        return None


def _draw_matrix(random: Random, decoder: Decoder, encoding: FeatureEncoding) -> NDArray[np.float32]:
    """The matrix of drawn records, filled up with random numbers."""
    values = [value for _ in range(_ROWS) if (value := draw_value(random, encoding.contract))]
    with np.errstate(over="ignore"):
        matrix = encoding.matrix(decoder.decode_batch(values, _BYTES_MAX).columns)
    generator = np.random.default_rng(random.randrange(2**32))
    noise = generator.normal(0, 100, (_ROWS, len(encoding.columns))).astype(np.float32)
    noise[generator.random(noise.shape) < 0.1] = encoding.missing
    for i, name in encoding.indexes:
        noise[:, i] = generator.integers(-1, len(encoding.categories[name]), _ROWS)
        noise[noise[:, i] < 0, i] = np.nan
    matrix = np.concatenate([matrix, noise])
    matrix[np.isinf(matrix)] = 0
    return matrix


def _train(random: Random, matrix: NDArray[np.float32], encoding: FeatureEncoding, size: ModelSize) -> bytes:
    indexes = {i for i, _ in encoding.indexes}
    parameters: dict[str, Any] = {
        "objective": "binary:logistic", "nthread": 1, "max_depth": size.depth, "min_child_weight": 0.01,
        "learning_rate": random.choice((0.02, 0.1, 0.5)), "seed": random.randrange(2**31), "lambda": random.random(),
        "tree_method": random.choice(("hist", "hist", "hist" if indexes else "exact")),
        "subsample": random.choice((0.7, 1.0)),
    }  # fmt: skip
    rounds = size.rounds
    if random.random() < 0.3:
        parameters["num_parallel_tree"] = min(5, rounds)
        rounds = max(1, rounds // 5)
    if random.random() < 0.3:
        parameters["monotone_constraints"] = tuple(
            0 if i in indexes else random.choice((-1, 0, 1)) for i in range(matrix.shape[1])
        )
    if random.random() < 0.5:
        parameters["base_score"] = random.choice((0.5, 0.01, 0.2819, 0.9))
    if random.random() < 0.2 and parameters["tree_method"] == "hist":
        parameters |= {"grow_policy": "lossguide", "max_leaves": 64, "max_depth": 0}
    generator = np.random.default_rng(random.randrange(2**32))
    labels = generator.integers(0, 2, len(matrix)) | (np.nan_to_num(matrix[:, 0]) > 1)
    types = ["c" if i in indexes else "q" for i in range(matrix.shape[1])] if indexes else None
    learnt = xgboost.DMatrix(matrix, labels, missing=np.nan, feature_types=types, enable_categorical=bool(indexes))
    booster = xgboost.train(parameters, learnt, rounds)
    return bytes(booster.save_raw(random.choice(("ubj", "json"))))
