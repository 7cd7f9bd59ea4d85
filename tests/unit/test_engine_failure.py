"""If the compiled engine fails on a batch, the worker commits the reference's results, logs it once, and continues."""

from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Final, cast

import pytest
from prometheus_client import CollectorRegistry

from schemas.decision import BundleReference
from scorer.bundle.engine import compile_engine
from scorer.bundle.load import load_bundle
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import IS_INSTALLED
from scorer.core.score import Scores, score_batch
from scorer.monitor.metrics import WorkerMetrics
from scorer.process import EventLog
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer, Observers
from scorer.stream.worker import Batch, run
from tests.fakes import RECORD_BYTES_MAX, FakeRecord
from tests.unit.bundle.making import PLAIN

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed: make setup needs cargo")

BATCHES: Final = 3


class CommittingLink:
    """Hands out batches, and commits their results at once."""

    def __init__(self, observer: Observer, batches: list[Batch]) -> None:
        self.observer = observer
        self.batches = batches
        self.committed: list[Scores] = []

    def poll(self, _: BundleReference) -> Batch:
        return self.batches.pop(0)

    def publish(self, batch: Batch, scores: Scores) -> None:
        self.committed.append(scores)
        self.observer.committed(batch, scores, Delivered(1.0, 1.5, 2.0))

    def settle(self) -> bool:
        return True


class EncoderWithout1:
    """Has the texts of decisions, but for partition 1."""

    def __init__(self, encoder: DecisionEncoder) -> None:
        self._encoder = encoder

    def frames(self, topic: str, partitions: Iterable[int]) -> list[tuple[int, bytes, bytes]]:
        return [frame for frame in self._encoder.frames(topic, partitions) if frame[0] != 1]


def _metric(registry: CollectorRegistry, engine: str) -> float | None:
    return registry.get_sample_value("scorer_engine_decisions_total", {"engine": engine})


@pytest.mark.parametrize("predicts", [True, False], ids=["engine predicts", "model predicts between its steps"])
def test_the_worker_continues_with_the_reference(caplog: pytest.LogCaptureFixture, predicts: bool) -> None:
    """The engine's module raises its own error, as it does instead of a panic; no record is lost, none decided twice.

    It fails because it is given no texts for the second batch's partition. Its other batches are its own again.
    """
    caplog.set_level("INFO")
    plain = load_bundle(PLAIN)
    known = plain if predicts else replace(plain, model=SimpleNamespace(predict=plain.model.predict))
    bundle = replace(known, engine=compile_engine(known))
    assert bundle.engine is not None
    assert bundle.engine.predicts is predicts
    bundle.engine._encoder = cast("DecisionEncoder", EncoderWithout1(bundle.encoder))
    values = [*plain.golden_values, b"{}"]
    batches = [
        Batch([FakeRecord((number, i), value) for i, value in enumerate(values)], {number: len(values)})
        for number in range(BATCHES)
    ]
    registry = CollectorRegistry()
    observers = Observers(EventLog(bundle.reference), WorkerMetrics(registry, bundle.reference, "applications"))
    link = CommittingLink(observers, list(batches))
    run(link, lambda: bundle, observers, RECORD_BYTES_MAX, lambda: not link.batches)

    expected = [score_batch(batch.records, plain, RECORD_BYTES_MAX).results for batch in batches]
    assert [scores.results for scores in link.committed] == expected
    assert [scores.engine_failed for scores in link.committed] == [False, True, False]
    golden = len(plain.golden_values)
    assert (_metric(registry, "compiled"), _metric(registry, "python")) == (2 * golden, golden)
    events = [record.__dict__["event"] for record in caplog.records if record.levelname == "ERROR"]
    assert events == ["engine_failed"]
