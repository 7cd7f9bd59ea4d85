"""Examples, generated and invalid applications of any contract: the decoder says of each what it claims to be."""

import json
from itertools import islice

import numpy as np
from hypothesis import given, settings

from producer.generator import generate_applications
from producer.invalid import Spoiler
from schemas.contract import Contract, Kind
from schemas.contract_examples import invalid_records, plain_application, valid_applications
from schemas.defects import find_defects
from schemas.files import dump_application
from schemas.made_up import make_applications
from schemas.rejection import RejectionCode
from scorer.core.columns import Columns
from scorer.core.decode import Decoder
from scorer.core.slow_decode import Rejection
from tests.property.contracts import contracts

_all = settings.get_profile("laws")
law = settings(_all, max_examples=_all.max_examples // 4)  # each case decodes some dozens of records
BYTES_MAX = 65_536


@law
@given(contracts())
def test_examples_are_what_they_claim(contract: Contract) -> None:
    """Valid ones are decoded; each other one is rejected with exactly its code and its reason."""
    decoder = Decoder(contract)
    for application in valid_applications(contract).values():
        assert isinstance(decoder.decode(dump_application(application, contract), BYTES_MAX), Columns)
    records = invalid_records(contract)
    for record in records:
        if record.value is not None:
            assert decoder.decode(record.value, BYTES_MAX) == (record.code, record.reason)
    codes = [record.code for record in records]
    assert codes == [code for code in RejectionCode if code in codes]
    expected = set(RejectionCode) - set(codes)
    assert expected <= {RejectionCode.UNKNOWN_CATEGORY}
    if RejectionCode.UNKNOWN_CATEGORY in codes:
        assert any(field.kind is Kind.CATEGORY for field in contract.fields.values())


@law
@given(contracts())
def test_each_defect_causes_its_code(contract: Contract) -> None:
    """Whatever valid application it is applied to, and whatever the other fields hold."""
    decoder = Decoder(contract)
    applications = [plain_application(contract), *make_applications(contract)[:10]]
    for code, defects in find_defects(contract).items():
        for defect in defects:
            for application in applications:
                rejection = decoder.decode(dump_application(defect.apply(application), contract), BYTES_MAX)
                assert isinstance(rejection, Rejection)
                assert (code, rejection.code) == (defect.code, code)


@law
@given(contracts())
def test_any_contracts_applications_are_made_invalid(contract: Contract) -> None:
    """The code that comes with an invalid application is the one with which the scorer rejects it."""
    decoder, spoiler, random = Decoder(contract), Spoiler(contract), np.random.default_rng(1)
    value = json.dumps(plain_application(contract), ensure_ascii=False).encode()
    for _ in range(20):
        invalid, code = spoiler.make_invalid(value, random)
        rejection = decoder.decode(invalid, BYTES_MAX)
        assert isinstance(rejection, Rejection)
        assert rejection.code is code


@settings(_all, max_examples=50)
@given(contracts())
def test_generated_applications_are_what_they_claim(contract: Contract) -> None:
    """Each valid one is decoded, each invalid one rejected with its code; a seed makes the same bytes again."""
    decoder = Decoder(contract)
    records = list(islice(generate_applications(1, invalid_share=0.5, contract=contract), 600))
    for record in records:
        decoded = decoder.decode(record.value, BYTES_MAX)
        assert (decoded.code if isinstance(decoded, Rejection) else None) is record.code
    assert list(islice(generate_applications(1, invalid_share=0.5, contract=contract), 600)) == records
