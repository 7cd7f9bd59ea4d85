"""README.md does what it says: its Python runs, its commands exist, its examples are the contract's."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from typer.testing import CliRunner

from schemas.application import CreditApplication
from schemas.decision import Decision
from scorer.local.broker import Broker

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.broker
def test_the_python_runs(broker: Broker, unique: Callable[[str], str]) -> None:
    """The snippet for Python publishers publishes, against a real broker."""
    (code,) = blocks("python")
    topic = unique("applications")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    arguments = f'bootstrap_servers="{broker.bootstrap_servers}", applications_topic="{topic}"'
    code = code.replace('bootstrap_servers="localhost:9092"', arguments) + "\nprint(publisher.acknowledged)\n"
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr


def test_the_commands_exist() -> None:
    """Each command shown, but for make's and the shell's own, is one that there is, with flags that it has."""
    from producer.cli import app as producer
    from scorer.cli.root import app as scorer

    lines = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    shown = [shlex.split(line.removeprefix(".venv/bin/")) for line in lines if line.startswith(".venv/bin/")]
    assert len(shown) >= 10
    for name, *arguments in shown:
        app = {"scorer": scorer, "producer": producer}[name]
        words = [a for a in arguments if re.fullmatch("[a-z]+", a)][
            : 2 if arguments[0] in {"topics", "bundle", "replay"} else 1
        ]
        page = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200"})
        assert page.exit_code == 0, arguments
        for flag in (a for a in arguments if a.startswith("--")):
            assert flag in page.stdout, (arguments, flag)


def test_the_examples_are_the_contract() -> None:
    """The application shown is one, and the decision but for its shortened digest."""
    application, decision = (block.replace("…", "0" * 52) for block in blocks("json"))
    CreditApplication.model_validate_json(application)
    assert Decision.model_validate(json.loads(decision)).decision == "APPROVED"
