"""The code that the console gives to copy runs as it stands: what it publishes is decided, and what it reads is so."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from schemas.contracts import shipped_contract
from scorer.console.examples import EXAMPLES
from scorer.errors import LocalBrokerError
from scorer.local.broker import Broker
from scorer.local.toolchain import find_java, kafka_jars
from scorer.settings import load_settings
from tests.integration.worker_process import WAIT_S, Topics, wait_until, worker
from tests.tools import tool

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def topics(broker: Broker) -> Topics:
    """Topics of their own."""
    return Topics(broker.bootstrap_servers, 1)


def example(topics: Topics, title: str) -> str:
    """A piece of code as the page shows it here."""
    environment = {name: value for name, value in topics.environment().items() if name.startswith("SCORER_")}
    (match,) = [example for example in EXAMPLES if example.title == title]
    return match.text(load_settings(environment=environment).settings, shipped_contract())


def ran(*command: str, cwd: Path) -> str:
    """What a program prints that ends by itself."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=2 * WAIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def running(*command: str, log: Path) -> Iterator[None]:
    """A program that goes on until it is killed; what it prints goes to a file."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=log.parent, stdout=sink, stderr=sink)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_in_python(topics: Topics, tmp_path: Path) -> None:
    """One program publishes, a worker decides, the other program prints the decision."""
    before = topics.count(topics.applications)
    assert "on partition 0, offset " in ran(sys.executable, "-c", example(topics, "Python: publish"), cwd=tmp_path)
    assert topics.count(topics.applications) == before + 1
    log = tmp_path / "read.log"
    with (
        worker(topics, tmp_path / "w.log"),
        running(sys.executable, "-u", "-c", example(topics, "Python: read decisions"), log=log),
    ):
        wait_until(lambda: "a-1001 " in log.read_text(), "the decision is printed")


def test_in_java(topics: Topics, tmp_path: Path) -> None:
    """The same in Java, which compiles the files as they stand."""
    try:
        java = find_java()
        jars = kafka_jars(lambda _: None)
    except LocalBrokerError as fault:
        pytest.skip(f"needs Java and Kafka's jars: {fault}")
    if "jdk.compiler" not in ran(java.command, "--list-modules", cwd=tmp_path):
        pytest.skip("needs a Java that compiles")
    for title, name in (("Java: publish", "Publish.java"), ("Java: read decisions", "Read.java")):
        (tmp_path / name).write_text(example(topics, title), encoding="utf-8")
    command = (java.command, "-cp", f"{jars}/*")
    assert "on partition 0, offset " in ran(*command, "Publish.java", cwd=tmp_path)
    last = json.loads(list(topics.read(topics.applications))[-1].value() or b"")
    assert last["application_id"] == "a-1001"
    log = tmp_path / "read.log"
    with worker(topics, tmp_path / "w.log"), running(*command, "Read.java", log=log):
        wait_until(lambda: 'a-1001 {"decision_id"' in log.read_text(), "the decision is printed")


def test_in_a_shell_with_kcat(topics: Topics, tmp_path: Path) -> None:
    """Its two lines publish under the right key, and print the decisions that are there."""
    kcat = tool("kcat")
    publish, read = example(topics, "kcat").replace("kcat -", f"{kcat} -").split("# read")
    with worker(topics, tmp_path / "w.log"):
        ran("sh", "-c", publish, cwd=tmp_path)
        last = list(topics.read(topics.applications))[-1]
        assert last.key() == b"a-1001"
        assert json.loads(last.value() or b"")["application_id"] == "a-1001"
        count = topics.count(topics.applications)
        wait_until(lambda: topics.count(topics.decisions) == count, "the decision")
        assert '"application_id":"a-1001"' in ran("sh", "-c", read, cwd=tmp_path)
