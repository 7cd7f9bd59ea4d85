"""Chooses the engine of an opened bundle: the compiled one, if it decides the same bytes as the reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from scorer.bundle.drawn_records import draw_values
from scorer.bundle.runners import GuardedModel
from scorer.core.engine import IS_INSTALLED, CompiledEngine
from scorer.core.records import Record
from scorer.core.score import Bundle, Scores, score_batch
from scorer.errors import BundleUnusableError, SettingsError

EngineSetting = Literal["auto", "compiled", "python"]

NOT_INSTALLED: Final = "it is not installed"
DRAWN_RECORDS: Final = 2_000
_SINGLE_RECORDS_MAX: Final = 64  # golden examples that are also scored alone, as when a bundle is opened
_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _CheckedRecord:
    """A record of a check."""

    content: bytes
    number: int

    def __len__(self) -> int:
        return len(self.content)

    def topic(self) -> str:
        return "check"

    def partition(self) -> int:
        return self.number % 2

    def offset(self) -> int:
        return self.number

    def value(self) -> bytes:
        return self.content


def with_engine(bundle: Bundle, setting: EngineSetting) -> Bundle:
    """Returns the bundle with the engine that decides; `engine_fault` says why it is not the compiled one.

    Args:
        bundle: an open bundle, without an engine.
        setting: `python` is the reference alone. Otherwise the compiled engine is compiled and checked: it must
            reproduce the golden examples bit for bit, alone, together and in reverse order, and give the same results
            for 2,000 records that are drawn from the contract; fewer if it has more than 200 fields.

    Raises:
        SettingsError: the setting is `compiled`, and the engine is not installed.
    """
    if setting == "python":
        return bundle
    if not IS_INSTALLED:
        if setting == "compiled":
            raise SettingsError(
                f"engine = compiled, but {NOT_INSTALLED}: install Rust and run make setup, or use engine = auto"
            )
        return replace(bundle, engine_fault=NOT_INSTALLED)
    try:
        candidate = replace(bundle, engine=compile_engine(bundle))
        fault = _find_fault(bundle, candidate)
    except (ValueError, BundleUnusableError) as error:
        fault = str(error)
    return replace(bundle, engine_fault=fault) if fault else candidate


def compile_engine(bundle: Bundle) -> CompiledEngine:
    """Returns the compiled engine of a bundle. A model that it does not know, or cannot explain, is run by its runner.

    Raises:
        ValueError: the engine cannot compute a derived column, or does not know such trees.
    """
    explainer = bundle.explainer
    if explainer is not None and explainer.tables is None:
        return CompiledEngine(bundle.encoding, bundle.policy, bundle.encoder, None)
    trees = bundle.model.trees() if isinstance(bundle.model, GuardedModel) else None
    return CompiledEngine(bundle.encoding, bundle.policy, bundle.encoder, trees, explainer)


def _find_fault(bundle: Bundle, candidate: Bundle) -> str:
    """Returns how the results of the two engines differ; empty if they do not."""
    golden = [_CheckedRecord(value, number) for number, value in enumerate(bundle.golden_values)]
    together = _score(golden, candidate)
    if not together.by_engine:
        return "it leaves all golden examples to the reference"
    if together.probabilities.tobytes() != bundle.golden_probabilities.tobytes():
        return "it does not reproduce the golden examples bit for bit"
    expected = _score(golden, bundle).results
    alone = [_score([record], candidate).results[0] for record in golden[:_SINGLE_RECORDS_MAX]]
    backwards = _score(golden[::-1], candidate).results[::-1]
    if together.results != expected or backwards != expected or alone != expected[: len(alone)]:
        return "it does not decide the golden examples like the reference, alone, together and in reverse order"
    drawn = [_CheckedRecord(value, n) for n, value in enumerate(draw_values(bundle.decoder.contract, DRAWN_RECORDS))]
    first, second = _score(drawn, bundle), _score(drawn, candidate)
    differing = sum(a != b for a, b in zip(first.results, second.results, strict=True))
    if differing or first.probabilities.tobytes() != second.probabilities.tobytes():
        return f"the results of {differing} of {len(drawn)} drawn records differ from the reference's"
    return ""


def _score(records: Sequence[Record], bundle: Bundle) -> Scores:
    with np.errstate(over="ignore"):  # a derived number can be too large for the matrix
        return score_batch(records, bundle, _BYTES_MAX)
