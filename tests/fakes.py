"""What stands in for the real thing in tests: records, a bundle that decides by the amount alone, a quiet monitor."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract, Kind
from schemas.contract_parser import parse_contract
from schemas.contracts import shipped_contract
from schemas.decision import BundleReference
from scorer.core.columns import Columns
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding
from scorer.core.policy import Policy
from scorer.core.score import Bundle, Model, Scores
from scorer.errors import ModelError
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch

Headers = Sequence[tuple[str, bytes | None]]
TOPIC: Final = "applications"
RECORD_BYTES_MAX: Final = 65_536
CONTRACT: Final = shipped_contract()
CATEGORIES: Final = {name: field.categories for name, field in CONTRACT.inputs.items() if field.categories}
"""The values of each category of the shipped contract, in its order."""
NUMBERS: Final = tuple(name for name, field in CONTRACT.inputs.items() if field.kind.is_numeric)
DECODER: Final = Decoder(CONTRACT)
"""Of the shipped contract."""
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


def columns_of_values(values: Sequence[bytes]) -> Columns:
    """The columns of applications of the shipped contract, each of which is valid."""
    decoded = DECODER.decode_batch(values, RECORD_BYTES_MAX)
    assert not decoded.rejections, decoded.rejections
    return decoded.columns


def fields_of(columns: Columns, contract: Contract = CONTRACT) -> list[dict[str, Any]]:
    """Each application's fields by name, the id and the fields that a model may use: None is unknown.

    A category is its text, everything else a float, as the columns have it.
    """
    given: dict[str, list[Any]] = {}
    for name, known in contract.fields.items():
        if known is contract.id_field:
            given[name] = list(columns.ids)
        elif known.kind is Kind.CATEGORY:
            texts = [*known.categories, None]
            given[name] = [texts[code] for code in columns.values[name].tolist()]  # -1 is the last one
        elif known.kind is not Kind.TEXT:
            given[name] = [None if np.isnan(value) else value for value in columns.values[name].tolist()]
    return [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)]


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
        decoder=DECODER,
        encoding=FeatureEncoding(CONTRACT, ("amount", "price"), missing=0.0),
        model=model or TinyModel(),
        policy=Decider(Policy(), CONTRACT),
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

    def deciding(self, engine: str, fault: str) -> None:
        pass

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


def make_contract(*required: str, **properties: object) -> Contract:
    """A contract with an `id` and these properties, of which some are required."""
    schema = {
        "type": "object",
        "properties": {"id": {"type": "string", "x-id": True}, **properties},
        "required": ["id", *required],
    }
    return parse_contract(json.dumps(schema))
