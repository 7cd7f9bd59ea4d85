"""What stands in for the real thing in tests: records, a bundle that decides by the amount alone, a quiet monitor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.decision import BundleReference
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.score import Bundle, Model, Scores
from scorer.core.wire import DecisionEncoder
from scorer.errors import ModelError
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch

Headers = Sequence[tuple[str, bytes | None]]
TOPIC: Final = "applications"
RECORD_BYTES_MAX: Final = 65_536
BROKEN_PRICE: Final = 666.0
"""A price on which the tiny model fails."""


@dataclass(frozen=True, slots=True)
class FakeRecord:
    """A record on the input topic, with the accessors of a confluent_kafka Message."""

    at: tuple[int, int]
    body: bytes | None
    record_key: bytes | None = None
    record_headers: Headers = ()
    timestamp_ms: int = 0
    topic_name: str = TOPIC

    def __len__(self) -> int:
        return len(self.body or b"")

    def topic(self) -> str:
        return self.topic_name

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def key(self) -> bytes | None:
        return self.record_key

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> Headers | None:
        return list(self.record_headers) or None

    def timestamp(self) -> tuple[int, int]:
        return 1, self.timestamp_ms

    def error(self) -> None:
        return None


def application(application_id: str = "a-1", **fields: object) -> bytes:
    """A sound application, but for the fields given; one given as `...` is left out."""
    sound: dict[str, object] = {
        "application_id": application_id,
        "seniority": 9,
        "home": "rent",
        "time": 60,
        "age": 30,
        "marital": "married",
        "records": "no",
        "job": "freelance",
        "expenses": 61,
        "income": 182,
        "assets": 0,
        "debt": 0,
        "amount": 1150,
        "price": 1490,
    }
    return json.dumps({name: value for name, value in {**sound, **fields}.items() if value is not ...}).encode()


class TinyModel:
    """The probability of default is the amount over a thousand, at most 1; it fails where the price is the devil's."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        if (matrix[:, 1] == BROKEN_PRICE).any():
            raise ModelError("the price is the devil's")
        probabilities: NDArray[np.float32] = np.clip(matrix[:, 0] / np.float32(1_000), 0, 1).astype(np.float32)
        return probabilities


class ModelThatFails:
    """Scores nothing."""

    def predict(self, _: NDArray[np.float32]) -> NDArray[np.float32]:
        raise ModelError("it always does")


def tiny_bundle(model: Model | None = None) -> Bundle:
    """A bundle that decides by the amount alone."""
    reference = BundleReference(name="tiny", version="1.0.0", digest="1" * 64)
    golden = np.array([[100, 1], [900, 1]], dtype=np.float32)
    return Bundle(
        reference=reference,
        encoding=FeatureEncoding(("amount", "price"), missing=0.0),
        model=model or TinyModel(),
        policy=Policy(),
        encoder=DecisionEncoder(reference),
        golden_matrix=golden,
        golden_probabilities=TinyModel().predict(golden),
    )


@dataclass
class CountingMonitor:
    """A Monitor that only counts."""

    polls: int = 0
    stages: list[str] = field(default_factory=list)
    served: list[BundleReference] = field(default_factory=list)

    def lap(self, stage: str) -> None:
        self.stages.append(stage)

    def polled(self, _: Batch) -> None:
        self.polls += 1

    def serving(self, reference: BundleReference) -> None:
        self.served.append(reference)


class Tally(Observer):
    """An observer that counts the records committed and the batches wound back."""

    def __init__(self) -> None:
        self.records = 0
        self.commits = 0
        self.aborts = 0

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        assert len(scores.results) == len(batch.records)
        assert times.began_at <= times.produced_at <= times.confirmed_at
        self.records += len(batch.records)
        self.commits += 1

    def aborted(self) -> None:
        self.aborts += 1
