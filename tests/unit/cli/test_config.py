"""`scorer config`, misuse of the command line, and the words of `--help`."""

import json
import os
from pathlib import Path

import pytest

from tests.integration.forked import Ended, run_forked
from tests.unit.cli.conftest import Run
from tests.unit.schemas.test_service_links import links

pytestmark = pytest.mark.slow

COMMANDS = (
    (), ("up",), ("worker",), ("topics", "ensure"), ("topics", "check"), ("train",), ("bundle", "list"),
    ("bundle", "show"), ("bundle", "verify"), ("score",), ("config",), ("doctor",), ("broker",),
)  # fmt: skip


def scorer(*arguments: str, folder: Path | None = None, **environment: str) -> Ended:
    """The command, to its end."""
    return run_forked(("scorer", *arguments), {**os.environ, "COLUMNS": "200", **environment}, folder)


def test_config_shows_values_and_their_sources(tmp_path: Path) -> None:
    """Flags go over the environment, that over scorer.toml; the origin stands beside each, and a password does not."""
    (tmp_path / "scorer.toml").write_text(
        'group_id = "file"\nlinger_ms = 5\n[kafka]\nsecurity.protocol = "SASL_SSL"\nsasl.password = "marker"\n'
    )
    shown = scorer("config", "--json", "--set", "linger_ms=7", folder=tmp_path, SCORER_GROUP_ID="environment")
    values = json.loads(shown.out)
    assert values["group_id"] == {"value": "environment", "from": "SCORER_GROUP_ID"}
    assert values["linger_ms"] == {"value": "7", "from": "flag"}
    assert values["kafka.sasl.password"]["from"] == "scorer.toml"
    assert values["delivery"] == {"value": "exactly-once", "from": "default"}
    assert "marker" not in shown.out + scorer("config", folder=tmp_path).out


def test_config_shows_a_value_in_brackets(tmp_path: Path) -> None:
    """An address of IPv6 was taken for markup, and only its port was shown."""
    shown = scorer("config", "-b", "[fe80::1]:9092", folder=tmp_path, SCORER_STORE=str(tmp_path / "[bold]")).out
    assert "[fe80::1]:9092" in shown
    assert str(tmp_path / "[bold]") in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("config", "--set", "nonsense"), "write NAME=VALUE"),
        (("config", "--set", "no_such=1"), "no_such (from flag): unknown setting"),
        (("config", "--config", "no-such.toml"), "no-such.toml: the settings file cannot be read"),
        (("worker", "--delivery", "twice"), "'twice' is not one of 'exactly-once', 'at-least-once'"),
        (("up", "--for", "soon"), "--for soon: is not a duration above zero"),
        (("up", "--for", "0s"), "--for 0s: is not a duration above zero"),
        (("up", "--for", "9" * 400), "9: is not a duration above zero and up to ten years"),
        (("up", "--data", "no-such.csv"), "no-such.csv: file not found"),
        (("broker", "rabbit"), "'rabbit' is not one of 'auto', 'docker', 'java', 'mock'"),
        (("no-such-command",), "No such command"),
    ],
)
def test_misuse(arguments: tuple[str, ...], words: str) -> None:
    """A wrong flag, file or setting is one message on stderr that says what to write, and exit code 2."""
    ended = scorer(*arguments)
    assert ended.code == 2
    assert words in " ".join(ended.errors.split())
    assert "Traceback" not in ended.errors


def test_every_command_has_a_help_page() -> None:
    """`--help` of each command says what it does; the first line is a sentence."""
    from typer.testing import CliRunner

    from scorer.cli.root import app

    for command in COMMANDS:
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0, command
        assert len(shown.stdout.split()) > 20, command


def test_variables_of_kubernetes_are_named_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are ignored in one line on standard error that says whose they are; scripts read the same as ever."""
    for variable, value in links("SCORER").items():
        monkeypatch.setenv(variable, value)
    ended = run("config", "--json")
    assert ended.code == 0
    assert {setting["from"] for setting in json.loads(ended.out).values()} == {"default", "SCORER_STORE"}
    assert ended.err.startswith("scorer: ignored SCORER_PORT, SCORER_PORT_9464_TCP, ")
    assert "Kubernetes sets them for a Service" in ended.err
    assert ended.err.count("\n") == 1


def test_the_worker_logs_variables_of_kubernetes(tmp_path: Path) -> None:
    """A worker says it in its log, before anything else."""
    ended = scorer("worker", "--bundle", "nowhere:1.0.0", folder=tmp_path, **links("SCORER"))
    line, failed = [json.loads(text) for text in ended.errors.splitlines()]
    assert (line["event"], line["variables"]) == ("service_links_ignored", sorted(links("SCORER")))
    assert (ended.code, failed["event"]) == (1, "process_failed")


def test_config_says_which_file_was_looked_for(run: Run, tmp_path: Path) -> None:
    """Without a settings file the origin of every value is the default, and nothing said where a file would be."""
    first = run("config").out.splitlines()[0]
    assert first == f"settings file: {tmp_path / 'scorer.toml'} (not found, so no setting is from a file)"
    (tmp_path / "scorer.toml").write_text("linger_ms = 5\n")
    assert run("config").out.splitlines()[0] == f"settings file: {tmp_path / 'scorer.toml'}"
    (tmp_path / "other.toml").write_text("linger_ms = 6\n")
    assert run("config", "--config", "other.toml").out.splitlines()[0] == f"settings file: {tmp_path / 'other.toml'}"
