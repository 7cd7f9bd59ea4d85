"""The dashboard Worker: where a worker's time goes, and what stands between it and its brokers."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import rules
from monitoring.panels import OVER, WORKERS, Limit, Panel, Query, Words, dashboard, graph, spread
from monitoring.promql import quantile, rate, series
from scorer.monitor.families import (
    ASSIGNED,
    BATCH,
    BLOCKED,
    CLIENT_FAULTS,
    COMMITTED,
    CONNECTIONS,
    CONSUMED,
    LAG,
    LAG_AGE,
    LAST_POLL,
    LATENCY,
    QUEUED,
    REBALANCES,
    ROUND_TRIP,
    SLOW_DECODES,
    STAGE,
    THROTTLE,
    TIMESTAMPS,
    TRANSACTIONS,
)

EACH = f'{WORKERS}, instance=~"$instance"'


def worker() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "Worker",
        "Where a worker's time goes: its stages, batches and transactions, and its two Kafka clients.",
        {
            "Stages": _stages(),
            "Batches and transactions": _batches(),
            "Partitions": _partitions(),
            "Kafka clients": _clients(),
            "Process": _process(),
        },
        by_instance=True,
    )


def _stages() -> list[Panel]:
    return [
        graph(
            Words(
                "Time by stage",
                "Seconds of each second that a stage takes, all chosen workers together. Publish and commit run "
                "beside the others while there is a backlog.",
                "decode, features, predict and encode near 1 for each worker: it is at its limit, start another. "
                "Commit near 1: the broker is.",
            ),
            "s",
            Query(rate(series(STAGE, EACH, part="sum"), OVER, "stage"), "{{stage}}"),
            stacked=True,
        ),
        graph(
            Words(
                "A batch's stages, p99",
                "99 of 100 batches took less than this in a stage.",
                "predict rises after a deployment: a heavier model. Commit rises: see Round trip, below.",
            ),
            "s",
            Query(quantile(0.99, STAGE, OVER, EACH, by="stage"), "{{stage}}"),
        ),
        spread(
            Words(
                "Latency",
                "How many applications took how long from their timestamp to their decision's commit.",
                "a second band far above the first: some partitions wait, for a slow worker or a rebalance.",
            ),
            "s",
            Query(rate(series(LATENCY, EACH, part="bucket"), OVER, "le"), "{{le}}"),
        ),
        graph(
            Words(
                "Timestamps out of range",
                "Records per second whose timestamp is older than ten years or in the future: they have no latency.",
                "above 0: a publisher sets timestamps in seconds or microseconds; Kafka's are in milliseconds.",
            ),
            "cps",
            Query(rate(series(TIMESTAMPS, EACH), OVER, "instance"), "{{instance}}"),
        ),
        graph(
            Words(
                "Slow decodes",
                "Records per second that only the contract's own parser could read or refuse.",
                "above the rate of rejections: a publisher sends unusual JSON, or somebody crafts records to slow "
                "workers down.",
            ),
            "cps",
            Query(rate(series(SLOW_DECODES, EACH), OVER, "instance"), "{{instance}}"),
        ),
        graph(
            Words(
                "Applications by worker",
                "Applications a second that each worker decided or set aside.",
                "one far below the others with as many partitions: its machine, or its partitions have less.",
            ),
            "cps",
            Query(rate(series(CONSUMED, EACH), OVER, "instance"), "{{instance}}"),
        ),
    ]


def _batches() -> list[Panel]:
    records, batches = (rate(series(BATCH, EACH, part=part), OVER, "instance") for part in ("sum", "count"))
    return [
        graph(
            Words(
                "Records in a batch",
                "How many records a batch has, on average. Batches grow by themselves under load.",
                "at `batch_records_max` all the time: there is a backlog. One, under load: `batch_records_max` is 1.",
            ),
            "short",
            Query(f"{records} / {batches}", "{{instance}}"),
        ),
        graph(
            Words(
                "Batches",
                "Batches a second by what became of them.",
                "aborted ones that go on: see ScorerTransactionsAborting's runbook. Nothing is lost, but time is.",
            ),
            "cps",
            Query(rate(series(TRANSACTIONS, EACH), OVER, "outcome"), "{{outcome}}"),
        ),
        graph(
            Words(
                "Aborted",
                "The share of batches that were wound back, of the whole group.",
                f"above {rules.ABORTED_MAX:.0%} for minutes it is an alert; the workers' logs say why.",
            ),
            "percentunit",
            Query(f"{rules.ABORTED_SHARE}{{{WORKERS}}}", "{{job}}"),
            limits=[Limit(rules.ABORTED_MAX, "red")],
        ),
        graph(
            Words(
                "Since the last poll",
                "How long ago each worker's loop completed a poll.",
                "more than a second or two: the loop waits for a broker or a model; past `max.poll.interval.ms` the "
                "group takes the partitions away.",
            ),
            "s",
            Query(f"time() - {series(LAST_POLL, EACH)}", "{{instance}}"),
        ),
    ]


def _partitions() -> list[Panel]:
    return [
        graph(
            Words(
                "Lag by partition",
                "Applications that wait in each partition.",
                "one that grows alone: see Committed, beside; if that stands still, see ScorerNoProgress's runbook.",
            ),
            "short",
            Query(f"max by (topic, partition) ({series(LAG, EACH)})", "{{topic}} {{partition}}"),
        ),
        graph(
            Words(
                "Age of the lag",
                "Seconds since each worker last looked at its lag. A lag that is older than 15 s is not shown.",
                "more than a few seconds: the worker waits for a broker; see ScorerWorkerStalled's runbook.",
            ),
            "s",
            Query(series(LAG_AGE, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Blocked partitions",
                "Partitions of each worker that cannot be read from where the group is.",
                "above 0: see ScorerPartitionBlocked's runbook.",
            ),
            "none",
            Query(series(BLOCKED, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Committed by partition",
                "How far the group goes on in each partition, offsets a second.",
                "0 where there is lag: nothing of this partition is decided; see ScorerNoProgress's runbook.",
            ),
            "cps",
            Query(
                f"max by (topic, partition) (deriv({series(COMMITTED, EACH)}[{OVER}]))",
                "{{topic}} {{partition}}",
            ),
        ),
        graph(
            Words(
                "Partitions",
                "How many partitions each worker has.",
                "it changes again and again: see Rebalances, beside.",
            ),
            "none",
            Query(series(ASSIGNED, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Rebalances",
                "Times in five minutes that partitions came or went. Lost: the group took them without asking.",
                "all the time: workers come and go; see ScorerWorkerFlapping's runbook. Lost: a worker stood still.",
            ),
            "none",
            Query(f"sum by (kind) (increase({series(REBALANCES, EACH)}[5m]))", "{{kind}}"),
        ),
    ]


def _clients() -> list[Panel]:
    return [
        graph(
            Words(
                "Round trip",
                "99 of 100 requests of the producers, commits included, were answered within this, by broker. "
                "(Consumers' requests wait at the broker for records, so they tell nothing.)",
                "one broker above the others: that broker. All: the network, or too many transactions a second.",
            ),
            "s",
            Query(f"max by (broker) ({series(ROUND_TRIP, EACH)})", "broker {{broker}}"),
        ),
        graph(
            Words(
                "Records in the clients",
                "Consumer: fetched and not polled yet. Producer: handed over and not confirmed yet.",
                "lag and an empty consumer: the broker or the network is the limit. Lag and a full one: the worker is.",
            ),
            "short",
            Query(f"sum by (client, instance) ({series(QUEUED, EACH)})", "{{client}} {{instance}}"),
        ),
        graph(
            Words(
                "Faults",
                "Connections lost and requests that failed, were retried or timed out, a second. A connection that "
                "idles for minutes is closed by the broker, now and then.",
                "timed out: a broker that does not answer. Disconnected, often: a broker, or something between.",
            ),
            "cps",
            Query(rate(series(CLIENT_FAULTS, EACH), OVER, "client, kind"), "{{client}} {{kind}}"),
        ),
        graph(
            Words(
                "Connections",
                "Connections to brokers that are up.",
                "0: this client reaches no broker, and its worker is not ready; see the worker's log.",
            ),
            "none",
            Query(f"sum by (client, instance) ({series(CONNECTIONS, EACH)})", "{{client}} {{instance}}"),
        ),
        graph(
            Words(
                "Held back by quotas",
                "The longest wait that a broker's quota put on a request.",
                "above 0: raise the quota of the workers' user, or run slower on purpose.",
            ),
            "s",
            Query(f"max by (client, instance) ({series(THROTTLE, EACH)})", "{{client}} {{instance}}"),
        ),
    ]


def _process() -> list[Panel]:
    return [
        graph(
            Words(
                "CPU",
                "Seconds of CPU that each worker's process takes a second. The loop alone uses at most 1.",
                "near 1 with lag: the worker is at its limit, start another one.",
            ),
            "none",
            Query(f"rate(process_cpu_seconds_total{{{EACH}}}[{OVER}])", "{{instance}}"),
            width=8,
        ),
        graph(
            Words(
                "Memory",
                "Memory that each worker's process has.",
                "it grows for days: report it. It jumps at a deployment: the bundle before is kept open beside the "
                "new one.",
            ),
            "bytes",
            Query(f"process_resident_memory_bytes{{{EACH}}}", "{{instance}}"),
            width=8,
        ),
        graph(
            Words(
                "Running for",
                "How long each worker's process has been running.",
                "it begins anew again and again: see ScorerWorkerFlapping's runbook.",
            ),
            "s",
            Query(f"time() - process_start_time_seconds{{{EACH}}}", "{{instance}}"),
            width=8,
        ),
    ]
