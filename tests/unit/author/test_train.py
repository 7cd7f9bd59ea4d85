"""Training: the course's recipe, the same bytes every time, figures that add up, no row lost unseen."""

import csv
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xgboost
from sklearn.feature_extraction import DictVectorizer
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from schemas.contract_parser import parse_contract
from schemas.profile import parse_profile
from schemas.rows import OutcomeColumn
from scorer.author.build import build_bundle
from scorer.author.plots import draw_figures
from scorer.author.train import Examples, Recipe, Trained, choose_fields, read_examples, require_libraries, train_model
from scorer.bundle.load import load_bundle
from scorer.errors import BundleError, InputFileError, MisuseError
from tests.fakes import CONTRACT, fields_of, make_contract
from tests.unit.bundle.making import write_loans

pytestmark = pytest.mark.slow


def _train(examples: Examples, *dropped: str) -> Trained:
    identity = ("mine", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC))
    return train_model(examples, Recipe(dropped=dropped), identity, {})


@pytest.fixture(scope="module")
def loans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 300 made-up loans."""
    return write_loans(tmp_path_factory.mktemp("loans") / "loans.csv")


@pytest.fixture(scope="module")
def trained(loans: Path) -> Trained:
    """What comes of it."""
    return _train(read_examples(loans, skip_invalid=False))


def test_the_same_file_gives_the_same_model(loans: Path, trained: Trained) -> None:
    """Byte for byte, figures included: a bundle can be made again by whoever has the data."""
    again = _train(read_examples(loans, skip_invalid=False))
    assert again.draft == trained.draft
    assert np.array_equal(again.holdout_probabilities, trained.holdout_probabilities)


def test_the_bundle_opens(tmp_path: Path, trained: Trained) -> None:
    """What was trained can be built, checked and opened."""
    build_bundle(trained.draft, tmp_path)
    assert load_bundle(tmp_path).works()


def test_a_bundle_with_its_own_contract_has_a_profile(tmp_path: Path, loans: Path, trained: Trained) -> None:
    """It is a file of the bundle, with its digest; one of the shipped contract has the same files as before."""
    contract = parse_contract(json.dumps({**CONTRACT.document, "x-version": "1.1.0"}))
    own = train_model(
        read_examples(loans, skip_invalid=False, contract=contract),
        Recipe(rounds=2),
        ("mine", "1.0.0", datetime(2026, 1, 31, tzinfo=UTC)),
        {},
    )
    folders = [tmp_path / name for name in ("shipped", "own")]
    for folder, draft in zip(folders, (trained.draft, own.draft), strict=True):
        folder.mkdir()
        assert ("profile.json" in build_bundle(draft, folder).files) is (folder.name == "own")
        assert load_bundle(folder).works()
    profile = parse_profile((folders[1] / "profile.json").read_bytes())
    assert list(profile.fields) == list(contract.inputs)
    assert profile.fields["income"].unknown == pytest.approx(0.2, abs=0.05)
    (folders[1] / "profile.json").write_bytes(b"{}")
    with pytest.raises(BundleError, match=r"profile\.json was changed or damaged"):
        load_bundle(folders[1])


def test_the_figures_are_those_of_the_course(loans: Path, trained: Trained) -> None:
    """The recipe written down again with scikit-learn's DictVectorizer has the same AUC and the same predictions."""
    with loans.open() as file:
        rows = list(csv.DictReader(file))
    names = {
        "Home": ["unk", "rent", "owner", "private", "ignore", "parents", "other"],
        "Marital": ["unk", "single", "married", "widow", "separated", "divorced"],
        "Records": ["unk", "no", "yes"],
        "Job": ["unk", "fixed", "partime", "freelance", "others"],
    }
    applications = [
        {
            field.lower(): names[field][int(cell)] if field in names else (0 if cell == "99999999" else int(cell))
            for field, cell in row.items()
            if field != "Status"
        }
        for row in rows
    ]
    defaulted = np.array([row["Status"] == "2" for row in rows], dtype=int)
    learnt, held_out, learnt_defaulted, held_out_defaulted = train_test_split(
        applications, defaulted, test_size=0.2, random_state=11
    )
    vectorizer = DictVectorizer(sparse=False)  # type: ignore[no-untyped-call]
    booster = xgboost.train(
        {"eta": 0.1, "max_depth": 3, "min_child_weight": 1, "objective": "binary:logistic", "seed": 1, "nthread": 1},
        xgboost.DMatrix(vectorizer.fit_transform(learnt), label=learnt_defaulted),
        num_boost_round=175,
    )
    seen = xgboost.DMatrix(vectorizer.transform(held_out))  # type: ignore[no-untyped-call]
    predicted = booster.predict(seen)
    figures = trained.metrics
    assert figures.holdout.auc == pytest.approx(roc_auc_score(held_out_defaulted, predicted))
    assert figures.calibration.brier == pytest.approx(brier_score_loss(held_out_defaulted, predicted))
    assert trained.holdout_defaulted.tolist() == held_out_defaulted.tolist()
    assert trained.holdout_probabilities == pytest.approx(predicted, abs=1e-6)


def test_the_figures_add_up(trained: Trained) -> None:
    """Every held-out row is in one bin and under one decision, and each bin's mean lies in it."""
    metrics = trained.metrics
    assert metrics.holdout.rows == 60 == len(trained.holdout_probabilities)
    assert sum(found.rows for found in metrics.calibration.bins) == 60
    decisions = metrics.decisions.by_decision.values()
    assert sum(by.ok + by.default for by in decisions) == 60
    assert sum(by.default for by in decisions) == trained.holdout_defaulted.sum()
    for place, found in enumerate(metrics.calibration.bins):
        if found.predicted_mean is None:
            assert found.rows == 0
            assert found.observed_share is None
        else:
            assert place / 10 <= found.predicted_mean <= (place + 1) / 10
    declined = trained.holdout_probabilities > 0.5
    assert metrics.decisions.by_decision["DECLINED"].default == trained.holdout_defaulted[declined].sum()


def test_the_model_learns_from_all_rows(loans: Path, trained: Trained) -> None:
    """The one that ships is not the one that was measured: it has seen the held-out rows too."""
    model = xgboost.Booster(model_file=bytearray(trained.draft.model))
    examples = read_examples(loans, skip_invalid=False)
    assert model.num_boosted_rounds() == 175
    assert len(examples.applications) == trained.metrics.dataset.rows_labelled == 300
    assert "all labelled rows" in trained.metrics.holdout.what


def test_a_dropped_field_is_not_in_the_model(loans: Path) -> None:
    """Neither its columns nor its name among the fields; what was dropped is written down once."""
    draft = _train(read_examples(loans, skip_invalid=False), "marital", "age", "age").draft
    assert draft.training is not None
    assert draft.training.dropped_fields == ("age", "marital")
    assert not {"age", "marital"} & set(draft.inputs.features.fields)
    assert len(draft.inputs.features.columns) == 30 - 1 - 6


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        (["maritall"], "no field 'maritall' to drop. Did you mean marital?"),
        (["application_id"], "no field 'application_id'"),
        (["home=rent"], "no field 'home=rent'"),
        (choose_fields(CONTRACT, []), "every field is dropped"),
    ],
)
def test_fields_that_cannot_be_dropped(dropped: list[str], message: str) -> None:
    """A misspelt field would otherwise stay in the model without a word."""
    with pytest.raises(MisuseError, match=message):
        choose_fields(CONTRACT, dropped)


def _append(path: Path, *lines: str) -> Path:
    path.write_text(path.read_text() + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_refused_rows_stop_the_training(tmp_path: Path) -> None:
    """They are listed by line, with the rule and without the value; nothing is dropped in silence."""
    file = _append(
        write_loans(tmp_path / "loans.csv", rows=40),
        "1,7,1,48,17,2,1,3,55,150,0,0,950,1111",
        "2,7,s3cret,48,41,2,1,3,55,150,0,0,950,1111",
    )
    with pytest.raises(InputFileError) as raised:
        read_examples(file, skip_invalid=False)
    message = str(raised.value)
    assert "2 of 42 rows" in message
    assert "line 42: age: out of range" in message
    assert "line 43: home: unknown category" in message
    assert "--skip-invalid" in message

    told = message.replace(str(file), "")  # the folder's name may hold any number
    assert "s3cret" not in told
    assert "17" not in told


def test_refused_rows_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    """With --skip-invalid the others are trained on, and the bundle's figures say how many were not."""
    file = _append(write_loans(tmp_path / "loans.csv", rows=40), "1,7,1,48,17,2,1,3,55,150,0,0,950,1111")
    dataset = read_examples(file, skip_invalid=True).dataset
    assert (dataset.rows, dataset.rows_labelled, dataset.rows_refused) == (41, 40, 1)


def test_a_long_list_of_refused_rows_is_cut(tmp_path: Path) -> None:
    """Twenty are enough to see what is wrong."""
    file = _append(write_loans(tmp_path / "loans.csv", rows=40), *["1,7,1,48,17,2,1,3,55,150,0,0,950,1111"] * 30)
    with pytest.raises(InputFileError, match="and 10 more") as raised:
        read_examples(file, skip_invalid=False)
    assert len(str(raised.value).splitlines()) == 1 + 20 + 1 + 1


def test_outcomes_that_cannot_be_read_stop_the_training(tmp_path: Path) -> None:
    """They were left out as if their outcome were not known, and the model learned from what was left."""
    file = _append(write_loans(tmp_path / "loans.csv", rows=40), "s3cret,7,1,48,41,2,1,3,55,150,0,0,950,1111")
    with pytest.raises(
        InputFileError, match=r"1 of 41 rows are invalid:\n  line 42: status: must be one of ok"
    ) as raised:
        read_examples(file, skip_invalid=False)
    assert "s3cret" not in str(raised.value)
    assert read_examples(file, skip_invalid=True).dataset.rows_refused == 1


def test_a_file_without_outcomes_is_refused_with_what_it_has_instead(tmp_path: Path) -> None:
    """A column `Result` was ignored, and the message was about a dozen rows of each outcome."""
    file = write_loans(tmp_path / "loans.csv", rows=40)
    file.write_text(file.read_text().replace("Status", "Result").replace("status", "Result"))
    with pytest.raises(InputFileError, match=r'no row has an outcome.*; line 1: ignored columns: "Result"'):
        read_examples(file, skip_invalid=False)


def test_a_file_without_outcomes_is_told_of_the_option(tmp_path: Path) -> None:
    """Another lender's column has another name, which --target gives; if it was given, it is not suggested."""
    file = write_loans(tmp_path / "loans.csv", rows=40)
    file.write_text(file.read_text().replace("Status", "Result").replace("status", "Result"))
    with pytest.raises(InputFileError, match=r"scorer train --target names another column"):
        read_examples(file, skip_invalid=False)
    with pytest.raises(InputFileError, match=r"no row has an outcome; outcome: is neither") as raised:
        read_examples(file, skip_invalid=False, outcome=OutcomeColumn("outcome", {"bad": "default"}, others="ok"))
    assert "--target" not in str(raised.value)


def test_a_value_that_no_loan_has(tmp_path: Path) -> None:
    """With a mistyped value for a default all loans were repaid, so the question is whether it was meant."""
    file = write_loans(tmp_path / "loans.csv", rows=60)
    examples = read_examples(file, skip_invalid=False, outcome=OutcomeColumn("Status", {"rotten": "default"}, "ok"))
    with pytest.raises(InputFileError, match=r"0 of 60 labelled rows defaulted; does --target name the value"):
        _train(examples)


def test_a_fault_of_all_rows_is_the_contracts(tmp_path: Path) -> None:
    """To correct 20,000 rows, or to skip all of them, was no advice."""
    contract = make_contract("at", at={"type": "string", "format": "date-time"})
    path = tmp_path / "loans.csv"
    path.write_text("at,status\n" + "2018-01-01 00:00:00,ok\n" * 3)
    with pytest.raises(InputFileError, match="All rows have the same fault: change the field in the contract"):
        read_examples(path, skip_invalid=False, contract=contract)
    path.write_text("at,status\n" + "2018-01-01 00:00:00,ok\n" * 3 + "2018-01-01T00:00:00Z,ok\n")
    with pytest.raises(InputFileError, match="Correct them, or skip them with --skip-invalid"):
        read_examples(path, skip_invalid=False, contract=contract)


def test_rows_of_unknown_outcome_teach_nothing(tmp_path: Path) -> None:
    """They are neither paid nor defaulted: left out, and counted as rows."""
    plain = read_examples(write_loans(tmp_path / "loans.csv", rows=40), skip_invalid=False)
    file = _append(tmp_path / "loans.csv", "0,7,1,48,41,2,1,3,55,150,0,0,950,1111")
    found = read_examples(file, skip_invalid=False)
    assert fields_of(found.applications) == fields_of(plain.applications)
    assert (found.dataset.rows, found.dataset.rows_labelled) == (41, 40)
    assert found.dataset.sha256 != plain.dataset.sha256


@pytest.mark.parametrize("status", ["1", "2", "0"])
def test_one_outcome_alone_teaches_nothing(tmp_path: Path, status: str) -> None:
    """A file where all paid, all defaulted or nothing is known is refused before XGBoost sees it."""
    file = write_loans(tmp_path / "loans.csv", rows=60)
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *(status + row[1:] for row in rows)]) + "\n")
    with pytest.raises(InputFileError, match=r"a dozen of each|no row has an outcome"):
        _train(read_examples(file, skip_invalid=False))


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (Path.exists, "file not found"),
        (lambda path: path.write_text("Seniority\n1\n"), "header lacks"),
        (lambda path: path.write_text(""), "is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_misuse(tmp_path: Path, write: Callable[[Path], object], message: str) -> None:
    """The reader's own message, as an error of the command line."""
    write(tmp_path / "loans.csv")
    with pytest.raises(InputFileError, match=message):
        read_examples(tmp_path / "loans.csv", skip_invalid=False)


def test_without_the_training_libraries_one_message_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """scikit-learn and matplotlib are an extra; scoring does not need them."""
    monkeypatch.setattr("scorer.author.train.find_spec", lambda name: None if name == "sklearn" else object())
    require_libraries("numpy")
    with pytest.raises(MisuseError, match=r"this command needs scikit-learn.* pip install '\.\[train\]'"):
        require_libraries("sklearn", "matplotlib")


def test_the_figures_are_drawn(tmp_path: Path, trained: Trained) -> None:
    """Three pictures in a folder that need not be there."""
    folder = tmp_path / "new" / "figures"
    draw_figures(trained, folder)
    pictures = sorted(folder.iterdir())
    assert [p.name for p in pictures] == ["calibration.png", "probabilities.png", "roc.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 5_000 for p in pictures)


def test_a_folder_that_cannot_be_written_is_misuse(tmp_path: Path, trained: Trained) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "figures").touch()
    with pytest.raises(MisuseError, match=r"--plots .* cannot be written"):
        draw_figures(trained, tmp_path / "figures")


def test_a_pipe_is_read_once(tmp_path: Path, loans: Path) -> None:
    """The file used to be read a second time for its digest, which a pipe does not give: same rows, same digest."""
    pipe = tmp_path / "loans.csv"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(pipe.write_bytes, loans.read_bytes())
        piped = read_examples(pipe, skip_invalid=False)
        written.result()
    read = read_examples(loans, skip_invalid=False)
    assert piped.dataset == read.dataset
    assert read.dataset.sha256 == hashlib.sha256(loans.read_bytes()).hexdigest()


def test_refused_rows_say_what_to_change(tmp_path: Path, loans: Path) -> None:
    """A decimal comma is named as what it is, once, below the rows."""
    path = tmp_path / "loans.csv"
    header, row = loans.read_text().splitlines()[:2]
    cells = row.split(",")
    cells[-1] = '"1490,50"'
    path.write_text("\n".join([header, row, *[",".join(cells)] * 3]))
    with pytest.raises(InputFileError) as caught:
        read_examples(path, skip_invalid=False)
    assert str(caught.value).count("line 3: price has a comma, which may be a decimal or a thousands separator") == 1
    assert "3 of 4 rows" in str(caught.value)
