"""Opens the bundles of the benchmarks with each of the two engines."""

from typing import Final

import numpy as np
import xgboost
from numpy.typing import NDArray

from scorer.bundle.engine import with_engine
from scorer.bundle.runners import GuardedModel, open_model
from scorer.core.score import ENGINES, Bundle, EngineName

BUNDLE: Final = "credit-risk:1.1.0"
"""The shipped bundle without a catalogue of reasons: the other programs compute none, either."""


class EngineUnusedError(Exception):
    """The engine that was asked for does not decide here; the message gives the reason."""


def open_engine(bundle: Bundle, engine: EngineName) -> Bundle:
    """Returns a bundle with the engine that decides.

    Args:
        bundle: an open bundle, without an engine.
        engine: the engine.

    Raises:
        EngineUnusedError: the other engine would decide.
    """
    opened = with_engine(bundle, "python" if engine == "python" else "auto")
    if opened.engine_name != engine:
        raise EngineUnusedError(f"the compiled engine does not decide: {opened.engine_fault}")
    return opened


def open_both(bundle: Bundle) -> dict[EngineName, Bundle]:
    """Returns a bundle with each engine.

    Raises:
        EngineUnusedError: the compiled engine cannot decide with this bundle.
    """
    return {engine: open_engine(bundle, engine) for engine in ENGINES}


def train(matrix: NDArray[np.float32], defaulted: NDArray[np.bool_], trees: int, depth: int) -> GuardedModel:
    """Trains a model, and opens it as a bundle's runner does.

    Args:
        matrix: the applications, shape (n, columns).
        defaulted: their outcomes, shape (n,).
        trees: number of trees.
        depth: of each tree.
    """
    parameters = {"objective": "binary:logistic", "max_depth": depth, "nthread": 1, "seed": 1}
    booster = xgboost.train(parameters, xgboost.DMatrix(matrix, defaulted.astype(np.float32)), trees)
    names = [f"f{i}" for i in range(matrix.shape[1])]
    return open_model("xgboost", "model.ubj", bytes(booster.save_raw("ubj")), names)
