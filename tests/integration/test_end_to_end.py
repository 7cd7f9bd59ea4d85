"""The whole way, as a user goes it: real records through the commands, and everything on one machine at once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from scorer.local.broker import Broker
from tests import real_data
from tests.integration.forked import run_forked

ROWS = 3_564
WAIT_S = 90.0


def run(*command: str, environment: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """One of our commands, to its end."""
    environ = {**os.environ, "COLUMNS": "200", **(environment or {})}
    command = (sys.executable, "-m", *command)
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environ)


@pytest.fixture
def setup(broker: Broker, unique: Callable[[str], str]) -> dict[str, str]:
    """The environment of commands that work on topics of their own, which are there."""
    kinds = ("applications", "decisions", "dead_letters", "deployments")
    names = {f"SCORER_{kind.upper()}_TOPIC": unique(kind) for kind in kinds}
    environment = {"SCORER_BOOTSTRAP_SERVERS": broker.bootstrap_servers, "SCORER_GROUP_ID": unique("group"), **names}
    made = run_forked(("scorer", "topics", "ensure", "--partitions", "3"), os.environ | environment)
    assert made.code == 0, made.errors
    return environment


@contextmanager
def worker(environment: Mapping[str, str], *flags: str) -> "Iterator[subprocess.Popen[str]]":
    """A worker for as long as the block lasts; it ends well on SIGTERM."""
    command = [sys.executable, "-m", "scorer", "worker", "--http-port", "0", *flags]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, log


def read_decisions(environment: Mapping[str, str], count: int) -> list[bytes]:
    """The values of so many committed decisions, in the order of each partition; no more than that are there."""
    consumer = Consumer(
        {
            "bootstrap.servers": environment["SCORER_BOOTSTRAP_SERVERS"],
            "group.id": "reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
        }
    )
    topic = environment["SCORER_DECISIONS_TOPIC"]
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(3)])
    decisions: list[bytes] = []
    ends_at = time.monotonic() + WAIT_S
    while len(decisions) < count and time.monotonic() < ends_at:
        decisions += [message.value() or b"" for message in consumer.consume(1_000, 0.5) if message.error() is None]
    extra = consumer.consume(1, 1.0)
    consumer.close()
    assert (len(decisions), extra) == (count, [])
    return decisions


def without_source(decision: bytes) -> bytes:
    """A decision's bytes but for where its application came from, which its id spells out too."""
    shorter, count = re.subn(rb'"source":\{[^}]*\}|"decision_id":"[^"]*"', b"", decision)
    assert count == 2
    return shorter


@pytest.mark.broker
@real_data.needed
@pytest.mark.parametrize("bundle", ["credit-risk:1.0.0", "credit-risk:1.1.0"])
def test_real_records_decided_as_a_file_would_be(setup: dict[str, str], bundle: str, tmp_path: Path) -> None:
    """The real records published are decided once each, in the very bytes that `scorer score` gives, source aside."""
    published = run("producer", "publish", str(real_data.FILE), "--json", environment=setup)
    assert published.returncode == 0, published.stderr
    with worker(setup, "--bundle", bundle):
        decisions = read_decisions(setup, ROWS)
    scored = run(
        "scorer", "score", str(real_data.FILE), "--bundle", bundle, "--rejects", str(tmp_path / "rejects.jsonl")
    )
    assert scored.returncode == 0, scored.stderr
    expected = sorted(without_source(line) for line in scored.stdout.encode().splitlines())
    assert len(expected) == ROWS
    assert sorted(without_source(decision) for decision in decisions) == expected


@pytest.mark.broker
def test_try_against_a_worker(setup: dict[str, str]) -> None:
    """`producer try` shows the decision on what it published, and of a record that is refused the reason."""
    with worker(setup):
        good = run("producer", "try", "income=180", "amount=1000", "--json", "--timeout", "60s", environment=setup)
        wrong = run("producer", "try", "home=RENT", environment=setup)
    assert good.returncode == 0, good.stderr
    assert '"application_id":"try-' in good.stdout.replace(" ", "")
    assert any(f'"{outcome}"' in good.stdout for outcome in ("APPROVED", "MAYBE", "DECLINED"))
    assert wrong.returncode == 2
    assert "home" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.broker
def test_up_accounts_for_every_application(broker: Broker, setup: dict[str, str]) -> None:
    """`scorer up` publishes, decides and audits; every application has one outcome, bad ones a code, and it ends."""
    ended = run(
        "scorer", "up", "--rate", "500", "--for", "5s", "--invalid", "0.1", "--no-console", "--json", environment=setup
    )
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["published"] == summary["decided"] + summary["rejected"] > 2_000
    assert (summary["lost"], summary["duplicated"]) == (0, 0)
    assert summary["rejected"] == sum(summary["rejections"].values()) > 100
    assert 0 < summary["p50_s"] <= summary["p99_s"]
    assert summary["restarts"] == 0
    assert summary["broker"] == f"given at {broker.bootstrap_servers}"
    assert [w["state"] for w in summary["workers"]] == ["stopped", "stopped"]


@pytest.mark.broker
def test_up_with_a_file(setup: dict[str, str], tmp_path: Path) -> None:
    """`scorer up --data FILE` publishes the file as it is, faults included, and ends when all of it has outcomes."""
    rows = [json.dumps({"application_id": f"a-{i}", "home": "rent"}) for i in range(5)]
    file = tmp_path / "some.jsonl"
    file.write_text("\n".join([*rows, "{"]) + "\n")
    ended = run("scorer", "up", "--workers", "1", "--data", str(file), "--no-console", "--json", environment=setup)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary["rejections"] == {"missing_field": 5, "not_json": 1}
    assert (summary["lost"], summary["duplicated"], summary["decided"]) == (0, 0, 0)


@pytest.mark.broker
def test_up_reports_why_workers_exit(setup: dict[str, str]) -> None:
    """Where no worker can start, `scorer up` ends with the worker's own words and exit code 1."""
    ended = run("scorer", "up", "--bundle", "no-such:1.0.0", "--for", "5s", environment=setup)
    assert ended.returncode == 1
    assert "bundle no-such:1.0.0 not found" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.broker
def test_doctor_on_a_valid_setup(setup: dict[str, str]) -> None:
    """With topics and a broker in order the doctor finds no problem."""
    completed = run("scorer", "doctor", "--json", environment=setup)
    findings = json.loads(completed.stdout)
    assert completed.returncode == 0, findings
    assert {f["topic"] for f in findings} == {"settings", "bundle", "broker", "topics", "group", "permissions", "clock"}
    assert {f["state"] for f in findings} == {"ok"}


@pytest.mark.broker
def test_doctor_names_what_is_missing(setup: dict[str, str], unique: Callable[[str], str]) -> None:
    """A missing topic and a missing bundle are each named with what mends them, and the exit code is 1."""
    broken = {**setup, "SCORER_DECISIONS_TOPIC": unique("missing")}
    completed = run("scorer", "doctor", "--bundle", "no-such:1.0.0", environment=broken)
    assert completed.returncode == 1
    assert f"missing topic: {broken['SCORER_DECISIONS_TOPIC']}; `scorer topics ensure` creates it" in completed.stdout
    assert "bundle no-such:1.0.0 not found" in completed.stdout
    assert "2 problems" in completed.stdout


@pytest.mark.broker
def test_topics_check(setup: dict[str, str]) -> None:
    """Topics that `ensure` made are as `check` wants them; a second `ensure` has nothing to do."""
    assert run("scorer", "topics", "check", environment=setup).returncode == 0
    second = run("scorer", "topics", "ensure", "--json", environment=setup)
    assert json.loads(second.stdout) == {"created": []}


def test_commands_without_a_broker_report_it() -> None:
    """Where nothing listens, each command ends with one message and exit code 1, without a traceback."""
    nowhere = {**os.environ, "SCORER_BOOTSTRAP_SERVERS": "127.0.0.1:1", "COLUMNS": "200"}
    commands = (["topics", "check"], ["doctor"], ["worker", "--http-port", "0"])
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "scorer", *command], env=nowhere, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for command in commands
    ]
    for process in started:
        output = b"".join(process.communicate(timeout=WAIT_S)).decode()
        assert process.returncode == 1, output
        assert "127.0.0.1:1" in output
        assert "Traceback" not in output
