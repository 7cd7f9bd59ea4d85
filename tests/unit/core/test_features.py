"""Features: each application's values at the bundle's own columns, and no column that means nothing."""

import json

import numpy as np
import pytest

from schemas.application import CreditApplication
from schemas.contracts import shipped_contract
from schemas.examples import APPLICATIONS
from schemas.files import dump_application
from scorer.core.decode import Decoder
from scorer.core.features import FeatureEncoding, columns_of
from tests.fakes import CATEGORIES, CONTRACT, NUMBERS, columns_of_values, make_contract

NUMBER = {"type": "number"}


def _application(**fields: object) -> bytes:
    values = {**APPLICATIONS["plain"], **fields}
    return dump_application({name: value for name, value in values.items() if value is not ...}, shipped_contract())


def _row(columns: tuple[str, ...], missing: float = 0.0, **fields: object) -> list[float]:
    application = columns_of_values([_application(**fields)])
    row: list[float] = FeatureEncoding(CONTRACT, columns, missing).matrix(application)[0].tolist()
    return row


def test_the_columns_of_the_courses_recipe() -> None:
    """All fields give 9 numbers and 21 values of categories, sorted as scikit-learn's DictVectorizer sorts them."""
    columns = columns_of(CONTRACT, [*NUMBERS, *CATEGORIES])
    assert list(columns) == sorted(columns)
    assert len(columns) == 9 + 21
    assert {"age", "home=owner", "marital=unk", "records=yes"} < set(columns)


def test_every_field_but_the_id_is_a_number_or_a_category() -> None:
    """No field of the contract is left out by oversight."""
    assert {*NUMBERS, *CATEGORIES} == set(CreditApplication.model_fields) - {"application_id"}


def test_columns_of_a_field_that_is_left_out() -> None:
    """Only the fields asked for have columns."""
    assert columns_of(CONTRACT, ["age", "records"]) == ("age", "records=no", "records=unk", "records=yes")


def test_values_stand_at_the_bundles_columns() -> None:
    """The order is the bundle's, whatever it is."""
    assert _row(("price", "home=rent", "age", "home=owner"), home="owner", price=5, age=30) == [5, 0, 30, 1]


def test_the_matrix_is_as_models_want_it() -> None:
    """float32 in C order, a row an application and a column a column, and an empty batch is an empty matrix."""
    encoding = FeatureEncoding(CONTRACT, columns_of(CONTRACT, [*NUMBERS, *CATEGORIES]), missing=0.0)
    for n in (0, 1, 3):
        matrix = encoding.matrix(columns_of_values([_application()] * n))
        assert matrix.shape == (n, 30)
        assert matrix.dtype == np.float32
        assert matrix.flags.c_contiguous


@pytest.mark.parametrize("given", [None, ...])
def test_unknown_numbers_are_as_the_encoding_says(given: object) -> None:
    """Null and absent are 0 where the recipe says 0, and NaN where the model is to know."""
    assert _row(("income", "age"), 0.0, income=given) == [0, 30]
    assert _row(("income", "age"), -1.0, income=given) == [-1, 30]
    assert np.isnan(_row(("income", "age"), np.nan, income=given)).tolist() == [True, False]


def test_zero_is_not_unknown() -> None:
    """An income of 0 stays 0 where the unknown is NaN."""
    assert _row(("income",), np.nan, income=0) == [0]


def test_absent_marital_status_is_unk() -> None:
    """An application without marital status has the column of unk, like one that says unk."""
    columns = columns_of(CONTRACT, ["marital"])
    assert _row(columns, marital=...) == _row(columns, marital="unk")
    assert dict(zip(columns, _row(columns, marital=...), strict=True))["marital=unk"] == 1
    assert sum(_row(columns, marital=...)) == 1


def test_a_category_without_a_column_is_all_zeros() -> None:
    """A value for which the model has no column is no other value's, nor does it run into a neighbour's column."""
    columns = ("age", "home=rent", "price")
    assert _row(columns, home="owner", age=30, price=5) == [30, 0, 5]


@pytest.mark.parametrize("missing", [0.0, -1.0, np.nan])
def test_a_category_under_its_own_name_is_an_index(missing: float) -> None:
    """It counts the contract's values from 0; an unknown one is NaN whatever an unknown number is, as 0 is a value."""
    contract = make_contract(
        "home", home={"type": ["string", "null"], "enum": ["rent", "own", None], "x-unknown": ["unk"]}, age=NUMBER
    )
    encoding = FeatureEncoding(contract, ("home=own", "home", "age"), missing)
    values = [{"home": home, "age": 30} for home in ("rent", "own", None, "unk")]
    records = [json.dumps({"id": "a", **value}).encode() for value in values]
    matrix = encoding.matrix(Decoder(contract).decode_batch(records, 1_000).columns)
    np.testing.assert_array_equal(matrix, [[0, 0, 30], [1, 1, 30], [0, np.nan, 30], [0, np.nan, 30]])
    assert encoding.categories == {"home": ("rent", "own")}
    assert encoding.fields == ("age", "home")


@pytest.mark.parametrize(
    "column", ["aeg", "home=RENT", "homes", "home=", "=rent", "age=30", "application_id", "income=", ""]
)
def test_unknown_columns_are_refused(column: str) -> None:
    """A column that no application can fill is refused by name when the bundle is opened."""
    with pytest.raises(ValueError, match=f"are not in the contract: {column}"):
        FeatureEncoding(CONTRACT, ("age", column), missing=0.0)


def test_repeated_columns_are_refused() -> None:
    """A column that stands twice is refused by name."""
    with pytest.raises(ValueError, match="duplicate columns: age, home=rent"):
        FeatureEncoding(CONTRACT, ("age", "home=rent", "price", "age", "home=rent"), missing=0.0)
