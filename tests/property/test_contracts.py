"""Laws of contracts: for any contract and any bytes, the decoder says what JSON Schema says, value for value.

`contract_judge` is held against the decoder, and the fast decoder against the slow one.
"""

import json
from typing import Final

from hypothesis import given, settings

from schemas.contract import Contract
from schemas.contract_parser import parse_contract
from schemas.rejection import RejectionCode
from scorer.core.columns import ColumnReader, Columns
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection, SlowDecoder
from tests.fakes import fields_of
from tests.property.contract_cases import cases
from tests.property.contract_judge import Schema, Verdict, judge

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case is a contract and several records

BYTES_MAX: Final = 4_096
OF_WHOLE_VALUES: Final = frozenset(RejectionCode) - {
    RejectionCode.MISSING_FIELD, RejectionCode.WRONG_TYPE, RejectionCode.OUT_OF_RANGE, RejectionCode.UNKNOWN_CATEGORY,
}  # fmt: skip


def _verdict(contract: Contract, one: Columns | Rejection) -> Verdict:
    """A result in the judge's words."""
    if not isinstance(one, Rejection):
        (values,) = fields_of(one, contract)
        return values
    names = [] if one.code in OF_WHOLE_VALUES else [fault.partition(": ")[0] for fault in one.reason.split("; ")]
    return one.code.value, names


@law
@given(cases())
def test_the_decoder_says_what_json_schema_says(case: tuple[Schema, list[bytes]]) -> None:
    """Values, codes and the names at fault are the judge's, for each value alone; no value has no result."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder = Decoder(contract)
    for value in values:
        # repr tells -0.0 from 0.0, and gives every digit.
        assert repr(_verdict(contract, decoder.decode(value, BYTES_MAX))) == repr(judge(schema, value, BYTES_MAX))


@law
@given(cases())
def test_the_fast_decoder_agrees_with_the_slow_one(case: tuple[Schema, list[bytes]]) -> None:
    """Each value has the columns or the rejection that it has without the fast decoder."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder, slow, reader = Decoder(contract), SlowDecoder(contract), ColumnReader(contract)
    for value in filter(None, values):
        row = slow.decode(value)
        slowly = row if isinstance(row, Rejection) else fields_of(reader.read([row]), contract)
        quickly = decoder.decode(value, BYTES_MAX)
        assert repr(slowly) == repr(quickly if isinstance(quickly, Rejection) else fields_of(quickly, contract))


@law
@given(cases())
def test_isolation(case: tuple[Schema, list[bytes]]) -> None:
    """A batch has the results that its values have alone, each one result, in order."""
    schema, values = case
    contract = parse_contract(json.dumps(schema))
    decoder = Decoder(contract)
    batch: list[bytes | None] = [*values, None, *reversed(values)]
    found = decoder.decode_batch(batch, BYTES_MAX)
    assert sorted([*found.rejections, *found.rows]) == list(range(len(batch)))
    assert found.rows == sorted(found.rows)
    together = dict(zip(found.rows, fields_of(found.columns, contract), strict=True))
    for place, value in enumerate(batch):
        alone = decoder.decode(value, BYTES_MAX)
        one = found.rejections.get(place, together.get(place))
        assert repr(one) == repr(alone if isinstance(alone, Rejection) else fields_of(alone, contract)[0])
