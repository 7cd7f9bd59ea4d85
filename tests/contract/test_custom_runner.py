"""The worked example of a custom runner: installed, built, verified, scored with, and missed where it is not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.runner_bundles import EXAMPLE
from tests.unit.bundle.making import write_loans


def scorer(*arguments: object, installed: Path | None, store: Path) -> "subprocess.CompletedProcess[str]":
    """Runs a command, with the example's package or without."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    environment |= {"SCORER_STORE": str(store), "PYTHONPATH": str(installed or "")}
    command = [sys.executable, "-m", "scorer", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, cwd=store.parent, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Path:
    """A store with the example's bundle."""
    folder = tmp_path_factory.mktemp("store") / "bundles"
    built = scorer("bundle", "build", EXAMPLE / "scorecard.toml", installed=installed, store=folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_it_scores(tmp_path: Path, store: Path, installed: Path) -> None:
    """A file of applications is decided by it, as by any bundle, and the points say what they are meant to."""
    loans = write_loans(tmp_path / "loans.csv", rows=100)
    ran = scorer("score", loans, "--bundle", "points:1.0.0", installed=installed, store=store)
    assert ran.returncode == 0, ran.stderr
    decisions = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(decisions) == 100
    in_trouble = [line.split(",")[6] == "2" for line in loans.read_text().splitlines()[1:]]
    means = [
        sum(d["probability_of_default"] for d, bad in zip(decisions, in_trouble, strict=True) if bad is wanted)
        / in_trouble.count(wanted)
        for wanted in (True, False)
    ]
    assert means[0] > means[1] + 0.2


def test_verify(store: Path, installed: Path) -> None:
    """All five checks, the golden examples among them, in a process that did not build it; its package is named."""
    ran = scorer("bundle", "verify", "points:1.0.0", "--json", installed=installed, store=store)
    assert json.loads(ran.stdout)["ok"], ran.stdout
    manifest = json.loads((store / "points" / "1.0.0" / "bundle.json").read_bytes())
    assert manifest["libraries"]["scorer-scorecard"] == "1.0.0"
    assert (manifest["runner"], manifest["runner_settings"]) == ("scorecard", {"base": -1.2})


def test_without_the_package(store: Path) -> None:
    """One message that names the runner and what to do; that the bundle is damaged it does not say."""
    ran = scorer("bundle", "verify", "points:1.0.0", installed=None, store=store)
    assert ran.returncode == 1
    assert "runner 'scorecard' not found (installed: xgboost, onnx). Install the package that provides it" in ran.stderr
    assert "mended" not in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("card", "settings", "message"),
    [
        ("{}", "", "is not a scorecard"),
        ('{"base": 0, "points": {"home=castle": 1}}', "", "points for missing columns: home=castle"),
        ('{"base": 0, "points": {}}', "ground = 1", "has only the setting base, not ground"),
    ],
)
def test_mistakes(tmp_path: Path, installed: Path, card: str, settings: str, message: str) -> None:
    """The runner's own messages come out, and nothing is stored."""
    (tmp_path / "card.json").write_text(card)
    (tmp_path / "card.toml").write_text(
        'name = "points"\nversion = "1.0.0"\nmodel = "card.json"\nrunner = "scorecard"\nfields = ["age"]\n'
        f"missing = 0\n[runner_settings]\n{settings}\n"
    )
    ran = scorer("bundle", "build", tmp_path / "card.toml", installed=installed, store=tmp_path / "bundles")
    assert ran.returncode == 1
    assert message in ran.stderr
    assert not (tmp_path / "bundles").exists()
