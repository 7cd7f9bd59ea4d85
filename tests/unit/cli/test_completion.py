"""Completion of references in the shell: the names that there are, and quickly."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.bundle.store import BundleStore
from tests.unit.bundle.making import named

SHIPPED = ["credit-risk:1.0.0", "credit-risk:1.1.0", "credit-risk:latest"]
Complete = Callable[..., list[str]]


@pytest.fixture
def complete(tmp_path: Path) -> Complete:
    """What a shell is told for a line, by the command as a process of its own."""
    script = """import sys
sys.argv[0] = "scorer"
from scorer.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)"""
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "_SCORER_COMPLETE": "complete_zsh"}

    def ask(line: str, **environment: str) -> list[str]:
        asked = subprocess.run(
            [sys.executable, "-c", script],
            env=home | environment | {"_TYPER_COMPLETE_ARGS": line},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        heavy = {"numpy", "xgboost", "fsspec", "confluent_kafka", "scorer.bundle.manifest"}
        assert heavy.isdisjoint(asked.stderr.split()), heavy.intersection(asked.stderr.split())
        words = asked.stdout.replace("\\\\:", ":").split('"')
        return [word for word in words if ":" in word and "'" not in word]

    return ask


def put(tmp_path: Path, place: Path) -> None:
    """A bundle with a tag into a store."""
    store = BundleStore(place)
    store.put(named(tmp_path / f"made-{place.name}", place.name, "1.0.0"))
    store.set_tag(store.entry(f"{place.name}:1.0.0"), "prod", "ana")


@pytest.mark.parametrize("command", ["show", "verify", "tag", "delete", "export"])
def test_every_command_that_takes_a_reference(complete: Complete, command: str) -> None:
    """It offers what is shipped, where there is no store yet, without loading what reading a bundle needs."""
    assert complete(f"scorer bundle {command} ") == SHIPPED


def test_where_the_store_is(tmp_path: Path, complete: Complete) -> None:
    """The flag goes over the environment, that over the file, that over the default, as for the command itself."""
    default = tmp_path / ".local" / "share" / "streaming-credit-scorer" / "bundles"
    for place in (default, tmp_path / "in-file", tmp_path / "in-environment", tmp_path / "in-flag"):
        put(tmp_path, place)
    assert complete("scorer bundle show bundles:") == ["bundles:1.0.0", "bundles:latest", "bundles:prod"]
    (tmp_path / "scorer.toml").write_text(f'store = "{tmp_path / "in-file"}"\n')
    assert complete("scorer bundle show in") == ["in-file:1.0.0", "in-file:latest", "in-file:prod"]
    there = {"SCORER_STORE": str(tmp_path / "in-environment")}
    assert complete("scorer bundle show in", **there)[0] == "in-environment:1.0.0"
    assert complete(f"scorer bundle show --store {tmp_path / 'in-flag'} in", **there)[0] == "in-flag:1.0.0"


@pytest.mark.parametrize("store", ["s3://bucket/bundles", "nowhere"])
def test_a_store_that_is_not_asked(complete: Complete, store: str) -> None:
    """A URL would take too long; a folder that is not there has nothing."""
    assert complete("scorer bundle show ", SCORER_STORE=store) == SHIPPED


def test_a_settings_file_that_cannot_be_read(tmp_path: Path, complete: Complete) -> None:
    """The shell is no place for its fault: the command says it."""
    (tmp_path / "scorer.toml").write_text("store = [")
    assert complete("scorer bundle show ") == SHIPPED
