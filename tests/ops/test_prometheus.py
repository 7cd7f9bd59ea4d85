"""A real Prometheus watches two real workers for two minutes: every query has an answer, and alerts reach people.

All that a dashboard shows as an error is brought about: garbage, bundles that cannot be loaded, lines of the history
that are no events, transactions that the broker refuses. At the end all workers are killed under load.
"""

import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from monitoring.rules import RUNBOOKS
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from tests.integration.worker_process import Topics, event_of_a_missing_bundle, operate, worker
from tests.ops.console_process import ConsoleProcess, console
from tests.ops.prometheus import WAIT_S, Notices, Prometheus, Series, wait_until, watching
from tests.ops.reviewing import TOKENS, Reviewer, write_tokens
from tests.unit.monitoring import queries

pytestmark = pytest.mark.broker

PARTITIONS = 4
LOAD_RATE = 400
GARBAGE_RATE = 1_000
WATCHED_S = 120.0
OTHER = "credit-risk:1.0.0"
WHY = ("--reason", "to see it on a dashboard")
DESPITE = ("--despite", "it uses marital status, and decides no real application")
# Connections that nobody uses are closed while the test lasts, and counted.
OPTIONS = ("--set", "kafka.connections.max.idle.ms=10000")
DEPENDS_ON_THE_MACHINE = "ScorerDecisionsSlow.*|ScorerLagGrowing"
"""Alerts that a test must not rely on: a machine that is busy with something else is slow."""
VARIABLES = {"namespace": ".*", "job": "scorer-worker", "instance": ".*", "__rate_interval": "20s"}
CONSEQUENCES = ("ScorerWorkerDown", "ScorerWorkerFlapping", "ScorerWorkerStalled")
STILL: dict[str, tuple[str, Callable[[list[float]], float]]] = {
    "worker/Throttling by quotas/A": ("the broker has no quotas", max),
    "worker/Blocked partitions/A": ("retention deletes nothing that is not processed", max),
    "overview/Undelivered alerts/A": ("every receiver of this test has an address", max),
    "overview/Missing brokers/A": ("the only broker runs", max),
    "overview/Offline partitions/A": ("the only broker runs", max),
    "overview/Below min.insync.replicas/A": ("one replica is required, and there is one", max),
    "overview/Under-replicated/A": ("each partition has one replica, its leader", max),
    "overview/Not the preferred leader/A": ("each partition has one replica, its leader", max),
    "overview/Partitions by state/A": ("the only broker runs", max),
    "overview/Partitions by state/B": ("one replica is required, and there is one", max),
    "overview/Partitions by state/C": ("each partition has one replica, its leader", max),
    "model/Decisions by rule/A": ("the shipped bundles have no rules", max),
    "model/Accepted by one/A": ("champion and challenger have the same contract", max),
    # A scrape that ends between two rules of a group is seen by the second alone, and for that moment they differ.
    "model/Drift/A": ("this hour is all of this week", median),
}
"""Queries whose series stay at 0 here: why, and what of them is 0."""


class Watched(NamedTuple):
    """What Prometheus has seen, and between which moments."""

    prometheus: Prometheus
    begin: float
    end: float
    firing_when_healthy: list[Series]
    notices: Notices


def background(topics: Topics, opened: ExitStack, *command: str | Path) -> subprocess.Popen[bytes]:
    """Starts one of our programs, which is gone at the end."""
    started = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        env=topics.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    opened.callback(started.wait)
    opened.callback(started.kill)
    return started


def try_bundles(topics: Topics, prometheus: Prometheus) -> None:
    """A challenger comes and goes, another champion too; then bundles that nobody has, and a line that is no event."""
    operate(topics, "deploy", OTHER, "--slot", "challenger", *WHY, *DESPITE)
    wait_until(lambda: prometheus.total("scorer_challenger_disagreements_total") > 0, "disagreements")
    operate(topics, "retire", *WHY)
    operate(topics, "deploy", OTHER, *WHY, *DESPITE)
    decided = f'scorer_decisions_total{{bundle="{OTHER}"}}'
    wait_until(lambda: prometheus.total(decided) > LOAD_RATE, "decisions by the other bundle")
    operate(topics, "rollback", *WHY)
    lines = (b"{", event_of_a_missing_bundle("champion"), event_of_a_missing_bundle("challenger"))
    topics.publish(*lines, topic=topics.deployments, key=None)
    wait_until(lambda: prometheus.total("scorer_challenger_failures_total") > 0, "a challenger that does not load")
    wait_until(
        lambda: prometheus.total('scorer_bundle_switches_total{result="failed"}') > 0, "a champion that does not"
    )
    operate(topics, "rollback", *WHY)
    operate(topics, "retire", *WHY)


def refuse_commits(topics: Topics, prometheus: Prometheus) -> None:
    """A dead letter that is larger than its topic's limit is refused; in the next try, a pointer takes its place.

    Not by message.timestamp.before.max.ms: Kafka 4.1 measures a transaction's own markers by it too, refuses one that
    is a millisecond too old, and never ends that transaction.
    """
    aborted = 'scorer_transactions_total{result="aborted"}'
    before = prometheus.total(aborted)
    topics.publish(os.urandom(1_048_400))  # fills its topic's limit, and cannot be compressed
    wait_until(lambda: prometheus.total(aborted) > before, "an aborted batch")


def review_one(served: ConsoleProcess, prometheus: Prometheus) -> None:
    """A reviewer approves the oldest MAYBE decision."""
    wait_until(lambda: prometheus.total("scorer_waiting_reviews") > 0, "waiting decisions")
    ana = Reviewer.log_in(served, TOKENS["ana"])
    (oldest,) = json.loads(ana.get("/api/reviews?count=1").body)["decisions"]
    assert ana.review(oldest, "APPROVED").status == 201
    wait_until(lambda: prometheus.total("scorer_reviews_total") > 0, "the review")


def publish_with_old_timestamps(topics: Topics) -> None:
    """Publishers of records that waited for 5 s, and one that takes seconds for milliseconds: January 1970."""
    producer = Producer({"bootstrap.servers": topics.servers})
    now_s = time.time()
    for timestamp_ms in (*[(now_s - 5) * 1_000] * 10, now_s):
        producer.produce(topics.applications, b"{", timestamp=int(timestamp_ms))
    assert producer.flush(WAIT_S) == 0


@pytest.fixture(scope="module")
def watched(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two workers under load, everything that can be seen on a dashboard brought about, and in the end no worker."""
    folder = tmp_path_factory.mktemp("watched")
    topics, ports = Topics(broker.bootstrap_servers, PARTITIONS), free_ports(4)
    targets = {"scorer-worker": ports[:2], "scorer-replay": ports[2:3], "scorer-console": ports[3:]}
    with ExitStack() as opened:
        notices = opened.enter_context(closing(Notices()))
        at_work = [opened.enter_context(worker(topics, folder / "a.log", "--http-port", str(ports[0]), *OPTIONS))]
        wait_until(lambda: at_work[0].get("/readyz")[0] == 200, "the first worker")
        prometheus = opened.enter_context(watching(folder, targets, notices))
        load = ("producer", "load", "-b", topics.servers, "--rate", str(LOAD_RATE), "--for", "20m")
        background(topics, opened, *load)
        wait_until(
            lambda: prometheus.total("scorer_applications_consumed_total") > 0, "the first scrape with decisions"
        )
        begin = time.time()
        options = ("--port", str(ports[3]), *write_tokens(folder))
        served = opened.enter_context(console(topics.environment(), folder / "console.log", *options))
        # It comes while Prometheus looks on: partitions move, and that is seen.
        at_work.append(opened.enter_context(worker(topics, folder / "b.log", "--http-port", str(ports[1]), *OPTIONS)))
        wait_until(lambda: prometheus.total("scorer_rebalances_total") > 2, "the second worker with partitions")
        time.sleep(20)  # for the alerts that would come now if they came to those who are healthy
        healthy = prometheus.now(f'ALERTS{{alertstate="firing", alertname!~"{DEPENDS_ON_THE_MACHINE}"}}')
        try_bundles(topics, prometheus)
        review_one(served, prometheus)
        operate(topics, "replay", "plan", folder / "plan", "--decided-by", OTHER)
        background(
            topics, opened, "scorer", "replay", "run", folder / "plan", "--rate", "50", "--http-port", str(ports[2])
        )
        refuse_commits(topics, prometheus)
        publish_with_old_timestamps(topics)
        wait_until(lambda: prometheus.total("scorer_replay_progress_ratio") > 0, "the replay's progress")
        garbage = (
            "producer",
            "load",
            "-b",
            topics.servers,
            "--rate",
            str(GARBAGE_RATE),
            "--for",
            "30s",
            "--invalid",
            "1",
        )
        background(topics, opened, *garbage)
        wait_until(lambda: bool(notices.of("ScorerDeadLettersBurnFast")), "the page for garbage")
        time.sleep(max(0.0, begin + WATCHED_S - time.time()))
        end = time.time()
        for process in at_work:
            process.kill()
        wait_until(lambda: bool(notices.of("ScorerNoWorkers")), "the page for workers that are gone")
        yield Watched(prometheus, begin, end, healthy, notices)


def filled_in(expression: str) -> str:
    """A dashboard's query with its variables replaced, as Grafana does."""
    return re.sub(r"\$(\w+)", lambda match: VARIABLES[match[1]], expression)


def values(series_list: list[Series]) -> list[float]:
    """All that the series hold, but for NaN: a mean or quantile of nothing, which a panel leaves out."""
    numbers = [float(value) for series in series_list for _, value in series["values"]]
    return [value for value in numbers if not math.isnan(value)]


@pytest.mark.parametrize("query", queries.of_panels(), ids=lambda query: query.where)
def test_panels(watched: Watched, query: queries.Query) -> None:
    """Every query of every panel, and of every mark on one, has an answer, and one that is above 0 at some time."""
    values_read = values(watched.prometheus.over(filled_in(query.expression), watched.begin, watched.end))
    assert values_read
    why, measured = STILL.get(query.where, ("", max))
    assert (round(measured(values_read), 6) > 0) == (query.where not in STILL), why


@pytest.mark.parametrize("query", queries.of_variables(), ids=lambda query: query.where)
def test_variables(watched: Watched, query: queries.Query) -> None:
    """Every variable offers what there is: the workers' job, each worker; and no namespace outside Kubernetes."""
    match = re.fullmatch(r"label_values\((.+), (\w+)\)", filled_in(query.expression))
    assert match
    offered = watched.prometheus.label_values(match[2], match[1])
    assert len(offered) == {"namespace": 0, "job": 2 if "job=" not in match[1] else 1, "instance": 2}[match[2]]


@pytest.mark.parametrize("rule", queries.rules("recording.yml"), ids=lambda rule: rule["record"])
def test_recording_rules(watched: Watched, rule: dict[str, Any]) -> None:
    """Every rule records something, and its expression says the same when it is asked directly."""
    assert values(watched.prometheus.over(rule["record"], watched.begin, watched.end))
    assert values(watched.prometheus.over(rule["expr"], watched.begin, watched.end))


@pytest.mark.parametrize("rule", queries.rules("alerts.yml"), ids=lambda rule: rule["alert"])
def test_alerting_rules(watched: Watched, rule: dict[str, Any]) -> None:
    """Prometheus takes every alert's expression, and everything that it reads is there.

    What an alert says of it is proven on made-up histories; two of them are brought about here.
    """
    watched.prometheus.over(rule["expr"], watched.begin, watched.end)
    for selector in queries.selectors_in(rule["expr"]):
        assert values(watched.prometheus.over(selector, watched.begin, watched.end)), selector


def test_no_alert_fires_in_normal_operation(watched: Watched) -> None:
    """Two workers under load, one of which has just come, set off no alert at all."""
    assert watched.firing_when_healthy == []


@pytest.mark.parametrize("name", ["ScorerDeadLettersBurnFast", "ScorerNoWorkers"])
def test_pages(watched: Watched, name: str) -> None:
    """Garbage, and the end of all workers, page somebody: with what is the case, and where it says what to do."""
    receiver, alert = watched.notices.of(name)[0]
    assert receiver == "pager"
    assert alert["labels"]["job"] == "scorer-worker"
    assert alert["annotations"]["description"].startswith("scorer-worker: ")
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}/{name}"


def test_consequences_are_not_reported_again(watched: Watched) -> None:
    """Where no worker answers, nobody gets a ticket for each."""
    alerts = [alert for name in CONSEQUENCES for _, alert in watched.notices.of(name)]
    assert not [alert for alert in alerts if datetime.fromisoformat(alert["startsAt"]).timestamp() > watched.end]
