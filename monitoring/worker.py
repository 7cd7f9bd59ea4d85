"""The dashboard Worker: time per stage, batches, partitions, Kafka clients and the process."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import recording, rules
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
    ENGINE,
    ENGINE_RECORDS,
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
        "Time per stage, batches and transactions, partitions, and the two Kafka clients of each worker.",
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
                "Seconds per second spent in each stage, over all selected workers. With a backlog, publish and commit "
                "run in the background.",
                "engine, or decode, features, predict and encode together, near 1 per worker: the workers are at their "
                "limit, start another one. Commit near 1: the broker is.",
            ),
            "s",
            Query(rate(series(STAGE, EACH, part="sum"), OVER, "stage"), "{{stage}}"),
            stacked=True,
        ),
        graph(
            Words(
                "Stage duration, p99",
                "99th percentile of the time per batch, by stage.",
                "predict rises after a deployment: a heavier model. Commit rises: see Round trip below.",
            ),
            "s",
            Query(quantile(0.99, STAGE, OVER, EACH, by="stage"), "{{stage}}"),
        ),
        _latency(),
        graph(
            Words(
                "Timestamps out of range",
                "Records per second whose timestamp is older than ten years or in the future; they have no latency.",
                "above 0: a publisher sets timestamps in seconds or microseconds; Kafka's are in milliseconds.",
            ),
            "cps",
            Query(rate(series(TIMESTAMPS, EACH), OVER, "instance"), "{{instance}}"),
        ),
        graph(
            Words(
                "Slow decodes",
                "Records per second that needed the slower parser of the contract.",
                "above the rate of rejections: a publisher sends unusual JSON, or records are crafted to slow workers "
                "down.",
            ),
            "cps",
            Query(rate(series(SLOW_DECODES, EACH), OVER, "instance"), "{{instance}}"),
        ),
        _engines(),
        graph(
            Words(
                "Applications by worker",
                "Applications per second that each worker decided or rejected.",
                "one far below the others with as many partitions: a slow machine, or less traffic in its partitions.",
            ),
            "cps",
            Query(rate(series(CONSUMED, EACH), OVER, "instance"), "{{instance}}"),
        ),
    ]


def _engines() -> Panel:
    return graph(
        Words(
            "Decisions by engine",
            "Decisions per second of the compiled and the Python engine, and the number of workers on each.",
            "the Python engine decides many: publishers send unusual JSON. No worker on the compiled engine: it is "
            "not installed, or /readyz says why it is not used.",
        ),
        "cps",
        Query(rate(series(ENGINE_RECORDS, EACH), OVER, "engine"), "{{engine}}"),
        Query(f"sum by (engine) ({series(ENGINE, EACH)})", "workers: {{engine}}"),
    )


def _latency() -> Panel:
    return spread(
        Words(
            "Latency",
            "Number of applications by the time from their timestamp to the commit of their decision.",
            "a second band far above the first: some partitions wait for a slow worker or a rebalance.",
        ),
        "s",
        Query(rate(series(LATENCY, EACH, part="bucket"), OVER, "le"), "{{le}}"),
    )


def _batches() -> list[Panel]:
    records, batches = (rate(series(BATCH, EACH, part=part), OVER, "instance") for part in ("sum", "count"))
    return [
        graph(
            Words(
                "Records per batch",
                "Mean number of records per batch. Batches grow by themselves under load.",
                "constantly at `batch_records_max`: there is a backlog. 1 under load: `batch_records_max` is 1.",
            ),
            "short",
            Query(f"{records} / {batches}", "{{instance}}"),
        ),
        graph(
            Words(
                "Batches",
                "Batches per second, by result: committed or aborted.",
                "frequent aborts: see the runbook of ScorerTransactionsAborting. Nothing is lost, but latency rises.",
            ),
            "cps",
            Query(rate(series(TRANSACTIONS, EACH), OVER, "result"), "{{result}}"),
        ),
        graph(
            Words(
                "Aborted",
                "Share of aborted batches, over the whole group.",
                f"above {rules.ABORTED_MAX:.0%} for 5 minutes an alert fires; the workers' logs give the reason.",
            ),
            "percentunit",
            Query(f"{recording.ABORTED_SHARE}{{{WORKERS}}}", "{{job}}"),
            limits=[Limit(rules.ABORTED_MAX, "red")],
        ),
        graph(
            Words(
                "Time since the last poll",
                "Time since each worker's loop completed a poll.",
                "more than a second or two: the loop waits for a broker or a model; after `max.poll.interval.ms` the "
                "group revokes its partitions.",
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
                "Waiting applications per partition.",
                "only one grows: see Committed by partition; if that is 0, see the runbook of ScorerNoProgress.",
            ),
            "short",
            Query(f"max by (topic, partition) ({series(LAG, EACH)})", "{{topic}} {{partition}}"),
        ),
        graph(
            Words(
                "Age of the lag",
                "Seconds since each worker last measured its lag. A lag older than 15 s is not shown.",
                "more than a few seconds: the worker waits for a broker; see the runbook of ScorerWorkerStalled.",
            ),
            "s",
            Query(series(LAG_AGE, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Blocked partitions",
                "Partitions per worker that cannot be read from their committed offset.",
                "above 0: see the runbook of ScorerPartitionBlocked.",
            ),
            "none",
            Query(series(BLOCKED, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Committed by partition",
                "Progress of the committed offset per partition, in offsets per second.",
                "0 with lag: nothing in this partition is decided; see the runbook of ScorerNoProgress.",
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
                "Assigned partitions per worker.",
                "frequent changes: see Rebalances.",
            ),
            "none",
            Query(series(ASSIGNED, EACH), "{{instance}}"),
        ),
        graph(
            Words(
                "Rebalances",
                "Assignments and revocations in five minutes. Lost: the group revoked partitions without a callback.",
                "frequent: workers restart; see the runbook of ScorerWorkerFlapping. Lost: a worker was stalled.",
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
                "99th percentile of the producers' round trip, commits included, by broker. (Consumers' requests wait "
                "at the broker for records, so their duration says nothing.)",
                "one broker above the others: that broker. All: the network, or too many transactions per second.",
            ),
            "s",
            Query(f"max by (broker) ({series(ROUND_TRIP, EACH)})", "broker {{broker}}"),
        ),
        graph(
            Words(
                "Records in the clients",
                "Consumer: fetched but not polled yet. Producer: not acknowledged yet.",
                "lag and an empty consumer: the broker or the network is the limit. Lag and a full one: the worker is.",
            ),
            "short",
            Query(f"sum by (client, instance) ({series(QUEUED, EACH)})", "{{client}} {{instance}}"),
        ),
        graph(
            Words(
                "Faults",
                "Lost connections, and requests that failed, were retried or timed out, per second. Brokers close "
                "connections that are idle for minutes, which is normal.",
                "timed out: a broker does not answer. Frequent disconnects: a broker, or the network.",
            ),
            "cps",
            Query(rate(series(CLIENT_FAULTS, EACH), OVER, "client, kind"), "{{client}} {{kind}}"),
        ),
        graph(
            Words(
                "Connections",
                "Open connections to brokers.",
                "0: this client cannot reach any broker, and its worker is not ready; see the worker's log.",
            ),
            "none",
            Query(f"sum by (client, instance) ({series(CONNECTIONS, EACH)})", "{{client}} {{instance}}"),
        ),
        graph(
            Words(
                "Throttling by quotas",
                "Longest throttling of a request by a broker quota.",
                "above 0: raise the quota of the workers' user, or accept the lower rate.",
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
                "CPU seconds per second of each worker process. The loop alone uses at most 1.",
                "near 1 with lag: the worker is at its limit, start another one.",
            ),
            "none",
            Query(f"rate(process_cpu_seconds_total{{{EACH}}}[{OVER}])", "{{instance}}"),
            width=8,
        ),
        graph(
            Words(
                "Memory",
                "Resident memory of each worker process.",
                "grows for days: report it. Jumps at a deployment: the previous bundle is kept in memory besides the "
                "new one.",
            ),
            "bytes",
            Query(f"process_resident_memory_bytes{{{EACH}}}", "{{instance}}"),
            width=8,
        ),
        graph(
            Words(
                "Uptime",
                "Uptime of each worker process.",
                "frequent restarts: see the runbook of ScorerWorkerFlapping.",
            ),
            "s",
            Query(f"time() - process_start_time_seconds{{{EACH}}}", "{{instance}}"),
            width=8,
        ),
    ]
