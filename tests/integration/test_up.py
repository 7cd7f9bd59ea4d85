"""`scorer up` beside other runs, and with workers that are killed, on a real broker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from producer.generator import generate_applications
from scorer.local.broker import Broker
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.unit.bundle.contracts import car_loan_bundle

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the workers' processes in /proc"),
]


class Run:
    """One `scorer up` in the background, without a terminal."""

    def __init__(self, environment: Mapping[str, str], folder: Path, *options: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True)
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scorer", "up", "--rate", "100", "--no-console", "--json", *options],
                env={**environment, "COLUMNS": "200", "TMPDIR": str(self._temporary)},
                stdout=out,
                stderr=err,
            )

    def log(self) -> str:
        """What it has said on stderr."""
        return self.err.read_text(encoding="utf-8")

    def wait(self) -> int:
        """Its exit code."""
        return self.process.wait(3 * WAIT_S)

    def summary(self) -> dict[str, object]:
        """Its last word."""
        assert self.process.poll() is not None
        report: dict[str, object] = json.loads(self.out.read_text(encoding="utf-8").splitlines()[-1])
        return report

    def wait_for_load(self) -> None:
        """Waits until applications flow."""
        wait_until(lambda: self._still_runs() and "published=" in self.log(), "the first line of figures")

    def workers(self) -> list[int]:
        """The process ids of its workers."""
        mark = f"SCORER_INSTANCE_ID=up-{socket.gethostname()}-{self.process.pid}-".encode()
        workers = []
        for process in Path("/proc").iterdir():
            try:
                if mark in (process / "environ").read_bytes():
                    command = (process / "cmdline").read_bytes()
                    if b"worker" in command and b"guardian.py" not in command:
                        workers.append(int(process.name))
            except (OSError, ValueError):
                continue
        return workers

    def left_behind(self) -> list[str]:
        """Its folders that are still there."""
        return [entry.name for entry in self._temporary.iterdir()]

    def _still_runs(self) -> bool:
        assert self.process.poll() is None, self.log()
        return True


@contextmanager
def up(environment: Mapping[str, str], folder: Path, *options: str) -> Iterator[Run]:
    """A run that is gone at the end, whatever happens."""
    started = Run(environment, folder, *options)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


@contextmanager
def somebody_elses_load(topics: Topics) -> Iterator[None]:
    """Applications that another publisher sends to the same topic, until the block ends."""
    stop = Event()

    def publish() -> None:
        producer = Producer({"bootstrap.servers": topics.servers, "linger.ms": 5})
        for number, record in enumerate(generate_applications(seed=7, prefix="other", invalid_share=0.1)):
            producer.produce(topics.applications, value=record.value, key=record.key)
            if number % 10 == 0:
                producer.poll(0)
                time.sleep(0.05)
            if stop.is_set():
                break
        producer.flush(WAIT_S)

    thread = Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """Topics of their own, six partitions each."""
    return Topics(broker.bootstrap_servers, 6)


def assert_every_application_has_its_result(summary: Mapping[str, object], published: int) -> None:
    """So many were published by this run, and each has one result."""
    assert summary["published"] == published
    assert (summary["lost"], summary["duplicated"]) == (0, 0)
    assert summary["decided"] + summary["rejected"] == published  # type: ignore[operator]


def test_a_second_run_is_rejected_and_the_first_continues(topics: Topics, tmp_path: Path) -> None:
    """A second run once took the first one's instance ids: the first one's workers were fenced, and both failed.

    It is refused now, with the group, the broker, how many workers and what to do; and what it says works: with a group
    of its own it runs beside the first one.
    """
    environment = topics.environment()
    with up(environment, tmp_path / "first", "--for", "25s", "--rate", "20") as first:
        first.wait_for_load()
        with up(environment, tmp_path / "second", "--for", "2s") as second:
            assert second.wait() == 2
            refusal = second.log()
        assert f"group group-{topics.mark} at {topics.servers} already has 2 live workers (up-" in refusal
        assert "scorer up --group-id NAME" in refusal
        assert "scorer up --broker java" in refusal
        assert f"using the broker at {topics.servers} from SCORER_BOOTSTRAP_SERVERS" in refusal
        same_topics = {**environment, "SCORER_GROUP_ID": f"other-{topics.mark}"}
        with up(same_topics, tmp_path / "third", "--for", "2s") as third:
            assert third.wait() == 2
            assert "every application would be decided twice" in third.log()
        defaults = {name: value for name, value in environment.items() if not name.endswith("_TOPIC")}
        with up(defaults, tmp_path / "fourth", "--for", "2s", "--group-id", f"own-{topics.mark}") as fourth:
            assert fourth.wait() == 0, fourth.log()
            assert_every_application_has_its_result(fourth.summary(), 200)
            assert f"export SCORER_APPLICATIONS_TOPIC=own-{topics.mark}.credit.applications" in fourth.log()
        assert first.wait() == 0, first.log()
        assert_every_application_has_its_result(first.summary(), 500)
        assert first.summary()["restarts"] == 0


def test_runs_that_start_at_the_same_moment(topics: Topics, tmp_path: Path) -> None:
    """Where neither sees the other yet they share the group, under ids of their own: each counts its own, and ends."""
    environment = topics.environment()
    with (
        up(environment, tmp_path / "a", "--for", "5s") as first,
        up(environment, tmp_path / "b", "--for", "5s") as second,
    ):
        codes = sorted([first.wait(), second.wait()])
        for run in (first, second):
            if run.process.returncode == 0:
                assert_every_application_has_its_result(run.summary(), 500)
        assert codes in ([0, 0], [0, 2]), first.log() + second.log()


def test_workers_that_are_pinned_to_a_bundle_get_applications_of_its_contract(topics: Topics, tmp_path: Path) -> None:
    """Nothing is deployed, so the contract is that of the bundle, and not the shipped one."""
    bundle = car_loan_bundle(tmp_path / "bundle")
    options = ("--bundle", str(bundle), "--for", "2s", "--workers", "1")
    with up(topics.environment(), tmp_path / "up", *options) as run:
        assert run.wait() == 0, run.log()
        assert_every_application_has_its_result(run.summary(), 200)
        assert 190 <= int(str(run.summary()["decided"])) <= 200, "one in a hundred is invalid"


def test_others_who_publish_do_not_keep_it_running(topics: Topics, tmp_path: Path) -> None:
    """A run of ten seconds once ran for nine minutes: it waited until nobody's application was without a result.

    It ends on the results of its own, and counts nothing else, whether they are generated or from a file. The second
    run begins right after the first: static members stay in the group for seconds after their end, and are not taken
    for live workers.
    """
    file = tmp_path / "some.jsonl"
    file.write_text("".join(f'{{"application_id": "a-{number}"}}\n' for number in range(200)) + "{\n")
    with somebody_elses_load(topics):
        with up(topics.environment(), tmp_path / "generated", "--for", "2s", "--workers", "1") as first:
            assert first.wait() == 0, first.log()
            assert_every_application_has_its_result(first.summary(), 200)
            assert first.left_behind() == []
        with up(topics.environment(), tmp_path / "file", "--data", str(file), "--workers", "1") as second:
            assert second.wait() == 0, second.log()
            assert_every_application_has_its_result(second.summary(), 201)
            assert second.summary()["rejections"] == {"missing_field": 200, "not_json": 1}
            assert second.left_behind() == []


def test_killed_workers_are_restarted(topics: Topics, tmp_path: Path) -> None:
    """A killed worker once stayed dead until the end, and nobody was told why; now it is back within seconds.

    Both are killed, so that nobody else can decide what they leave; the load ends while they are dead.
    """
    with up(topics.environment(), tmp_path, "--for", "8s") as run:
        run.wait_for_load()
        killed = run.workers()
        assert len(killed) == 2
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert run.wait() == 0, run.log()
        assert_every_application_has_its_result(run.summary(), 800)
        assert run.summary()["restarts"] == 2
        for name in ("worker-0", "worker-1"):
            assert f"{name} exited: killed by SIGKILL; restart 1 in 1 s. The last lines of its log:" in run.log()
            assert f"{name} is ready again, at http://127.0.0.1:" in run.log()
            assert f"{name}: metrics http://127.0.0.1:" in run.log()


def test_on_the_mock_cluster(tmp_path: Path) -> None:
    """Where neither Docker nor Java is there: it knows no topic ids, and workers ended at once for want of them.

    A folder with modules that are called like the scorer's does not disturb it.
    """
    (tmp_path / "schemas.py").touch()
    (tmp_path / "random.py").touch()
    command = [
        sys.executable,
        "-P",
        "-m",
        "scorer",
        "up",
        "--broker",
        "mock",
        "--rate",
        "100",
        "--no-console",
        "--json",
    ]
    ended = subprocess.run([*command, "--for", "3s"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert_every_application_has_its_result(json.loads(ended.stdout.splitlines()[-1]), 300)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(topics: Topics, tmp_path: Path, number: signal.Signals) -> None:
    """However it ends, its workers and its folder are gone; on a signal that can be heard, with a summary."""
    with up(topics.environment(), tmp_path) as run:
        run.wait_for_load()
        assert len(run.workers()) == 2
        run.process.send_signal(number)
        run.wait()
        wait_until(lambda: run.workers() == [], "the workers are gone")
        wait_until(lambda: run.left_behind() == [], "the folder is gone")
        if number != signal.SIGKILL:
            assert run.process.returncode == 0, run.log()
            assert run.summary()["lost"] == 0


def test_interrupted_while_it_starts(topics: Topics, tmp_path: Path) -> None:
    """Ctrl-C before everything is up used to wait until it was; now it ends there and then, with one line."""
    with up(topics.environment(), tmp_path) as run:
        wait_until(lambda: "starting 2 workers" in run.log(), "the workers are being started")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert "interrupted during startup; everything was stopped" in run.log()
        assert "Traceback" not in run.log()
        assert run.workers() == []
        assert run.left_behind() == []
