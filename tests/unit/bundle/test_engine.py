"""The compiled engine is used only if it decides the same bytes as the reference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from schemas.rejection import RejectionCode
from scorer.bundle import engine
from scorer.bundle.drawn_records import draw_values
from scorer.bundle.engine import NOT_INSTALLED, with_engine
from scorer.bundle.load import load_bundle
from scorer.core.decode import Decoder
from scorer.core.engine import IS_INSTALLED, CompiledEngine, EngineScores, Source
from scorer.core.policy import LABELS
from scorer.core.score import Bundle
from scorer.errors import SettingsError
from tests.unit.bundle.contracts import CAR_LOAN
from tests.unit.bundle.making import PLAIN

needs_engine = pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed")

Change = Callable[[list[bytes], Sequence[Any]], list[bytes]]


@pytest.fixture
def bundle() -> Bundle:
    """The shipped one."""
    return load_bundle(PLAIN)


@dataclass
class ReferenceEngine:
    """Decides what the reference decides, except for what a test changes: by the decisions and the batch's values."""

    bundle: Bundle
    change: Change = lambda decisions, _: decisions
    leaves_all: bool = False
    shift: float = 0.0
    predicts: bool = True

    def score(self, values: list[Any], source: Source, bytes_max: int) -> EngineScores | None:
        decoded = self.bundle.decoder.decode_batch(values, bytes_max)
        rows = [] if self.leaves_all else decoded.rows
        columns = decoded.columns.take(np.arange(len(rows)))
        probabilities = self.bundle.model.predict(self.bundle.encoding.matrix(columns)) if rows else np.empty(0, "f4")
        labels, rules = self.bundle.policy.decide(probabilities, columns.values)
        decisions = self.bundle.encoder.encode(
            (source.topic, [source.partitions[row] for row in rows], [source.offsets[row] for row in rows]),
            columns.ids,
            [LABELS[label] for label in labels],
            probabilities.astype(float).tolist(),
        )
        shifted = (probabilities + np.float32(self.shift)).astype(np.float32)
        return EngineScores(rows, self.change(decisions, values), shifted, labels, rules)


def _swap_first(decisions: list[bytes], _: Sequence[Any]) -> list[bytes]:
    return [decisions[0] + b" ", *decisions[1:]]


def _depend_on_batch(decisions: list[bytes], values: Sequence[Any]) -> list[bytes]:
    return [decision + b" " for decision in decisions] if len(values) == 1 else decisions


def _depend_on_order(decisions: list[bytes], values: Sequence[Any]) -> list[bytes]:
    return [decision + b" " for decision in decisions] if b'"golden-1"' not in values[0] else decisions


def _err_on_drawn(decisions: list[bytes], values: Sequence[Any]) -> list[bytes]:
    return _swap_first(decisions, values) if len(values) > 1_000 else decisions


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"leaves_all": True}, "leaves all golden examples"),
        ({"shift": 1e-7}, "does not reproduce the golden examples bit for bit"),
        ({"change": _swap_first}, "does not decide the golden examples like the reference"),
        ({"change": _depend_on_batch}, "alone, together and in reverse order"),
        ({"change": _depend_on_order}, "alone, together and in reverse order"),
        ({"change": _err_on_drawn}, "the results of 1 of"),
    ],
)
def test_an_engine_that_differs_is_not_used(
    monkeypatch: pytest.MonkeyPatch, bundle: Bundle, changes: dict[str, Any], fault: str
) -> None:
    """Whatever differs, the reference decides, and the bundle says what it was."""
    monkeypatch.setattr(engine, "IS_INSTALLED", True)
    compiled = cast("CompiledEngine", ReferenceEngine(bundle, **changes))
    monkeypatch.setattr(engine, "compile_engine", lambda _: compiled)
    chosen = with_engine(bundle, "auto")
    assert (chosen.engine is compiled) is not bool(fault)
    assert fault in chosen.engine_fault
    assert bool(chosen.engine_fault) is bool(fault)


def test_an_engine_that_cannot_be_compiled_is_not_used(monkeypatch: pytest.MonkeyPatch, bundle: Bundle) -> None:
    """An operation or a tree that the engine does not know is the fault that the bundle names."""

    def fail(_: Bundle) -> CompiledEngine:
        raise ValueError("an unknown operation")

    monkeypatch.setattr(engine, "IS_INSTALLED", True)
    monkeypatch.setattr(engine, "compile_engine", fail)
    chosen = with_engine(bundle, "auto")
    assert (chosen.engine, chosen.engine_fault) == (None, "an unknown operation")


def test_without_the_engine_only_an_explicit_setting_is_an_error(
    monkeypatch: pytest.MonkeyPatch, bundle: Bundle
) -> None:
    """`auto` uses the reference, and says why; `compiled` says how to get the engine; `python` asks for nothing."""
    monkeypatch.setattr(engine, "IS_INSTALLED", False)
    chosen = with_engine(bundle, "auto")
    assert (chosen.engine_name, chosen.engine_fault) == ("python", NOT_INSTALLED)
    assert with_engine(bundle, "python") is bundle
    with pytest.raises(SettingsError, match="engine = compiled, but it is not installed: install Rust"):
        with_engine(bundle, "compiled")


@needs_engine
@pytest.mark.parametrize("setting", ["auto", "compiled"])
def test_the_shipped_bundle_is_decided_by_the_compiled_engine(bundle: Bundle, setting: engine.EngineSetting) -> None:
    """It passes its own check."""
    chosen = with_engine(bundle, setting)
    assert (chosen.engine_name, chosen.engine_fault) == ("compiled", "")


NESTED = parse_contract(
    """{"type": "object", "required": ["id"], "properties": {
        "id": {"type": "string", "x-id": true, "minLength": 3, "maxLength": 4},
        "note": {"type": ["string", "null"], "maxLength": 5},
        "job": {"type": ["object", "null"], "required": ["since"], "properties": {
            "since": {"type": "string", "format": "date-time"}, "title": {"type": "string", "enum": ["a", "é"]}}},
        "children": {"type": "integer", "minimum": 0, "exclusiveMaximum": 9, "x-unknown": [-9]}}}"""
)


@pytest.mark.parametrize("contract", [shipped_contract(), CAR_LOAN, NESTED], ids=str)
def test_drawn_records_are_mostly_valid_and_always_the_same(contract: Contract) -> None:
    """Two thirds or more are valid, and all common faults occur."""
    values = draw_values(contract, 2_000)
    assert values == draw_values(contract, 2_000)
    assert len(values) >= 2_000
    decoded = Decoder(contract).decode_batch(values, 1 << 20)
    assert len(decoded.rows) > len(values) * 2 // 3
    codes = {rejection.code for rejection in decoded.rejections.values()}
    assert codes >= {RejectionCode.NOT_JSON, RejectionCode.WRONG_TYPE, RejectionCode.MISSING_FIELD}
    for name, column in decoded.columns.values.items():
        assert len(np.unique(column)) > 1, name
