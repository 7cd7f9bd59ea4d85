"""Both engines give the same bytes: of drawn bundles, of the shipped ones, and whatever the records are.

`make equality` compares many more.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import Random
from typing import Final

import pytest

from producer.generator import generate_applications
from schemas.contract_examples import invalid_records, valid_applications
from schemas.files import dump_application
from scorer.bundle.engine import compile_engine
from scorer.cli.options import DEFAULT_BUNDLE
from scorer.core.engine import IS_INSTALLED
from scorer.core.score import Bundle
from scorer.settings import Settings
from scorer.store.store import BundleStore
from tests.equality.bundles import draw_bundle
from tests.equality.compare import BYTES_MAX, Comparison, DrawnRecord, compare, compare_records
from tests.equality.models import SPECIAL_KINDS, ModelKind

pytestmark = pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed: make setup needs cargo")

RECORDS: Final = 250
SIZES: Final = (
    (1, 1), (1, 40), (2, 100), (3, 175), (4, 50), (5, 30), (6, 40), (7, 20), (8, 30), (10, 20),
)  # fmt: skip
KINDS: Final = (*(ModelKind(*size) for size in SIZES), *SPECIAL_KINDS)


@pytest.mark.parametrize("seed", range(len(KINDS)))
def test_drawn_bundles_decide_the_same_bytes(seed: int) -> None:
    """Of any contract, columns, model and policy, both engines give the same results; most are the compiled one's."""
    random = Random(seed)
    bundle = draw_bundle(random, KINDS[seed])
    result = compare(bundle, random, RECORDS)
    assert result.records == RECORDS
    assert result.decided > RECORDS // 3


def _shipped() -> Bundle:
    return BundleStore(Settings().store).open(DEFAULT_BUNDLE)


def _compiled(bundle: Bundle) -> Bundle:
    return replace(bundle, engine=compile_engine(bundle))


def _records(values: Iterator[bytes | None]) -> list[DrawnRecord]:
    return [DrawnRecord(value, number) for number, value in enumerate(values)]


def test_the_compiled_engine_decides_the_shipped_bundles_applications_itself() -> None:
    """Of ordinary applications nothing is left to the reference, and invalid ones between them move nothing."""
    bundle = _shipped()
    generated = list(islice(generate_applications(seed=5, invalid_share=0.1), 3_000))
    compared = compare_records(bundle, _compiled(bundle), _records(r.value for r in generated))
    valid = sum(record.code is None for record in generated)
    assert (compared.decided, compared.by_engine) == (valid, valid)
    assert 0 < compared.explained < valid


def test_the_contracts_examples_have_the_same_results() -> None:
    """The contract's own examples, valid and invalid, alone and together."""
    bundle = _shipped()
    contract = bundle.decoder.contract
    values = [dump_application(application, contract) for application in valid_applications(contract).values()]
    values += [record.value for record in invalid_records(contract) if record.value is not None]
    records = _records(iter([*values, None, b" " * (BYTES_MAX + 1)]))
    compiled = _compiled(bundle)
    assert compare_records(bundle, compiled, records).by_engine > 0
    for record in records:
        compare_records(bundle, compiled, [record])
    assert compare_records(bundle, compiled, []) == Comparison()


@pytest.mark.parametrize("count", [1, 15, 16, 17, 64, 600])
def test_a_record_has_the_same_bits_in_every_batch(count: int) -> None:
    """In batches around the sixteen rows that are processed together, also in reverse order."""
    bundle = _shipped()
    compiled = _compiled(bundle)
    records = _records(record.value for record in islice(generate_applications(seed=6), count))
    for ordered in (records, records[::-1]):
        compared = compare_records(bundle, compiled, ordered)
        assert (compared.decided, compared.by_engine) == (count, count)


@pytest.mark.parametrize("seed", range(2))
def test_models_that_the_engine_does_not_know_are_run_between_its_steps(seed: int) -> None:
    """Results are the same, and so are the records on which the model fails; a PD is written alike, however small."""
    random = Random(seed)
    bundle = draw_bundle(random, ModelKind(1, 1, is_other=True))
    result = compare(bundle, random, 1_000)
    assert result.by_engine > 100
    assert result.decided < result.records
