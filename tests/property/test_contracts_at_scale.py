"""Laws of contracts over many records: the decoder, the judge and another validator of JSON Schema agree on each one.

`make laws` tries 200 contracts with 5,000 records each. The validator has the schema that a contract is exported as.
"""

import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.contract_schema import plain_schema
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection
from tests.fakes import fields_of
from tests.property.contract_cases import RecordWriter, contracts
from tests.property.contract_judge import Schema, Verdict, judge

CONTRACTS: Final = int(os.environ.get("LAW_CONTRACTS", "16"))
RECORDS: Final = int(os.environ.get("LAW_RECORDS", "250"))
# Without shrinking: the message has the one record at fault. The same contracts each time.
law = settings(
    settings.get_profile("laws"), max_examples=CONTRACTS, phases=(Phase.explicit, Phase.generate), derandomize=True
)

BYTES_MAX: Final = 8_192
FAULTS_SHOWN_MAX: Final = 20
NOT_ONE_VALUE: Final = frozenset({"empty", "too_large", "not_utf8", "not_json"})
"""Of what is not one JSON value, or has a member twice, JSON Schema says nothing."""


@pytest.fixture(scope="module")
def figures() -> Iterator[Counter[str]]:
    """How many contracts and records were tried, and with what result; logged at the end."""
    counts: Counter[str] = Counter()
    yield counts
    logging.getLogger(__name__).info("%s", dict(counts))


@law
@given(contracts(size_max=10, depth=2), st.integers(0, 2**32 - 1))
def test_all_agree(figures: Counter[str], schema: Schema, seed: int) -> None:
    """Each record has one result, that of the judge, in whatever batch; what is accepted, the validator accepts too.

    Verdicts differ in one point: a validator that checks formats knows leap seconds and the year 0, which the calendar
    of contracts does not have.
    """
    contract = parse_contract(json.dumps(schema))
    decoder, random, writer = Decoder(contract), Random(seed), RecordWriter(schema)
    validator = Draft202012Validator(plain_schema(contract), validate_formats=True)
    values = [writer.write(random) for _ in range(RECORDS)]
    verdicts = _decode(contract, decoder, random, values)
    for value, verdict in zip(values, verdicts, strict=True):
        assert repr(verdict) == repr(_shown(judge(schema, value, BYTES_MAX))), value
        if isinstance(verdict, dict) or verdict[0] not in NOT_ONE_VALUE:
            assert isinstance(verdict, dict) == validator.is_valid(_instance(value)) or _has_other_calendar(value), (
                value
            )
    assert repr(_decode(contract, decoder, random, values)) == repr(verdicts), "the neighbours of a value do not matter"
    figures["contracts"] += 1
    figures["records"] += len(values)
    figures["accepted"] += sum(isinstance(verdict, dict) for verdict in verdicts)
    figures["decoded fast"] += len(values) - decoder.decode_batch(values, BYTES_MAX).slow_decodes
    figures.update(verdict[0] for verdict in verdicts if not isinstance(verdict, dict))


def _names(one: Rejection) -> list[str]:
    if one.code.value in NOT_ONE_VALUE or one.code.value == "not_an_object":
        return []
    return [fault.partition(": ")[0] for fault in one.reason.split("; ")][:FAULTS_SHOWN_MAX]


def _shown(verdict: Verdict) -> Verdict:
    return verdict if isinstance(verdict, dict) else (verdict[0], verdict[1][:FAULTS_SHOWN_MAX])


def _instance(value: bytes) -> Any:
    """The value as the validator gets it: numbers as contracts read them, the infinite ones as the largest."""

    def read(text: str) -> float:
        return max(-sys.float_info.max, min(sys.float_info.max, float(text)))

    return json.loads(value.decode(), parse_int=read, parse_float=read)


def _has_other_calendar(value: bytes) -> bool:
    return b":60" in value or b"0000-" in value


def _decode(contract: Contract, decoder: Decoder, random: Random, values: list[bytes]) -> list[Verdict]:
    """The result of each value in the judge's words, decoded in batches of any size and in any order."""
    verdicts: dict[int, Verdict] = {}
    order = list(range(len(values)))
    random.shuffle(order)
    while order:
        size = random.choice((1, 2, 10, 100, 1_000))
        batch, order = order[:size], order[size:]
        decoded = decoder.decode_batch([values[i] for i in batch], BYTES_MAX)
        assert sorted([*decoded.rejections, *decoded.rows]) == list(range(len(batch))), "one result per value"
        assert decoded.rows == sorted(decoded.rows)
        fields = fields_of(decoded.columns, contract)
        verdicts |= {batch[place]: values_ for place, values_ in zip(decoded.rows, fields, strict=True)}
        verdicts |= {batch[place]: (one.code.value, _names(one)) for place, one in decoded.rejections.items()}
    return [verdicts[i] for i in range(len(values))]
