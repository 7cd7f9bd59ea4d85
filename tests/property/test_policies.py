"""Policies decide what an independent evaluator decides, by both engines, on drawn contracts, rules and records.

`POLICY_RECORDS=1000000` compares as many records; the test prints how many of them a rule decided.
"""

import logging
import os
from dataclasses import replace
from random import Random
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from schemas.contract import Contract
from schemas.decision import BundleReference
from scorer.bundle.engine import compile_engine
from scorer.core.decide import Decider
from scorer.core.decode import Decoder
from scorer.core.encode import DecisionEncoder
from scorer.core.engine import IS_INSTALLED
from scorer.core.features import FeatureEncoding
from scorer.core.policy import LABELS
from scorer.core.records import Record
from scorer.core.score import Bundle, Scores, score_batch
from tests.equality.compare import BYTES_MAX, DrawnRecord
from tests.equality.contracts import draw_columns, draw_contract
from tests.equality.policies import draw_policy
from tests.equality.records import RecordWriter
from tests.fakes import fields_of
from tests.property.policy_judge import judge, read_condition

_RECORDS: Final = int(os.environ.get("POLICY_RECORDS", "4000"))
_RECORDS_PER_POLICY: Final = max(100, _RECORDS // 1_000)
_REFERENCE: Final = BundleReference(name="drawn", version="1.0.0", digest="d0" * 32)
_log = logging.getLogger(__name__)


class AnyModel:
    """PDs of any size, one per row."""

    def predict(self, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
        numbers = np.array([crc32(row.tobytes()) for row in matrix], dtype=np.uint32)
        return (numbers / np.float64(2**32)).astype(np.float32)


def _draw_bundle(random: Random) -> Bundle:
    while True:
        contract = draw_contract(random)
        columns, derived = draw_columns(random, contract, has_indexes=random.random() < 0.5)
        if columns:
            break
    encoding = FeatureEncoding(contract, columns, np.nan, derived)
    decider = Decider(draw_policy(random, contract), contract)
    golden = np.zeros((1, len(columns)), dtype=np.float32)
    encoder = DecisionEncoder(_REFERENCE)
    return Bundle(_REFERENCE, Decoder(contract), encoding, AnyModel(), decider, encoder, golden, golden[:, 0])


def _expected(bundle: Bundle, contract: Contract, records: list[Record], scores: Scores) -> list[tuple[str, int]]:
    """What the judge decides on the records that are decided, with their PDs."""
    values = [record.value() for record, is_decided in zip(records, scores.is_decided, strict=True) if is_decided]
    rows = fields_of(bundle.decoder.decode_batch(values, BYTES_MAX).columns, contract)
    policy = bundle.policy.policy
    conditions = [read_condition(rule.when) for rule in policy.rules]
    return [
        judge(policy, conditions, row, probability)
        for row, probability in zip(rows, scores.probabilities.astype(np.float64).tolist(), strict=True)
    ]


def test_policies_decide_what_the_judge_decides() -> None:
    """Label and rule of each decided record are those of the judge, whichever engine decided."""
    decided = by_rule = by_engine = 0
    for seed in range(_RECORDS // _RECORDS_PER_POLICY):
        random = Random(f"policy {seed}")
        bundle = _draw_bundle(random)
        contract = bundle.decoder.contract
        values = RecordWriter(random, contract).write(_RECORDS_PER_POLICY)
        records: list[Record] = [DrawnRecord(value, n) for n, value in enumerate(values)]
        engines = [bundle, replace(bundle, engine=compile_engine(bundle))] if IS_INSTALLED else [bundle]
        for engine in engines:
            with np.errstate(over="ignore"):  # a derived number that is too large for the matrix
                scores = score_batch(records, engine, BYTES_MAX)
            actual = [(LABELS[label], rule) for label, rule in zip(scores.decided, scores.rules.tolist(), strict=True)]
            assert actual == _expected(bundle, contract, records, scores), (seed, bundle.policy.policy)
        decided += len(scores.rules)
        by_rule += int(np.count_nonzero(scores.rules >= 0))
        by_engine += scores.by_engine
    _log.info("%d records decided, %d by a rule, %d by the compiled engine", decided, by_rule, by_engine)
    assert by_rule > decided / 10
    assert not IS_INSTALLED or by_engine > decided / 3
