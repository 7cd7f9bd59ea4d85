"""The metrics: each declared once, with its name, its labels and what it counts."""

from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES: Final = ("decode", "features", "predict", "encode", "publish", "commit")
_STAGE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 100_000)
_PROBABILITY_BUCKETS: Final = tuple(round(0.05 * i, 2) for i in range(1, 21))


class Metric(NamedTuple):
    """A metric as it is declared; a counter's name is exposed with `_total`, bounds are in the name's unit."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exposed_name(self) -> str:
        """As Prometheus reads it; of a histogram, what its parts' names begin with."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Registers it as a counter."""
        return Counter(self.name, self.help, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Registers it as a gauge."""
        return Gauge(self.name, self.help, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry) -> Histogram:
        """Registers it as a histogram that takes one value at a time."""
        return Histogram(self.name, self.help, self.labels, buckets=self.bounds, registry=registry)


CONSUMED = Metric("scorer_applications_consumed", "counter", "Records taken from the applications topic and committed.")
DECISIONS = Metric("scorer_decisions", "counter", "Decisions committed.", ("decision", "bundle"))
REJECTS = Metric("scorer_rejects", "counter", "Records set aside on the dead-letter topic.", ("code",))
BATCH = Metric("scorer_batch_records", "histogram", "Records in a batch.", bounds=_BATCH_BUCKETS)
STAGE = Metric("scorer_stage_seconds", "histogram", "Seconds a step took on a batch.", ("stage",), _STAGE_BUCKETS)
LATENCY = Metric(
    "scorer_decision_latency_seconds",
    "histogram",
    "Seconds from an application's timestamp to the commit of its decision.",
    bounds=_LATENCY_BUCKETS,
)
TRANSACTIONS = Metric(
    "scorer_transactions", "counter", "Batches committed or aborted, with or without a transaction.", ("outcome",)
)
TIMESTAMPS = Metric(
    "scorer_timestamps_out_of_range",
    "counter",
    "Records whose timestamp is older than ten years or more than an hour in the future; they have no latency.",
)
SLOW_DECODES = Metric(
    "scorer_slow_decodes",
    "counter",
    "Records that only the contract's own parser could read or refuse: invalid or unusual ones, at least ten times as "
    "slow as others.",
)
LAG = Metric(
    "scorer_consumer_lag_records",
    "gauge",
    "Records not processed yet, per assigned partition; absent while the worker does not poll.",
    ("topic", "partition"),
)
LAG_AGE = Metric("scorer_lag_age_seconds", "gauge", "Seconds since the worker last looked at its lag.")
COMMITTED = Metric(
    "scorer_committed_offset",
    "gauge",
    "Where the group goes on, of the partitions that this worker has.",
    ("topic", "partition"),
)
REBALANCES = Metric("scorer_rebalances", "counter", "Changes of this worker's partitions.", ("kind",))
ASSIGNED = Metric("scorer_assigned_partitions", "gauge", "Partitions that this worker has.")
BLOCKED = Metric(
    "scorer_blocked_partitions", "gauge", "Assigned partitions that cannot be read from where the group is."
)
LAST_POLL = Metric(
    "scorer_last_poll_timestamp_seconds", "gauge", "When the last poll was completed, in seconds since 1970."
)
BUNDLE = Metric("scorer_bundle_info", "gauge", "1 for the bundle in the slot.", ("slot", "name", "version", "digest"))
SWAPS = Metric("scorer_bundle_swaps", "counter", "Deployed champions taken over, or not loadable.", ("outcome",))
FAULTS = Metric("scorer_deployment_faults", "counter", "Lines of the deployments' history that are no events.")
COMPARED = Metric(
    "scorer_challenger_compared",
    "counter",
    "Applications that the challenger scored along; those of a batch that was wound back count again.",
    ("champion", "challenger"),
)
DISAGREEMENTS = Metric(
    "scorer_challenger_disagreements",
    "counter",
    "Of those compared, what the challenger would have decided otherwise, or only one of the two could decide.",
    ("champion", "challenger"),
)
CHALLENGER_FAILURES = Metric(
    "scorer_challenger_failures",
    "counter",
    "Challengers that could not be loaded, and batches that one could not score.",
    ("step",),
)
PROBABILITY = Metric(
    "scorer_probability_of_default",
    "histogram",
    "Probabilities of default that were decided on.",
    ("bundle",),
    _PROBABILITY_BUCKETS,
)

CONNECTIONS = Metric("scorer_kafka_connections", "gauge", "Connections to brokers that are up.", ("client",))
QUEUED = Metric(
    "scorer_kafka_queued_records",
    "gauge",
    "Consumer: records fetched and not polled yet. Producer: records handed over and not confirmed yet.",
    ("client",),
)
ROUND_TRIP = Metric(
    "scorer_kafka_round_trip_seconds",
    "gauge",
    "99th percentile of the seconds that a broker took to answer the producer, over the last few.",
    ("broker",),
)
THROTTLE = Metric(
    "scorer_kafka_throttle_seconds",
    "gauge",
    "The longest wait that a broker's quota put on a request, over the last few seconds.",
    ("client",),
)
CLIENT_FAULTS = Metric(
    "scorer_kafka_faults",
    "counter",
    "Connections lost, and requests that failed, were retried or timed out.",
    ("client", "kind"),
)

REPLAY_PROGRESS = Metric(
    "scorer_replay_progress_ratio",
    "gauge",
    "Share of a replay's applications that are decided again, by whomever.",
    ("replay_id",),
)

METRICS: Final = (
    CONSUMED, DECISIONS, REJECTS, BATCH, STAGE, LATENCY, TIMESTAMPS, SLOW_DECODES, TRANSACTIONS, LAG, LAG_AGE,
    COMMITTED, REBALANCES, ASSIGNED, BLOCKED, LAST_POLL, BUNDLE, SWAPS, FAULTS, COMPARED, DISAGREEMENTS,
    CHALLENGER_FAILURES, PROBABILITY, CONNECTIONS, QUEUED, ROUND_TRIP, THROTTLE, CLIENT_FAULTS,
)  # fmt: skip
"""All of a worker's; docs and dashboards are compared with this table."""
REPLAY_METRICS: Final = (REPLAY_PROGRESS,)
"""What a replay has besides."""
