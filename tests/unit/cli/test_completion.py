"""Completion of references in the shell: the names that there are, and quickly."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.store.store import BundleStore
from tests.unit.bundle.making import named
from tests.unit.cli.conftest import Run

pytestmark = pytest.mark.slow

SHIPPED = ["credit-risk:1.0.0", "credit-risk:1.1.0", "credit-risk:1.1.1", "credit-risk:latest"]
Complete = Callable[..., list[str]]


def words_in(output: str) -> list[str]:
    """The references in what zsh is told."""
    return [word for word in output.replace("\\\\:", ":").split('"') if ":" in word and "'" not in word]


@pytest.fixture
def complete(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Complete:
    """What a shell is offered for a line."""
    monkeypatch.delenv("SCORER_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("_SCORER_COMPLETE", "complete_zsh")

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        return words_in(run().out)

    return ask


def put(tmp_path: Path, folder: Path) -> None:
    """A bundle with a tag into a store."""
    store = BundleStore(folder)
    store.put(named(tmp_path / f"made-{folder.name}", folder.name, "1.0.0"))
    store.notes.set_tag(store.entry(f"{folder.name}:1.0.0"), "prod", "ana")


@pytest.mark.parametrize("command", ["bundle show", "bundle tag", "deploy", "rollback --to", "score --bundle"])
def test_every_command_that_takes_a_reference(complete: Complete, command: str) -> None:
    """It offers what is shipped, where there is no store yet."""
    assert complete(f"scorer {command} ") == SHIPPED


def test_where_the_store_is(tmp_path: Path, complete: Complete, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag goes over the environment, that over the file, that over the default, as for the command itself."""
    default = tmp_path / "data" / "streaming-credit-scorer" / "bundles"
    for folder in (default, tmp_path / "in-file", tmp_path / "in-environment", tmp_path / "in-flag"):
        put(tmp_path, folder)
    assert complete("scorer bundle show bundles:") == ["bundles:1.0.0", "bundles:latest", "bundles:prod"]
    (tmp_path / "scorer.toml").write_text(f'store = "{tmp_path / "in-file"}"\n')
    assert complete("scorer bundle show in") == ["in-file:1.0.0", "in-file:latest", "in-file:prod"]
    monkeypatch.setenv("SCORER_STORE", str(tmp_path / "in-environment"))
    assert complete("scorer bundle show in")[0] == "in-environment:1.0.0"
    assert complete(f"scorer bundle show --store {tmp_path / 'in-flag'} in")[0] == "in-flag:1.0.0"


@pytest.mark.parametrize("store", ["s3://bucket/bundles", "nowhere"])
def test_a_store_that_is_not_asked(complete: Complete, monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """A URL would take too long; a folder that is not there has nothing."""
    monkeypatch.setenv("SCORER_STORE", store)
    assert complete("scorer bundle show ") == SHIPPED


def test_settings_that_are_wrong(tmp_path: Path, complete: Complete) -> None:
    """The shell is no place for their fault: the command says it."""
    (tmp_path / "scorer.toml").write_text("store = [")
    assert complete("scorer bundle show ") == SHIPPED


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    """At each press of a key a process starts: it loads neither models, nor matrices, nor Kafka, nor manifests."""
    script = """import sys
sys.argv[0] = "scorer"
from scorer.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)"""
    environment = {"_SCORER_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "scorer bundle show "}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert words_in(done.stdout) == SHIPPED
    heavy = {"numpy", "xgboost", "fsspec", "confluent_kafka", "scorer.bundle.manifest"}
    assert heavy.isdisjoint(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "choices"),
    [
        ("worker --delivery ", ["exactly-once", "at-least-once"]),
        ("up --broker ", ["auto", "given", "docker", "java", "mock"]),
        ("dlq list --code ", ["not_json", "too_large", "model_error"]),
        ("score --output ", ["jsonl", "csv"]),
    ],
)
def test_choices_are_completed(run: Run, monkeypatch: pytest.MonkeyPatch, line: str, choices: list[str]) -> None:
    """Options with a few values once took any text, and offered none."""
    monkeypatch.setenv("_SCORER_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"scorer {line}")
    offered = run().out
    assert [choice for choice in choices if f'"{choice}"' not in offered] == []
