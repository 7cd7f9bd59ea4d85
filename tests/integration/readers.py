"""What the tests of readers share: settings, commands on the topics, forged records, and the console as it counts."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from confluent_kafka import Producer

from scorer.console.live import Live
from scorer.console.tail import Sample, follow_results
from scorer.settings import Settings, load_settings
from tests.integration.forked import ForkedProcess
from tests.integration.worker_process import WAIT_S, Topics, scorer, wait_until, worker

GOOD, BAD = "credit-risk:1.1.1", "credit-risk:1.0.0"
BIG = b"9" * 5_000
Header = tuple[str, str | bytes | None]


def settings_of(topics: Topics) -> Settings:
    """The settings that lead to the topics."""
    environment = {name: value for name, value in topics.environment().items() if name.startswith("SCORER_")}
    return load_settings(environment=environment).settings


def decide(topics: Topics, bundle: str, log: Path) -> None:
    """Lets a worker with a bundle decide all there is."""
    ends = {p: end for p, end in topics.ends(topics.applications).items() if end}
    with worker(topics, log, "--bundle", bundle) as running:
        wait_until(lambda: {p: n for p, n in topics.committed().items() if n} == ends, "every application decided")
        assert running.terminate() == 0


def command(topics: Topics, *arguments: str | Path) -> tuple[int, Any, str]:
    """A replay's command with --json: exit code, what it printed, errors."""
    code, said, errors = scorer(topics, "replay", *arguments, "--json")
    return code, json.loads(said) if said else None, errors


def ours(code: str = "wrong_type", offset: int = 3) -> list[Header]:
    """The headers of a dead letter as the worker writes them."""
    return [("dlq.code", code), ("dlq.reason", "a rule"), ("dlq.partition", "0"), ("dlq.offset", str(offset))]


@contextmanager
def following(settings: Settings) -> Iterator[Live]:
    """What the console counts from now on."""
    live, stop = Live(), Event()
    thread = Thread(target=follow_results, args=(settings, live, Sample(), stop))
    thread.start()
    try:
        wait_until(lambda: live.reads_results, "the console follows")
        yield live
        assert thread.is_alive(), "nothing ends it"
    finally:
        stop.set()
        thread.join(WAIT_S)


def forge(topics: Topics) -> None:
    """Writes decisions and dead letters about records that no partition has, or that nobody sent."""
    producer = Producer({"bootstrap.servers": topics.servers})
    bundle = {"name": "credit-risk", "version": "6.6.6", "digest": "6" * 64}
    for partition, offset in ((0, 2**62), (2**31 - 1, 0)):
        source = {"topic": topics.applications, "partition": partition, "offset": offset}
        forged = {"decision_id": "x", "application_id": "forged", "decision": "APPROVED", "probability_of_default": 0.5}
        producer.produce(topics.decisions, json.dumps(forged | {"bundle": bundle, "source": source}), partition=0)
    for number in (b"7000", BIG):
        headers: list[Header] = [
            *ours(),
            ("dlq.offset", number),
            ("dlq.code", b"[/red]forged"),
            ("dlq.partition", b"0"),
        ]
        producer.produce(topics.dead_letters, b"{", b"forged", headers=headers, partition=0)
    assert producer.flush(WAIT_S) == 0


def watched(topics: Topics, folder: Path, count: int, *options: str) -> list[str]:
    """The ids that `producer watch --dead-letters` shows; what it reports is in `watch.err`."""
    options = ("--dead-letters", "--from-beginning", "--json", *options)
    names = ["--decisions-topic", topics.decisions, "--dead-letters-topic", topics.dead_letters]
    log = folder / "watch.log"
    command = ("producer", "watch", *options, *names)
    watch = ForkedProcess(command, topics.environment(), Path.cwd(), log, folder / "watch.err")
    try:
        wait_until(lambda: log.read_bytes().count(b"\n") >= count, f"{count} outcomes")
        assert watch.poll() is None, "nothing ends it"
        watch.send_signal(signal.SIGTERM)
        watch.wait(WAIT_S)
    finally:
        watch.kill()
    return [json.loads(line)["application_id"] for line in log.read_text().splitlines()]
