"""Two lenders' data, from a file to decisions on a real broker, and the figures of XGBoost itself beside ours."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from scorer.local.broker import Broker
from tests import real_data
from tests.integration.test_end_to_end import read_decisions, run, worker

COURSE: Final = {
    "eta": 0.1, "max_depth": 3, "min_child_weight": 1, "objective": "binary:logistic", "seed": 1, "nthread": 1,
}  # fmt: skip
ROUNDS: Final = 175


class Lender(NamedTuple):
    """A lender's file, and what a person has to know of it.

    Attributes:
        file: its name.
        target: the column with the outcome of the loan.
        default: how that column writes a default.
        infer: what of the file is not part of an application.
        train: how to train.
        categories, numbers: the columns that the model uses.
    """

    file: str
    target: str
    default: str
    infer: Sequence[str]
    train: Sequence[str]
    categories: frozenset[str]
    numbers: frozenset[str]


GERMAN: Final = Lender(
    file="german_credit",
    target="creditability",
    default="bad",
    infer=(),
    train=("--drop", "personal_status_and_sex", "--drop", "foreign_worker"),
    categories=frozenset(
        {
            "status_of_existing_checking_account", "credit_history", "purpose", "savings_account_and_bonds",
            "present_employment_since", "other_debtors_or_guarantors", "property", "other_installment_plans",
            "housing", "job", "telephone",
        }
    ),
    numbers=frozenset(
        {
            "duration_in_month", "credit_amount", "installment_rate_in_percentage_of_disposable_income",
            "present_residence_since", "age_in_years", "number_of_existing_credits_at_this_bank",
            "number_of_people_being_liable_to_provide_maintenance_for",
        }
    ),
)  # fmt: skip
CARS: Final = Lender(
    file="car_loans",
    target="repaid",
    default="0.0",
    infer=("--id", "id", "--drop", "timestamp", "--drop", "y_pred", "--drop", "y_pred_proba"),
    train=(),
    categories=frozenset({"salary_range", "size_of_downpayment"}),
    numbers=frozenset({"car_value", "debt_to_income_ratio", "loan_length", "repaid_loan_on_prev_car", "driver_tenure"}),
)
LENDERS: Final = pytest.mark.parametrize(
    ("lender", "categories"), [(GERMAN, "one-hot"), (CARS, "one-hot"), (GERMAN, "native")]
)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def one_hot(rows: Sequence[dict[str, str]], lender: Lender) -> NDArray[np.float32]:
    """The matrix of the rows: a column per number and per value of a category, sorted by name."""
    columns = {name: [_number(row[name]) for row in rows] for name in lender.numbers}
    for name in lender.categories:
        for value in {row[name] for row in rows}:
            columns[f"{name}={value}"] = [float(row[name] == value) for row in rows]
    return np.array([columns[name] for name in sorted(columns)], dtype=np.float32).T.copy()


def indexed(rows: Sequence[dict[str, str]], lender: Lender) -> NDArray[np.float32]:
    """The matrix of the rows: a column per field, sorted by name; a category's values count from 0 in their order."""
    columns = {name: [_number(row[name]) for row in rows] for name in lender.numbers}
    for name in lender.categories:
        values = sorted({row[name] for row in rows})
        columns[name] = [values.index(row[name]) for row in rows]
    return np.array([columns[name] for name in sorted(columns)], dtype=np.float32).T.copy()


def _number(cell: str) -> float:
    return float({"True": "1", "False": "0"}.get(cell, cell))


def train(matrix: NDArray[np.float32], defaulted: NDArray[np.float32], types: list[str] | None) -> xgboost.Booster:
    """A model of the course's recipe; with types of columns, some of them are categories."""
    learnt = xgboost.DMatrix(matrix, label=defaulted, feature_types=types, enable_categorical=types is not None)
    return xgboost.train(COURSE, learnt, num_boost_round=ROUNDS)


@pytest.fixture
def environment(broker: Broker, unique: Callable[[str], str], tmp_path: Path) -> dict[str, str]:
    """The environment of the commands: topics that do not exist yet, a store, and the libraries that train."""
    kinds = ("applications", "decisions", "dead_letters", "deployments")
    return {
        "SCORER_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "SCORER_GROUP_ID": unique("group"),
        "SCORER_STORE": str(tmp_path / "store"),
        "PYTHONPATH": "",
        **{f"SCORER_{kind.upper()}_TOPIC": unique(kind) for kind in kinds},
    }


@pytest.mark.broker
@LENDERS
def test_from_a_file_to_decisions(lender: Lender, categories: str, environment: dict[str, str], tmp_path: Path) -> None:
    """With a broker and a worker, four commands decide each row of a file, with the bits of XGBoost itself.

    The AUC on the held-out fifth is XGBoost's, too. The matrix comes from the csv module and a dictionary of columns.
    """
    file, contract = real_data.lender_file(lender.file), tmp_path / "contract.schema.json"
    rows, name = read_rows(file), lender.file.replace("_", "-")
    target, own = f"{lender.target}={lender.default.removesuffix('.0')}", ("--contract", str(contract))
    named = ("--name", name, "--version", "1.0.0")
    prepared = _run(environment, "scorer", "topics", "ensure", "--partitions", "3")
    assert "created" in prepared
    with worker(environment):
        commands = (
            ("scorer", "contract", "infer", str(file), "--target", lender.target, *lender.infer, "-o", str(contract)),
            ("scorer", "train", str(file), *own, *named, "--target", target, *lender.train, "--categories", categories),
            ("scorer", "deploy", f"{name}:1.0.0", "--allow-breaking", "--reason", "the first of our own"),
            ("producer", "publish", str(file)),
        )
        _, trained, *_ = [_run(environment, *command) for command in commands]
        decisions = [json.loads(decision) for decision in read_decisions(environment, len(rows))]

    is_native = categories == "native"
    matrix = indexed(rows, lender) if is_native else one_hot(rows, lender)
    columns = sorted(lender.categories | lender.numbers)
    types = ["c" if column in lender.categories else "float" for column in columns] if is_native else None
    defaulted = np.array([row[lender.target] == lender.default for row in rows], dtype=np.float32)
    expected = train(matrix, defaulted, types).inplace_predict(matrix)
    predicted = np.full(len(rows), np.nan, dtype=np.float32)
    positions = {row["id"]: position for position, row in enumerate(rows)} if "id" in rows[0] else {}
    for decision in decisions:
        application_id = decision["application_id"]
        position = positions[application_id] if positions else _line_of(application_id) - 2
        predicted[position] = decision["probability_of_default"]
    assert np.array_equal(predicted, expected)

    learnt, held_out = train_test_split(np.arange(len(rows)), test_size=0.2, random_state=11)
    answers = train(matrix[learnt], defaulted[learnt], types).inplace_predict(matrix[held_out])
    (shown,) = re.findall(r"^AUC (0\.[0-9]{4})", trained, re.MULTILINE)
    assert shown == f"{roc_auc_score(defaulted[held_out], answers):.4f}"


def _run(environment: dict[str, str], *command: str) -> str:
    ended = run(*command, environment=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def _line_of(application_id: str) -> int:
    """The line of a row that has no id of its own; the header is the first line."""
    return int(re.findall(r":(\d+)-", application_id)[0])
