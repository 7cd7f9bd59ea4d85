"""`scorer bundle lint | diff | containerize | import-bentoml`: what they print, and how they end."""

import json
import os
import pickle
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import xgboost

from scorer.bundle.load import read_manifest
from scorer.core.policy import LABELS
from scorer.store.store import BundleStore
from tests.unit.author.made_boosters import raw, train
from tests.unit.bundle.making import (
    PLAIN,
    WITH_MARITAL,
    bentomodel_files,
    copy_bundle,
    make_vectorizer,
    write_bentomodel,
    write_loans,
)
from tests.unit.cli.conftest import Run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("opens_here")]


def test_lint_of_the_course_recipe(run: Run) -> None:
    """Marital status is an error: exit 1, first in the list, with what mends it."""
    ended = run("bundle", "lint", "credit-risk:1.0.0")
    assert ended.code == 1
    first, cure, *_ = ended.out.splitlines()
    assert first.startswith("error    features: marital: the model uses marital")
    assert cure.strip() == "→ train without it: scorer train … --drop marital"
    assert ended.out.splitlines()[-1].startswith("errors: 1, ")


def test_lint_of_the_default(run: Run) -> None:
    """Age is a warning: exit 0, and 1 with --strict."""
    ended = run("bundle", "lint")
    assert (ended.code, "the model uses age" in ended.out) == (0, True)
    assert run("bundle", "lint", "--strict").code == 1


def test_lint_of_the_default_catalogue(run: Run) -> None:
    """Nothing is to be said of its reasons and sentences."""
    loans = Path(__file__).parents[3] / "examples" / "applications.csv"
    report = json.loads(run("bundle", "lint", "--on", str(loans), "--json").out)
    rules = {finding["rule"] for finding in report["findings"]}
    assert rules & {"reasons", "wording", "basis", "counterfactual"} == set()


def test_lint_for_scripts(run: Run) -> None:
    """The same as JSON, with the same exit codes."""
    ended = run("bundle", "lint", "credit-risk:1.0.0", "--json")
    report = json.loads(ended.out)
    assert (ended.code, report["ok"]) == (1, False)
    assert set(report["findings"][0]) == {"severity", "rule", "where", "what", "fix"}
    assert json.loads(run("bundle", "lint", "--json").out)["ok"]


def test_lint_on_applications(run: Run, tmp_path: Path) -> None:
    """The file is an input error if it is missing; a bundle without a catalogue is not tested, and a note says so."""
    missing = run("bundle", "lint", "--on", str(tmp_path / "none.csv"))
    assert (missing.code, "none.csv" in missing.err) == (2, True)
    ended = run("bundle", "lint", "credit-risk:1.1.0", "--on", str(write_loans(tmp_path / "loans.csv")))
    assert (ended.code, "the bundle has no catalogue of reasons" in ended.out) == (0, True)


def test_diff_of_the_shipped_ones(run: Run) -> None:
    """Decisions come first, on the golden examples; then what differs in words. It used to begin with JSON paths."""
    ended = run("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert re.fullmatch(r"On the 64 golden examples of credit-risk:1\.1\.0@\w{12}, which are synthetic:", lines[0])
    assert re.fullmatch(r"\d+ of 64 decisions change \(.+%\): \d+ to a milder label, \d+ to a stricter one\.", lines[1])
    assert lines[2].startswith("Mean change of PD: ")
    facts = [line.split() for line in lines]
    assert ["≠", "AUC", "0.8461", "0.8449"] in facts
    assert ["≠", "fields", "13,", "only", "here:", "marital", "12"] in facts
    assert not any(line.startswith(("only A", "differs")) for line in lines)
    assert lines[-1].startswith("≠ differs. Entries in which the manifests differ: ")
    same = run("bundle", "diff", PLAIN, copy_bundle(Path("copy"))).out
    assert "are identical" in same
    assert "≠" not in same


def test_diff_lists_every_entry_on_request(run: Run) -> None:
    """Columns, figures and files by their paths in the manifest."""
    lines = run("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--all").out.splitlines()
    assert "only A   features.columns.marital=single" in lines
    assert "differs  metrics.holdout.auc: 0.846116 → 0.844923" in lines
    assert "differs  version: 1.0.0 → 1.1.0" in lines


def test_diff_as_a_page(tmp_path: Path, run: Run) -> None:
    """One file that loads nothing, with what the terminal shows."""
    ended = run("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--html", "diff.html")
    assert (ended.code, ended.err) == (0, "Wrote diff.html\n")
    page = (tmp_path / "diff.html").read_text(encoding="utf-8")
    assert ended.out.splitlines()[2] in page
    assert "<h1>credit-risk:1.1.0 instead of credit-risk:1.0.0</h1>" in page
    assert not re.search(r"https?://|src=|<script|<link", page)
    assert run("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--html", "no/diff.html").code == 2


def test_diff_of_a_bundle_that_cannot_be_opened(run: Run) -> None:
    """What the manifests say is shown all the same; decisions on a file are what was asked for, and fail."""
    copy = copy_bundle(Path("copy"))
    (copy / "model.ubj").write_bytes(b"no model")
    ended = run("bundle", "diff", PLAIN, copy)
    assert ended.code == 0
    assert ended.out.startswith("Decisions are not compared, because a bundle cannot be opened: ")
    assert "AUC" in ended.out
    write_loans(Path("loans.csv"), rows=3)
    assert run("bundle", "diff", PLAIN, copy, "--on", "loans.csv").code == 1


def test_diff_on_applications(tmp_path: Path, run: Run) -> None:
    """The counts equal those of two runs of `scorer score`; nothing of an application is shown."""
    file = write_loans(tmp_path / "loans.csv", rows=300)
    decisions = []
    for version in ("1.0.0", "1.1.0"):
        lines = run("score", file, "--bundle", f"credit-risk:{version}").out.splitlines()
        decisions.append([json.loads(line) for line in lines])
    pairs = list(zip(*decisions, strict=True))
    flipped = [(a, b) for a, b in pairs if a["decision"] != b["decision"]]
    shift = [b["probability_of_default"] - a["probability_of_default"] for a, b in pairs]
    arguments = ("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--on", file)
    report = json.loads(run(*arguments, "--json").out)["decisions"]
    assert (report["rows"], report["compared"], report["flipped"]) == (300, 300, len(flipped))
    assert report["flips"]["MAYBE"] == {
        name: sum((a["decision"], b["decision"]) == ("MAYBE", name) for a, b in pairs) for name in LABELS
    }
    assert len(flipped) > 0
    assert report["pd_shift"]["mean"] == pytest.approx(sum(shift) / 300)
    assert report["pd_shift"]["max_distance"] == max(map(abs, shift))
    assert "flipped_applications" not in report
    out = run(*arguments).out
    assert f"{len(flipped)} of 300 decisions change" in out
    assert "loans.csv" not in out


def test_diff_names_applications_only_on_request(tmp_path: Path, run: Run) -> None:
    """By line and id, with both decisions and nothing else of them."""
    file = write_loans(tmp_path / "loans.csv", rows=300)
    arguments = ("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--on", file, "--ids")
    report = json.loads(run(*arguments, "--json").out)["decisions"]
    assert len(report["flipped_applications"]) == report["flipped"] > 0
    first = report["flipped_applications"][0]
    assert set(first) == {"offset", "application_id", "before", "after"}
    assert (
        f"line {first['offset']}: {first['application_id']} {first['before']} → {first['after']}" in run(*arguments).out
    )


def test_diff_leaves_out_what_is_no_application(tmp_path: Path, run: Run) -> None:
    """Counted, not shown: the field's value stands nowhere."""
    (tmp_path / "in.jsonl").write_text('{"application_id":"a","home":"Secret4711"}\n')
    ended = run("bundle", "diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--on", "in.jsonl")
    assert ended.code == 0
    assert "Skipped: 1 of 1 rows" in ended.out
    assert "Secret4711" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("lint", "credit-rsik:1.1.0"), 1, "Did you mean credit-risk:1.1.0"),
        (("diff", "credit-risk:1.0.0"), 2, "Missing argument 'B'"),
        (("diff", "credit-risk:1.0.0", "nothing:1.0.0"), 1, "bundle nothing:1.0.0 not found"),
        (("diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--ids"), 2, "give a file of them with --on"),
        (("diff", "credit-risk:1.0.0", "credit-risk:1.1.0", "--on", "x.csv"), 2, "file not found"),
        (("containerize", "credit-risk:1.1.0"), 2, "Missing option '--output'"),
        (("containerize", "credit-risk:1.1.0", "--output", "."), 2, "already exists"),
        (("containerize", "nothing:1.0.0", "--output", "x"), 1, "bundle nothing:1.0.0 not found"),
        (("containerize", "credit-risk:1.1.0", "--output", "x", "--base", "a b"), 2, "not a valid image name"),
        (("import-bentoml", "x", "--name", "Mine", "--version", "1.0.0"), 2, "invalid bundle name"),
        (("import-bentoml", "x", "--name", "mine", "--version", "1.0.0"), 2, "is the path right"),
        (("import-bentoml", "x", "--name", "credit-risk", "--version", "1.1.0"), 1, "already exists"),
        (("import-bentoml", "x", "--name", "m", "--version", "1.0.0", "--maybe-above", "0.6"), 2, "must not be"),
        (("import-bentoml", "x", "--name", "m", "--version", "1.0.0", "--declined-above", "2"), 2, "declined_above"),
        (("import-bentoml", "x", "--name", "m", "--version", "1.0.0", "--missing", "inf"), 2, "a 32-bit number"),
        (("import-bentoml", "x", "--name", "m", "--version", "1.0.0", "--missing", "1e300"), 2, "a 32-bit number"),
    ],
)  # fmt: skip
def test_misuse_is_one_message(tmp_path: Path, run: Run, arguments: tuple[str, ...], code: int, message: str) -> None:
    """What is wrong and how to mend it; nothing is written."""
    ended = run("bundle", *arguments)
    assert (ended.code, message in " ".join(ended.err.split())) == (code, True), ended.err
    assert list(tmp_path.iterdir()) == []


def test_containerize_says_what_to_do_next(run: Run, tmp_path: Path) -> None:
    """The context is there, and the command that builds it."""
    ended = run("bundle", "containerize", "credit-risk:latest", "--output", "image")
    assert (ended.code, (tmp_path / "image" / "Dockerfile").is_file()) == (0, True)
    assert "Next: docker build --tag credit-risk:1.1.1 image" in ended.out


def test_containerize_where_no_engine_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--build fails and says so; the context is whole all the same."""
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = run("bundle", "containerize", "credit-risk:1.1.0", "--output", "image", "--build")
    assert ended.code == 1
    assert "no container engine is available" in ended.err
    assert (tmp_path / "image" / "Dockerfile").is_file()


def test_a_model_from_bentoml_is_in_the_store(tmp_path: Path, run: Run) -> None:
    """Imported, listed, shown, verified, and it decides as the bundle that it once was."""
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files(WITH_MARITAL))
    ended = run("bundle", "import-bentoml", path, "--name", "from-bento", "--version", "1.0.0")
    assert ended.code == 0
    assert "from-bento:1.0.0@" in ended.out
    assert "No metrics:" in run("bundle", "show", "from-bento:1.0.0").out
    assert "from-bento:1.0.0" in run("bundle", "list").out
    assert run("bundle", "verify", "from-bento:1.0.0").code == 0
    file = write_loans(tmp_path / "loans.csv", rows=50)
    difference = run("bundle", "diff", "credit-risk:1.0.0", "from-bento:1.0.0", "--on", file, "--json")
    assert json.loads(difference.out)["decisions"]["pd_shift"]["max_distance"] == 0
    assert "no metrics" in run("bundle", "lint", "from-bento:1.0.0").out


def test_the_rounds_of_an_import_are_shown(tmp_path: Path, run: Run) -> None:
    """Of a booster with early stopping they are asked for, told by an option, and printed."""
    booster = xgboost.Booster(model_file=PLAIN / "model.ubj")
    booster.set_attr(best_iteration="99")
    files = bentomodel_files() | {"saved_model.ubj": bytes(booster.save_raw("ubj"))}
    path = write_bentomodel(tmp_path / "x.bentomodel", files)
    command = ("bundle", "import-bentoml", path, "--name", "mine", "--version", "1.0.0")
    ended = run(*command)
    assert ended.code == 1
    assert "Which rounds should the bundle use? Set rounds" in ended.err
    assert run(*command, "--rounds", "some").code == 2
    ended = run(*command, "--rounds", "all")
    assert ended.code == 0, ended.err
    assert "Rounds: all 175, though early stopping found the first 100 to be the best" in ended.out


def test_the_policy_and_missing_numbers_of_an_import_are_shown(tmp_path: Path, run: Run) -> None:
    """They are not in the export, so they come from the options."""
    few_splits = {"saved_model.ubj": raw(train(3))}
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | few_splits)
    options = ("--maybe-above", "0.2", "--declined-above", "0.45", "--missing", "nan", "--json")
    ended = run("bundle", "import-bentoml", path, "--name", "mine", "--version", "1.0.0", *options)
    manifest = json.loads(ended.out)["manifest"]
    assert manifest["policy"] == {"maybe_above": 0.2, "declined_above": 0.45}
    assert manifest["features"]["missing"] is None


class _Runs:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._path),)


def test_a_model_whose_pickle_calls_something_is_rejected(tmp_path: Path, run: Run) -> None:
    """Exit 1, one message that names what it would have called, nothing run, nothing in the store."""
    objects = pickle.dumps({"dv": make_vectorizer(["age"]), "x": _Runs(tmp_path / "run")})
    path = write_bentomodel(tmp_path / "x.bentomodel", bentomodel_files() | {"custom_objects.pkl": objects})
    ended = run("bundle", "import-bentoml", path, "--name", "mine", "--version", "1.0.0")
    assert ended.code == 1
    assert "posix.mkdir" in ended.err
    assert [file.name for file in tmp_path.iterdir()] == ["x.bentomodel"]
    assert all(entry.shipped for entry in BundleStore(tmp_path / "store").entries())


@pytest.mark.parametrize("page", ["review", "image", "from-bentoml"])
def test_the_docs_show_existing_commands(page: str, run: Run) -> None:
    """Each command of ours that a page shows has a help page, with the flags that are shown."""
    text = (Path(__file__).parents[3] / "docs" / f"{page}.md").read_text(encoding="utf-8")
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)).splitlines()
    shown = [shlex.split(line)[1:] for line in lines if line.startswith("scorer ")]
    assert shown
    for arguments in shown:
        helped = run(*arguments[: 2 if arguments[0] == "bundle" else 1], "--help")
        assert helped.code == 0, arguments
        assert all(flag in helped.out for flag in arguments if flag.startswith("--")), arguments


def test_the_reference_in_a_context_is_the_bundles(run: Run) -> None:
    """With the digest: whatever else may come to be called so, the image has this one."""
    run("bundle", "containerize", "credit-risk:1.0.0", "--output", "image")
    assert str(read_manifest(WITH_MARITAL).reference) in Path("image/Dockerfile").read_text()
