"""`scorer train`: a file of loans to a bundle in the store, and every mistake found before the work begins."""

import json
import re
from pathlib import Path

import pytest

from schemas.contracts import shipped_contract
from scorer.store.store import BundleStore
from tests.unit.bundle.making import write_loans
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.slow

NAMED = ("--name", "mine", "--version", "1.0.0")


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    """A file of 200 made-up loans."""
    return write_loans(tmp_path / "loans.csv", rows=200)


def test_the_result_is_a_bundle(tmp_path: Path, run: Run, loans: Path) -> None:
    """The bundle is in the store, opens, carries its labels, and the figures are printed."""
    ended = run(
        "train", loans, *NAMED, "--drop", "marital", "--drop", "age", "--label", "reason=a=b", "--label", "by=me"
    )
    assert ended.code == 0
    for words in (
        "200 rows read",
        "AUC 0.",
        "APPROVED",
        "0.9 to 1.0",
        "mine:1.0.0@",
        "scorer bundle lint mine:1.0.0",
        "scorer deploy mine:1.0.0 --slot challenger",
    ):
        assert words in ended.out
    store = BundleStore(tmp_path / "store")
    assert store.open("mine:latest").works()
    manifest = store.entries()[-1].manifest
    assert manifest is not None
    assert manifest.labels == {"reason": "a=b", "by": "me"}
    assert manifest.training is not None
    assert manifest.training.dropped_fields == ("age", "marital")


def test_categorical_splits(tmp_path: Path, run: Run, loans: Path) -> None:
    """--categories native gives a bundle with a column per category; nothing else is a way to encode them."""
    assert run("train", loans, *NAMED, "--categories", "native").code == 0
    opened = BundleStore(tmp_path / "store").open("mine:1.0.0")
    assert opened.works()
    assert set(opened.encoding.categories) == {"home", "marital", "records", "job"}
    assert run("score", loans, "--bundle", "mine:1.0.0", "--summary").code == 0
    assert run("train", loans, *NAMED, "--categories", "codes").code == 2


def test_figures_for_scripts(tmp_path: Path, run: Run, loans: Path) -> None:
    """--json prints the manifest, its digest and the folder, and nothing else."""
    report = json.loads(run("train", loans, *NAMED, "--json").out)
    assert Path(report["location"]) == tmp_path / "store" / "mine" / "1.0.0"
    assert 0.5 < report["manifest"]["metrics"]["holdout"]["auc"] < 1
    assert report["digest"] == BundleStore(tmp_path / "store").open("mine:1.0.0").reference.digest


def test_the_comparison_with_an_earlier_bundle(tmp_path: Path, run: Run, loans: Path) -> None:
    """AUC and labels on the same held-out rows: of the default bundle, then of the latest one with the same name.

    A model knows the rows that it was trained on: if that was the same file, what its training measured is printed.
    """
    first = run("train", loans, *NAMED)
    auc = json.loads(run("bundle", "show", "mine:1.0.0", "--json").out)["manifest"]["metrics"]["holdout"]["auc"]
    known = "(credit-risk:1.1.1 may have been trained on some of these rows)"
    assert re.search(rf"AUC on the held-out rows: credit-risk:1.1.1 0\.\d{{4}}, this bundle {auc:.4f} ", first.out)
    assert known in first.out
    assert "Labels of the held-out rows, by credit-risk:1.1.1 → by this bundle: APPROVED " in first.out
    second = run("train", loans, "--name", "mine", "--version", "1.0.1", "--rounds", "5")
    assert f"AUC on the held-out rows: mine:1.0.0 {auc:.4f}, this bundle 0." in second.out
    assert "may have been trained" not in second.out
    arguments = ("--name", "mine", "--version", "1.0.2", "--json")
    baseline = json.loads(run("train", write_loans(tmp_path / "new.csv", seed=6), *arguments).out)["baseline"]
    assert baseline["bundle"].startswith("mine:1.0.1@")
    assert 0.5 < baseline["auc"] < 1
    assert sum(baseline["decisions"].values()) == 60
    assert baseline["held_out"] is False


def test_the_next_steps(run: Run, loans: Path) -> None:
    """In the order of the documentation: review, compare, challenger, champion."""
    lines = [line for line in run("train", loans, *NAMED).out.splitlines() if line.startswith("Next: ")]
    assert lines == [
        "Next: scorer bundle lint mine:1.0.0",
        f"Next: scorer bundle diff credit-risk:1.1.1 mine:1.0.0 --on {loans}",
        'Next: scorer deploy mine:1.0.0 --slot challenger --reason "…"',
        'Next: scorer deploy mine:1.0.0 --reason "…"',
    ]


def test_another_contract_is_not_compared(tmp_path: Path, run: Run, loans: Path) -> None:
    """If the earlier bundle accepts all that the new one accepts, figures are printed; otherwise one sentence."""
    document = json.loads(shipped_contract().canonical)
    contract = tmp_path / "contract.schema.json"
    for maximum, is_compared in ((79, True), (81, False)):
        document["properties"]["seniority"]["maximum"] = maximum
        contract.write_text(json.dumps(document))
        own = ("--name", f"m-{maximum}", "--version", "1.0.0", "--contract", contract)
        ended = run("train", loans, *own)
        assert ("Not compared with credit-risk:1.1.1: its contract differs" in ended.out) == (not is_compared)
        assert ("bundle diff" in ended.out) == is_compared
    arguments = ("--name", "other", "--version", "1.0.0", "--contract", contract, "--json")
    assert json.loads(run("train", loans, *arguments).out)["baseline"] is None


def test_pictures(run: Run, loans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--plots has them drawn into that folder."""
    drawn: list[Path] = []
    monkeypatch.setattr("scorer.author.plots.draw_figures", lambda _, folder: drawn.append(folder))
    assert run("train", loans, *NAMED, "--plots", "figures").code == 0
    assert drawn == [Path("figures")]


def test_what_was_trained_scores(run: Run, loans: Path) -> None:
    """From data to decisions in two commands."""
    run("train", loans, *NAMED)
    ended = run("score", loans, "--bundle", "mine:1.0.0", "--summary")
    assert "200 decided by mine:1.0.0@" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--name", "credit-risk", "--version", "1.1.0"], 1, "credit-risk:1.1.0 already exists"),
        (["--name", "Mine", "--version", "1.0.0"], 2, "invalid bundle name 'Mine'"),
        (["--name", "mine", "--version", "latest"], 2, "invalid version 'latest'"),
        ([*NAMED, "--drop", "martial"], 2, "Did you mean marital?"),
        ([*NAMED, "--label", "reason"], 2, "--label reason: write KEY=VALUE"),
        ([*NAMED, "--label", "by=me", "--label", "by=you"], 2, "--label by: is given twice"),
        ([*NAMED, "--derive", "a=age", "--derive", "a = income"], 2, "--derive a: is given twice"),
        ([*NAMED, "--param", "eta=0.1", "--param", "eta=0.3"], 2, "--param eta: is given twice"),
        ([*NAMED, "--monotone", "income:1", "--monotone", "income:-1"], 2, "--monotone income: is given twice"),
        ([*NAMED, "--param", "eta=nan"], 2, "--param eta: nan is not a number that a model can be trained with"),
        ([*NAMED, "--param", "gamma=1e400"], 2, "--param gamma: 1e400 is not a number"),
        ([*NAMED, "--target", "Income=1"], 2, "--target Income: is a field of the contract credit-application:1.0.0"),
        (
            [*NAMED, *[word for n in range(65) for word in ("--label", f"{n}=x")]],
            2,
            "65 labels; a bundle can have at most 64",
        ),
        (["--name", "mine"], 2, "Missing option"),
    ],
)
def test_mistakes_are_found_before_the_work_begins(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    """One message each, without a traceback, and the data file has not even been opened."""

    def read_examples(*_: object, **__: object) -> None:
        pytest.fail("the file was read")

    monkeypatch.setattr("scorer.author.train.read_examples", read_examples)
    ended = run("train", "loans.csv", *arguments)
    assert ended.code == code
    assert message in ended.err


def test_without_the_extra_one_message_says_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only scores has no scikit-learn, and need not read a traceback to learn that training wants it."""
    monkeypatch.setattr("scorer.author.train.find_spec", lambda _: None)
    ended = run("train", "loans.csv", *NAMED)
    assert ended.code == 2
    assert "pip install '.[train]'" in ended.err


def test_invalid_rows_stop_it_and_leave_nothing(tmp_path: Path, run: Run, loans: Path) -> None:
    """The lines and reasons are listed, no bundle appears; with --skip-invalid the others are used."""
    with loans.open("a") as file:
        file.write("1,7,s3cret,48,41,2,1,3,55,150,0,0,950,1111\n")
    ended = run("train", loans, *NAMED)
    assert ended.code == 2
    assert "line 202: home: unknown category" in ended.err
    assert "s3cret" not in ended.err
    assert not (tmp_path / "store").exists()
    skipped = run("train", loans, *NAMED, "--skip-invalid")
    assert skipped.code == 0
    assert "201 rows read: 200 labelled, 0 without a known outcome, 1 invalid" in skipped.out


def test_reasons(tmp_path: Path, run: Run, loans: Path) -> None:
    """--reasons takes an edited draft; the command says how contributions are computed, and decisions name codes."""
    contract = tmp_path / "contract.schema.json"
    contract.write_bytes(shipped_contract().canonical)
    draft = tmp_path / "reasons.toml"
    assert run("contract", "reasons", contract, "--output", draft).code == 0
    draft.write_text(draft.read_text().replace('"INCOME"', '"R01"'))
    ended = run("train", loans, *NAMED, "--reasons", draft)
    assert ended.code == 0, ended.err
    assert "Reasons: 11 in the catalogue; contributions are looked up in tables of 0." in ended.out
    scored = run("score", loans, "--bundle", "mine:1.0.0")
    decisions = [json.loads(line) for line in scored.out.splitlines()]
    assert all(("reasons" in decision) == (decision["decision"] != "APPROVED") for decision in decisions)
    assert {code for decision in decisions for code in decision.get("reasons", ())} & {"R01"}
    plain = run("train", loans, "--name", "mine", "--version", "1.0.1")
    assert "Reasons:" not in plain.out


@pytest.mark.parametrize(
    ("catalogue", "message"),
    [
        ('code = "R"\nfields = ["debts"]', "the reason R is about debts, which is neither an input of the contract"),
        ('code = "R"\nfields = ["age"]', "the reason R is about age, which is a prohibited basis (age)"),
        ('code = "R"\nfields = []', "no reason in the catalogue is about a field that the model uses"),
        ('code = "R"', "catalogue.0.fields: is missing"),
    ],
)
def test_a_bad_catalogue_makes_no_bundle(tmp_path: Path, run: Run, loans: Path, catalogue: str, message: str) -> None:
    """One message, and nothing in the store."""
    path = tmp_path / "reasons.toml"
    path.write_text(f'[[catalogue]]\n{catalogue}\ntext.en = "A sentence."\n')
    ended = run("train", loans, *NAMED, "--reasons", path)
    assert ended.code != 0
    assert message in " ".join(ended.err.split())
    assert not (tmp_path / "store").exists()
