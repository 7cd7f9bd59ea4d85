"""Compiles the engine of an opened bundle."""

from scorer.bundle.runners import GuardedModel
from scorer.core.engine import CompiledEngine
from scorer.core.score import Bundle


def compile_engine(bundle: Bundle) -> CompiledEngine:
    """Returns the compiled engine of a bundle. A model that it does not know is run by its runner.

    Raises:
        ValueError: the engine cannot compute a derived column, or does not know such trees.
    """
    trees = bundle.model.trees() if isinstance(bundle.model, GuardedModel) else None
    return CompiledEngine(bundle.encoding, bundle.policy, bundle.encoder, trees)
