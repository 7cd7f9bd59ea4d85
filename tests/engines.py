"""The engine of tests that hold with either: the compiled one if it is installed; `SCORER_ENGINE=python` the other."""

import os
from dataclasses import replace

from scorer.bundle.engine import compile_engine
from scorer.core.engine import IS_INSTALLED
from scorer.core.score import Bundle


def with_chosen_engine(bundle: Bundle) -> Bundle:
    """Returns the bundle with the engine of this run."""
    if os.environ.get("SCORER_ENGINE") == "python" or not IS_INSTALLED:
        return bundle
    return replace(bundle, engine=compile_engine(bundle))
