"""A wide contract: 150 fields in nested objects, properties of the publisher's own, and 2 kB per application."""

import json
import random
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Final

import numpy as np

from benchmarks.applications import Application, repeat
from benchmarks.engines import train
from schemas.contract import Contract, Kind
from schemas.contract_parser import parse_contract
from schemas.decision import BundleReference
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.features import FeatureEncoding, columns_of
from scorer.core.policy import Policy
from scorer.core.score import Bundle

FIELDS: Final = 150
_GROUPS: Final = ("person", "job", "loan", "bureau", "bank", "home")
_FIELDS_PER_GROUP: Final = 24
_KINDS: Final = ("number", "number", "integer", "category", "number", "integer", "boolean", "number")
"""The kinds of a group's fields, in turns; in place of the last ones, a date and a date-time."""
_VALUES: Final = ("low", "medium", "high", "none", "other")
_TREES: Final = 200
_DEPTH: Final = 4
_DISTINCT: Final = 2_000
_GOLDEN: Final = 64


def wide_contract() -> Contract:
    """Returns the contract."""
    properties: dict[str, Any] = {"id": {"type": "string", "x-id": True}}
    for group in _GROUPS:
        members = {f"{group[0]}{i}": _field(i) for i in range(_FIELDS_PER_GROUP)}
        required = [name for i, name in enumerate(members) if i % 3]
        properties[group] = {"type": "object", "properties": members, "required": required}
    for i in range(FIELDS - 1 - len(_GROUPS) * _FIELDS_PER_GROUP):
        properties[f"ratio{i}"] = {"type": ["number", "null"], "x-unknown": [-9]}
    document = {"x-name": "wide", "type": "object", "properties": properties, "required": ["id", *_GROUPS]}
    contract = parse_contract(json.dumps(document))
    assert len(contract.fields) == FIELDS
    return contract


def _field(i: int) -> dict[str, Any]:
    if i >= _FIELDS_PER_GROUP - 2:
        return {"type": "string", "format": "date" if i % 2 else "date-time"}
    kind = _KINDS[i % len(_KINDS)]
    if kind == "category":
        return {"type": "string", "enum": list(_VALUES)}
    return {"type": kind} | ({} if kind == "boolean" else {"minimum": 0, "maximum": 1_000_000})


def wide_applications(seed: int = 1) -> Iterator[Application]:
    """Generates applications, without end and the same ones each time."""
    return repeat(islice(_draw_applications(seed), _DISTINCT))


def _draw_applications(seed: int) -> Iterator[Application]:
    contract, chance = wide_contract(), random.Random(seed)
    for number in count():
        application: dict[str, Any] = {}
        for field in contract.fields.values():
            members = application
            for name in field.path[:-1]:
                members = members.setdefault(name, {})
            members[field.path[-1]] = _draw(field.kind, chance)
        application["id"] = f"w-{number}"
        application["web"] = {"page": "https://lender.example/apply", "at": "10:15:00", "tags": ["new", "mobile"]}
        value = json.dumps(application, separators=(",", ":")).encode()
        yield Application(application["id"].encode(), value)


def _draw(kind: Kind, chance: random.Random) -> object:
    match kind:
        case Kind.NUMBER:
            return round(chance.expovariate(1 / 500), 2)
        case Kind.INTEGER:
            return int(chance.expovariate(1 / 500))
        case Kind.BOOLEAN:
            return chance.random() < 0.5
        case Kind.CATEGORY:
            return chance.choice(_VALUES)
        case Kind.DATE:
            return _draw_date(chance)
        case _:
            return f"{_draw_date(chance)}T{chance.randrange(24):02}:15:30Z"


def _draw_date(chance: random.Random) -> str:
    return f"20{chance.randrange(10, 25)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"


def wide_bundle() -> Bundle:
    """Returns a bundle of the contract, open: all fields are columns of its model."""
    contract = wide_contract()
    decoder = Decoder(contract)
    encoding = FeatureEncoding(contract, columns_of(contract, contract.inputs), missing=float("nan"))
    values = [application.value for application in islice(wide_applications(seed=2), _DISTINCT)]
    matrix = encoding.matrix(decoder.decode_batch(values, max(map(len, values))).columns)
    model = train(matrix, np.random.default_rng(1).random(len(matrix)) < 0.3, _TREES, _DEPTH)
    reference = BundleReference(name="wide", version="1.0.0", digest="0" * 64)
    golden = matrix[:_GOLDEN]
    return Bundle(
        reference,
        decoder,
        encoding,
        model,
        Decider(Policy(), encoding.contract),
        DecisionEncoder(reference),
        golden,
        model.predict(golden),
        values[:_GOLDEN],
    )
