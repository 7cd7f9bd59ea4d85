"""The description of a bundle: read from a file or made in Python, and every fault in it named."""

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from scorer.author.describe import Description, read_build_file
from scorer.author.import_model import add_model
from scorer.bundle.load import read_manifest
from scorer.core.features import FeatureEncoding, columns_of
from scorer.core.policy import Policy
from scorer.errors import MisuseError
from scorer.store.store import BundleStore
from tests.fakes import CONTRACT, application, columns_of_values, make_contract
from tests.unit.bundle.making import PLAIN as SHIPPED
from tests.unit.bundle.making import make_vectorizer

PLAIN = 'name = "mine"\nversion = "1.0.0"\nmodel = "model.ubj"\nfields = ["age", "home"]\nmissing = 0\n'


def _read(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_least_that_can_be_said(tmp_path: Path) -> None:
    """Everything else has a default: the usual thresholds, no notes, now."""
    told = read_build_file(_read(tmp_path, PLAIN))
    assert (told.name, told.version, told.model, told.holdout, told.runner) == (
        "mine",
        "1.0.0",
        "model.ubj",
        None,
        None,
    )
    assert told.features.columns == columns_of(CONTRACT, ["age", "home"])
    assert told.features.missing == 0
    assert told.policy == Policy()
    assert (told.runner_settings, told.labels, told.libraries) == ({}, {}, {})
    assert told.created.tzinfo == UTC


def test_all_that_can_be_said(tmp_path: Path) -> None:
    """Each key comes out as it stands there."""
    more = """
holdout = "loans.csv"
holdout_about = "The loans of 2025."
runner = "scorecard"
rounds = "best"
created = 2026-01-31T10:00:00Z
[policy]
maybe_above = 0.2
declined_above = 1
[runner_settings]
column = 1
output = "p"
exact = true
[libraries]
lightgbm = "4.6.0"
[labels]
licence = "a contract"
"""
    told = read_build_file(
        _read(tmp_path, PLAIN.replace('fields = ["age", "home"]', 'columns = ["home=rent", "age"]') + more)
    )
    assert told.features.columns == ("home=rent", "age")
    assert (told.holdout, told.holdout_about, told.runner) == ("loans.csv", "The loans of 2025.", "scorecard")
    assert told.rounds == "best"
    assert told.created == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert told.policy == Policy(maybe_above=0.2, declined_above=1.0)
    assert told.runner_settings == {"column": 1, "output": "p", "exact": True}
    assert (told.libraries, told.labels) == ({"lightgbm": "4.6.0"}, {"licence": "a contract"})


def test_unknown_numbers_left_to_the_model(tmp_path: Path) -> None:
    """TOML has a NaN; the manifest writes null for it."""
    told = read_build_file(_read(tmp_path, PLAIN.replace("missing = 0", "missing = nan")))
    assert math.isnan(told.missing)
    assert told.features.missing is None


def test_the_matrix_is_the_scorers() -> None:
    """What a model is trained on is built by the code that builds what it scores."""
    description = Description(name="mine", version="1.0.0", fields=["age", "income"], missing=-1.0)
    applicant = columns_of_values([application(income=None)])
    found = description.matrix(applicant)
    assert np.array_equal(found, FeatureEncoding(CONTRACT, ("age", "income"), -1.0).matrix(applicant))
    assert found.tolist() == [[30.0, -1.0]]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"', 'name = "Mine"', "name: must match the pattern"),
        ('version = "1.0.0"', 'version = "1.0"', "version: must match the pattern"),
        ('version = "1.0.0"\n', "", "version: is missing"),
        ('model = "model.ubj"\n', "", "model: is missing"),
        ("missing = 0\n", "", "missing: is missing"),
        ("missing = 0", "missing = inf", "missing must be a 32-bit number"),
        ("missing = 0", "missing = 1e300", "missing must be a 32-bit number"),
        ('"model.ubj"', '"model\\u0000.ubj"', "model: .*is empty or has a NUL character"),
        ("missing = 0", 'missing = 0\nholdout = "loans\\u0000.csv"', "holdout: .*is empty or has a NUL character"),
        ("missing = 0", 'missing = 0\nholdout = ""', "holdout: .*is empty or has a NUL character"),
        ("missing = 0", 'missing = "0"', "missing: must be a number"),
        ("missing = 0", "missing = 0\nmisisng = 1", "misisng: unknown name"),
        ("missing = 0", "missing = 0\nrounds = 15", "rounds: must be 'best' or 'all'"),
        ('fields = ["age", "home"]\n', "", "give either columns or fields"),
        ("missing = 0", 'missing = 0\ncolumns = ["age"]', "give either columns or fields"),
        ('["age", "home"]', '["age", "castle"]', "fields that are not in the contract: castle"),
        ('fields = ["age", "home"]', 'columns = ["age", "home=castle"]', "are not in the contract: home=castle"),
        ('fields = ["age", "home"]', 'columns = ["age", "age"]', "duplicate columns: age"),
        ('fields = ["age", "home"]', 'columns = "age"', "columns: "),
        ("missing = 0", "missing = 0\n[policy]\nmaybe_above = 0.6", "maybe_above .* must not be greater"),
        ("missing = 0", "missing = 0\n[policy]\nmaybe = 0.6", "policy.maybe: unknown name"),
        ("missing = 0", "missing = 0\n[runner_settings]\ncolumn = [1]", "runner_settings.column"),
        ("missing = 0", "missing = 0\ncreated = 2026-01-31T10:00:00+02:00", "created: must be in UTC"),
        ("missing = 0", "missing = 0\nmissing = 1", "is not TOML"),
        (
            "missing = 0",
            "missing = 0\n[labels]\n" + "".join(f"l{n} = 'x'\n" for n in range(51)),
            "labels: .* at most 50",
        ),
        (PLAIN, "{", "is not TOML"),
    ],
)
def test_every_fault_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The file, the key and the rule."""
    assert old in PLAIN
    path = _read(tmp_path, PLAIN.replace(old, new))
    with pytest.raises(MisuseError, match=f"{path}: .*{message}"):
        read_build_file(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x08\x03\x12\x00\x1a\x02" * 9, "is not text; is it the right file"),
        (b"\x89PNG\xff", "is not UTF-8"),
        (b"#" * (1 << 21), "longer than 1,048,576 bytes"),
    ],
)
def test_what_is_no_description(tmp_path: Path, content: bytes, message: str) -> None:
    """Whoever gives the model's file itself is told so."""
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(MisuseError, match=message):
        read_build_file(tmp_path / "model.onnx")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_description_of_every_editor(tmp_path: Path, encoding: str) -> None:
    """A byte-order mark used to be an invalid statement."""
    path = tmp_path / "mine.toml"
    path.write_bytes(PLAIN.replace("\n", "\r\n").encode(encoding))
    assert read_build_file(path).name == "mine"


def test_no_file(tmp_path: Path) -> None:
    """The path and the reason."""
    with pytest.raises(MisuseError, match=r"nowhere\.toml: cannot be read: No such file"):
        read_build_file(tmp_path / "nowhere.toml")


def test_columns_as_a_vectorizer_names_them() -> None:
    """scikit-learn gives an array of names."""
    vectorizer = make_vectorizer(["age", "home=rent", "income"])
    names = vectorizer.get_feature_names_out()  # type: ignore[no-untyped-call]
    description = Description(name="mine", version="1.0.0", columns=names, missing=0.0)
    assert description.features.columns == ("age", "home=rent", "income")


def test_columns_as_long_as_a_manifest_allows() -> None:
    """A category's value may have 90 characters, and its column could not be named in a description."""
    value = "critical account/ other credits existing (not at this bank)" * 3
    contract = make_contract("history", history={"type": "string", "enum": [value]})
    columns = [f"history={value}"]
    told = Description(name="mine", version="1.0.0", contract=contract, columns=columns, missing=0.0)
    assert list(told.features.columns) == columns


def test_in_python_the_same_rules_hold() -> None:
    """A notebook gets a sentence of ours at once. It used to be an error of pydantic's with an address."""
    with pytest.raises(MisuseError, match=r"^fields that are not in the contract: castle$"):
        Description(name="mine", version="1.0.0", fields=["castle"], missing=0.0)
    with pytest.raises(MisuseError, match=r"^name: .+; version: .+; policy: maybe_above .+ must not be"):
        Description(
            name="My model",
            version="v2",
            fields=["age"],
            missing=0.0,
            policy={"maybe_above": 0.5, "declined_above": 0.3},  # type: ignore[arg-type]
        )


def test_a_copy_that_is_invalid(tmp_path: Path) -> None:
    """A copy of a description is not validated; building it reports what is wrong, and nothing is added."""
    columns = read_manifest(SHIPPED).features.columns
    description = Description(name="mine", version="1.0.0", columns=columns, missing=0.0)
    copied = description.model_copy(update={"labels": {"": "no name"}})
    with pytest.raises(MisuseError, match=r"^the description is invalid: labels"):
        add_model(SHIPPED / "model.ubj", copied, BundleStore(tmp_path / "store"))
    assert not (tmp_path / "store").exists()
