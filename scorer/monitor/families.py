"""The metrics: each declared once, with its name, its labels and what it counts."""

from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES: Final = ("engine", "decode", "features", "predict", "explain", "encode", "publish", "commit")
_STAGE_BUCKETS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
_BATCH_BUCKETS: Final = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000)
_PROBABILITY_BUCKETS: Final = tuple(round(0.05 * i, 2) for i in range(1, 21))


class Metric(NamedTuple):
    """A declared metric; a counter's name is exposed with `_total`, bounds are in the unit of the name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exposed_name(self) -> str:
        """The name that Prometheus reads; for a histogram, the common prefix of its parts."""
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


CONSUMED = Metric(
    "scorer_applications_consumed", "counter", "Records consumed from the applications topic and committed."
)
DECISIONS = Metric("scorer_decisions", "counter", "Decisions committed.", ("decision", "bundle"))
REASONS = Metric(
    "scorer_reasons",
    "counter",
    "Reasons in committed decisions, by code of the bundle's catalogue; a decision has up to four.",
    ("code", "bundle"),
)
RULES = Metric(
    "scorer_rule_decisions",
    "counter",
    "Committed decisions that a rule of the bundle's policy made, by the rule's id.",
    ("rule", "bundle"),
)
REJECTS = Metric("scorer_rejections", "counter", "Records published to the dead-letter topic.", ("code",))
BATCH = Metric("scorer_batch_records", "histogram", "Records per batch.", bounds=_BATCH_BUCKETS)
STAGE = Metric(
    "scorer_stage_seconds", "histogram", "Duration of a step per batch, in seconds.", ("stage",), _STAGE_BUCKETS
)
LATENCY = Metric(
    "scorer_decision_latency_seconds",
    "histogram",
    "Seconds from an application's timestamp to the commit of its decision.",
    bounds=_LATENCY_BUCKETS,
)
TRANSACTIONS = Metric(
    "scorer_transactions", "counter", "Batches committed or aborted, with or without a transaction.", ("result",)
)
TIMESTAMPS = Metric(
    "scorer_timestamps_out_of_range",
    "counter",
    "Records whose timestamp is older than ten years or more than an hour in the future; they have no latency.",
)
SLOW_DECODES = Metric(
    "scorer_slow_decodes",
    "counter",
    "Records that only the contract's own parser could accept or reject: invalid or unusual ones, at least ten times "
    "as slow as others.",
)
ENGINE = Metric(
    "scorer_engine_info", "gauge", "1 for the engine that decides, compiled or python; 0 for the other.", ("engine",)
)
ENGINE_RECORDS = Metric(
    "scorer_engine_decisions",
    "counter",
    "Decisions by engine: the compiled one leaves unusual records to the Python engine.",
    ("engine",),
)
LAG = Metric(
    "scorer_consumer_lag_records",
    "gauge",
    "Consumer lag per assigned partition; absent while the worker does not poll.",
    ("topic", "partition"),
)
LAG_AGE = Metric("scorer_lag_age_seconds", "gauge", "Seconds since the lag was last measured.")
COMMITTED = Metric(
    "scorer_committed_offset",
    "gauge",
    "Committed offset per assigned partition.",
    ("topic", "partition"),
)
REBALANCES = Metric("scorer_rebalances", "counter", "Rebalances: assignments and revocations of partitions.", ("kind",))
ASSIGNED = Metric("scorer_assigned_partitions", "gauge", "Partitions assigned to this worker.")
BLOCKED = Metric(
    "scorer_blocked_partitions", "gauge", "Assigned partitions that cannot be read from their committed offset."
)
LAST_POLL = Metric(
    "scorer_last_poll_timestamp_seconds", "gauge", "Time of the last completed poll, in seconds since 1970."
)
BUNDLE = Metric(
    "scorer_bundle_info", "gauge", "1 for the current bundle of the slot.", ("slot", "name", "version", "digest")
)
SWAPS = Metric("scorer_bundle_switches", "counter", "Switches to a deployed champion, by result.", ("result",))
FAULTS = Metric("scorer_malformed_deployments", "counter", "Malformed records in the deployment history.")
COMPARED = Metric(
    "scorer_challenger_compared",
    "counter",
    "Applications scored by the challenger; those of an aborted batch count again.",
    ("champion", "challenger"),
)
DISAGREEMENTS = Metric(
    "scorer_challenger_disagreements",
    "counter",
    "Compared applications for which the challenger's decision differs, or only one of the two can decide.",
    ("champion", "challenger"),
)
FLIPS = Metric(
    "scorer_challenger_flips",
    "counter",
    "Compared applications that both bundles decided, differently, by the label that each gave.",
    ("champion", "challenger", "champion_decision", "challenger_decision"),
)
ACCEPTED_BY_ONE = Metric(
    "scorer_challenger_accepted_by_one",
    "counter",
    "Applications that only the champion's contract accepts, or only the challenger's; the other rejects them.",
    ("champion", "challenger", "accepted_by"),
)
CHALLENGER_FAILURES = Metric(
    "scorer_challenger_failures",
    "counter",
    "Challengers that failed to load, and batches that a challenger failed to score.",
    ("step",),
)
PROBABILITY = Metric(
    "scorer_probability_of_default",
    "histogram",
    "Probabilities of default of the decisions.",
    ("bundle",),
    _PROBABILITY_BUCKETS,
)

CONNECTIONS = Metric("scorer_kafka_connections", "gauge", "Open connections to brokers.", ("client",))
QUEUED = Metric(
    "scorer_kafka_queued_records",
    "gauge",
    "Consumer: records fetched but not polled yet. Producer: records not acknowledged yet.",
    ("client",),
)
ROUND_TRIP = Metric(
    "scorer_kafka_round_trip_seconds",
    "gauge",
    "99th percentile of the producer's broker round trip, in seconds, over the last few seconds.",
    ("broker",),
)
THROTTLE = Metric(
    "scorer_kafka_throttle_seconds",
    "gauge",
    "Longest throttling of a request by a broker quota, in seconds, over the last few seconds.",
    ("client",),
)
CLIENT_FAULTS = Metric(
    "scorer_kafka_errors",
    "counter",
    "Lost connections, and requests that failed, timed out or were retried.",
    ("client", "kind"),
)

REPLAY_PROGRESS = Metric(
    "scorer_replay_progress_ratio",
    "gauge",
    "Share of the replay's applications that are rescored, over all processes.",
    ("replay_id",),
)

GROUP_LAG = Metric(
    "scorer_group_lag_records",
    "gauge",
    "Consumer lag per partition of the applications topic, as the console reads it from Kafka, also without workers; "
    "absent while no broker answers.",
    ("topic", "partition"),
)
GROUP_MEMBERS = Metric("scorer_group_members", "gauge", "Workers in the consumer group.")
END_OFFSET = Metric(
    "scorer_topic_end_offset",
    "gauge",
    "End offsets of the partitions of the applications topic, added up; their growth is records published, and the "
    "markers of publishers' transactions.",
    ("topic",),
)
BROKERS = Metric("scorer_brokers", "gauge", "Brokers in the cluster's metadata; absent while no broker answers.")
MISSING_BROKERS = Metric(
    "scorer_missing_brokers",
    "gauge",
    "Brokers that have replicas of the scorer's topics, and are not in the cluster's metadata.",
)
TOPIC_PARTITIONS = Metric(
    "scorer_topic_partitions",
    "gauge",
    "Partitions of a topic that the scorer uses; absent for a topic that does not exist.",
    ("topic",),
)
OFFLINE_PARTITIONS = Metric(
    "scorer_topic_offline_partitions",
    "gauge",
    "Partitions of the topic without a leader: they can be neither read nor written.",
    ("topic",),
)
UNDER_REPLICATED = Metric(
    "scorer_topic_under_replicated_partitions",
    "gauge",
    "Partitions of the topic with fewer in-sync replicas than replicas.",
    ("topic",),
)
BELOW_MIN_INSYNC = Metric(
    "scorer_topic_below_min_insync_partitions",
    "gauge",
    "Partitions of the topic with fewer in-sync replicas than its min.insync.replicas, which is read once per minute: "
    "writes with acks=all fail. Absent without the permission DescribeConfigs on the topic.",
    ("topic",),
)
NOT_PREFERRED = Metric(
    "scorer_topic_not_preferred_leaders",
    "gauge",
    "Partitions of the topic that another replica leads than the preferred one.",
    ("topic",),
)
WAITING_REVIEWS = Metric("scorer_waiting_reviews", "gauge", "MAYBE decisions that wait for a review.")
OLDEST_REVIEW = Metric(
    "scorer_oldest_waiting_review_seconds",
    "gauge",
    "Age of the oldest MAYBE decision that waits for a review, in seconds; 0 if none waits.",
)
REVIEWS = Metric(
    "scorer_reviews", "counter", "Reviews that count, by label, since the console has read the topics.", ("label",)
)

METRICS: Final = (
    CONSUMED, DECISIONS, REASONS, RULES, REJECTS, BATCH, STAGE, LATENCY, TIMESTAMPS, SLOW_DECODES, ENGINE,
    ENGINE_RECORDS, TRANSACTIONS, LAG, LAG_AGE, COMMITTED, REBALANCES, ASSIGNED, BLOCKED, LAST_POLL, BUNDLE, SWAPS,
    FAULTS, COMPARED, DISAGREEMENTS, FLIPS, ACCEPTED_BY_ONE, CHALLENGER_FAILURES, PROBABILITY, CONNECTIONS, QUEUED,
    ROUND_TRIP, THROTTLE, CLIENT_FAULTS,
)  # fmt: skip
"""A worker's metrics; docs and dashboards are compared with this table."""
REPLAY_METRICS: Final = (REPLAY_PROGRESS,)
"""A replay's additional metrics."""
REPLICA_METRICS: Final = (TOPIC_PARTITIONS, OFFLINE_PARTITIONS, UNDER_REPLICATED, BELOW_MIN_INSYNC, NOT_PREFERRED)
"""A console's metrics of the replicas of each topic."""
CONSOLE_METRICS: Final = (
    GROUP_LAG, GROUP_MEMBERS, END_OFFSET, BROKERS, MISSING_BROKERS, *REPLICA_METRICS, WAITING_REVIEWS, OLDEST_REVIEW,
    REVIEWS,
)  # fmt: skip
"""The metrics of a console; those of reviews only if its users review decisions."""
