"""Metrics: declared once, at 0 from the start, and right to the last bucket."""

from dataclasses import replace
from itertools import permutations
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from schemas.decision import BundleReference, Label
from schemas.rejection import RejectionCode
from scorer.core.decide import Decider
from scorer.core.policy import LABELS, Policy, Rule
from scorer.core.score import ENGINES, score_batch
from scorer.monitor.collectors import BatchHistogram
from scorer.monitor.families import METRICS, STAGES, Metric
from scorer.monitor.metrics import WorkerMetrics
from scorer.stream.comparison import Comparison
from scorer.stream.delivery import Delivered
from scorer.stream.statistics import Statistics
from scorer.stream.worker import Batch
from tests.fakes import CONTRACT, RECORD_BYTES_MAX, FakeRecord, application, tiny_bundle

REFERENCE = BundleReference(name="tiny", version="1.0.0", digest="0" * 64)
BOUNDS = (0.1, 0.25, 0.5, 1.0, 10.0)
Labels = tuple[tuple[str, str], ...]
CLIENTS: set[Labels] = {(("client", "consumer"),), (("client", "producer"),)}


class Exposed:
    """A worker's metrics as a scrape sees them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry, REFERENCE, "applications")

    def samples(self) -> dict[tuple[str, Labels], float]:
        return samples_of(self.registry)

    def value(self, name: str, /, **labels: str) -> float:
        return self.samples()[name, tuple(sorted(labels.items()))]

    def labels_of(self, name: str) -> set[Labels]:
        return {labels for sample_name, labels in self.samples() if sample_name == name}


def samples_of(registry: CollectorRegistry) -> dict[tuple[str, Labels], float]:
    """Every sample by name and labels; the creation times are left out."""
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@pytest.fixture
def exposed() -> Exposed:
    """A worker that has done nothing yet."""
    return Exposed()


def test_series_exist_from_the_start(exposed: Exposed) -> None:
    """Every error path and every outcome has its series at 0 before anything happens: a rate is never absent."""
    label = ("bundle", "tiny:1.0.0")
    expected = {
        "scorer_applications_consumed_total": {()},
        "scorer_decisions_total": {(label, ("decision", outcome)) for outcome in LABELS},
        "scorer_rejections_total": {(("code", code.value),) for code in RejectionCode},
        "scorer_batch_records_count": {()},
        "scorer_stage_seconds_count": {(("stage", stage),) for stage in STAGES},
        "scorer_decision_latency_seconds_count": {()},
        "scorer_engine_info": {(("engine", engine),) for engine in ENGINES},
        "scorer_engine_decisions_total": {(("engine", engine),) for engine in ENGINES},
        "scorer_transactions_total": {(("result", result),) for result in ("committed", "aborted")},
        "scorer_rebalances_total": {(("kind", kind),) for kind in ("assigned", "revoked", "lost")},
        "scorer_assigned_partitions": {()},
        "scorer_challenger_failures_total": {(("step", step),) for step in ("load", "score")},
        "scorer_probability_of_default_count": {(label,)},
        "scorer_kafka_connections": CLIENTS,
        "scorer_kafka_queued_records": CLIENTS,
        "scorer_kafka_throttle_seconds": CLIENTS,
        "scorer_kafka_errors_total": {
            (*client, ("kind", kind))
            for client in CLIENTS
            for kind in ("disconnected", "failed", "retried", "timed_out")
        },
    }
    for name, labels in expected.items():
        assert exposed.labels_of(name) == labels
        assert {value for (sample_name, _), value in exposed.samples().items() if sample_name == name} == {0}
    info = {"slot": "champion", "name": "tiny", "version": "1.0.0", "digest": "0" * 64}
    assert exposed.value("scorer_bundle_info", **info) == 1


def test_declared_and_existing_metrics_are_the_same(exposed: Exposed) -> None:
    """The table of metrics and a scrape name the same families, with the same help."""
    exposed.metrics.lag({0: 1})
    families = {
        family.name: family.documentation
        for family in text_string_to_metric_families(generate_latest(exposed.registry).decode())
    }
    assert {metric.name: metric.help for metric in METRICS}.items() <= families.items()
    assert {name for name in families if not name.endswith("_created")} == {metric.name for metric in METRICS}


def test_committed_batch_counts(exposed: Exposed) -> None:
    """A committed batch is counted by decision, code, size and probability."""
    values = [application("a", amount=100), application("b", amount=400), application("c", amount=900), b"", b"{}"]
    publish(exposed, values, committed=True)
    assert exposed.value("scorer_applications_consumed_total") == 5
    for outcome in LABELS:
        assert exposed.value("scorer_decisions_total", decision=outcome, bundle="tiny:1.0.0") == 1
    assert exposed.value("scorer_rejections_total", code="empty") == 1
    assert exposed.value("scorer_rejections_total", code="missing_field") == 1
    assert exposed.value("scorer_batch_records_sum") == 5
    assert exposed.value("scorer_slow_decodes_total") == 1  # what is empty is not read at all
    assert exposed.value("scorer_probability_of_default_count", bundle="tiny:1.0.0") == 3
    assert exposed.value("scorer_probability_of_default_sum", bundle="tiny:1.0.0") == pytest.approx(1.4)
    assert exposed.value("scorer_decision_latency_seconds_count") == 5


def test_decisions_are_counted_by_engine(exposed: Exposed) -> None:
    """The engine in use is 1 and the other 0; what the compiled engine left is the Python engine's."""
    exposed.metrics.deciding("compiled", "")
    assert [exposed.value("scorer_engine_info", engine=engine) for engine in ("compiled", "python")] == [1, 0]
    records = [FakeRecord((0, i), application("a")) for i in range(3)]
    scores = replace(score_batch(records, tiny_bundle(), RECORD_BYTES_MAX), by_engine=2)
    exposed.metrics.committed(Batch(records, {0: 3}), scores, Delivered(1.0, 1.0, 1.0))
    assert [exposed.value("scorer_engine_decisions_total", engine=e) for e in ("compiled", "python")] == [2, 1]


def test_reasons_are_counted_by_code(exposed: Exposed) -> None:
    """Each code of the catalogue has its series from the first batch on; a decision counts for each of its reasons."""
    records = [FakeRecord((0, i), application("a", amount=900)) for i in range(2)]
    reasons = np.array([[1, 0, 255, 255], [1, 255, 255, 255]], dtype=np.uint8)
    scores = replace(score_batch(records, tiny_bundle(), RECORD_BYTES_MAX), reasons=reasons, codes=("A", "B", "C"))
    assert exposed.labels_of("scorer_reasons_total") == set()
    exposed.metrics.committed(Batch(records, {0: 2}), scores, Delivered(1.0, 1.0, 1.0))
    counts = [exposed.value("scorer_reasons_total", code=code, bundle="tiny:1.0.0") for code in scores.codes]
    assert counts == [1, 2, 0]


def test_decisions_are_counted_by_rule(exposed: Exposed) -> None:
    """Each rule of the policy has its series from the first batch on; decisions by thresholds are not counted."""
    records = [FakeRecord((0, i), application("a", amount=amount)) for i, amount in enumerate([100, 600, 700])]
    policy = Policy(
        rules=(
            Rule(id="high", when="amount > 500", label="DECLINED"),
            Rule(id="higher", when="amount > 600", label="DECLINED"),
        )
    )
    scores = score_batch(records, replace(tiny_bundle(), policy=Decider(policy, CONTRACT)), RECORD_BYTES_MAX)
    assert scores.rule_ids == ("high", "higher")
    exposed.metrics.committed(Batch(records, {0: 3}), scores, Delivered(1.0, 1.0, 1.0))
    counts = [exposed.value("scorer_rule_decisions_total", rule=rule, bundle="tiny:1.0.0") for rule in scores.rule_ids]
    assert counts == [2, 0]


def test_without_rules_there_are_no_series_of_rules(exposed: Exposed) -> None:
    """Most bundles have none."""
    records = [FakeRecord((0, 0), application("a"))]
    scores = score_batch(records, tiny_bundle(), RECORD_BYTES_MAX)
    exposed.metrics.committed(Batch(records, {0: 1}), scores, Delivered(1.0, 1.0, 1.0))
    assert exposed.labels_of("scorer_rule_decisions_total") == set()


@pytest.mark.parametrize("unit", [1e-3, 1e3, 1e6], ids=["seconds", "microseconds", "nanoseconds"])
def test_a_timestamp_in_another_unit_is_not_measured(exposed: Exposed, unit: float) -> None:
    """One in microseconds made the sum of the latencies wrong by fifty thousand years, permanently."""
    now = 1_790_000_000.0
    times = [int((now - 2) * 1_000), int((now - 2) * 1_000 * unit), -1]
    records = [FakeRecord((0, i), application("a"), timestamp_ms=time) for i, time in enumerate(times)]
    scores = score_batch(records, tiny_bundle(), RECORD_BYTES_MAX, exposed.metrics.lap)
    exposed.metrics.committed(Batch(records, {0: 3}), scores, Delivered(now, now, now))
    assert exposed.value("scorer_decision_latency_seconds_count") == 1
    assert exposed.value("scorer_decision_latency_seconds_sum") == pytest.approx(2.0)
    assert exposed.value("scorer_timestamps_out_of_range_total") == 2


def test_aborted_batch_does_not_count(exposed: Exposed) -> None:
    """What was wound back is decided again and counted then; a poll without records is no batch."""
    publish(exposed, [application("a"), b""], committed=False)
    publish(exposed, [], committed=True)
    for name in ("scorer_applications_consumed_total", "scorer_batch_records_count"):
        assert exposed.value(name) == 0


def publish(exposed: Exposed, values: list[bytes], *, committed: bool) -> None:
    """One round of the loop as the monitor sees it."""
    records = [FakeRecord((0, i), value) for i, value in enumerate(values)]
    batch = Batch(records, {0: len(records)})
    exposed.metrics.polled(batch)
    scores = score_batch(records, tiny_bundle(), RECORD_BYTES_MAX, exposed.metrics.lap)
    if committed:
        exposed.metrics.committed(batch, scores, Delivered(100.0, 100.125, 100.625))
    else:
        exposed.metrics.aborted()


def test_stages(exposed: Exposed) -> None:
    """Each step of a batch is timed once, from where the one before it ended."""
    publish(exposed, [application("a")], committed=True)
    for stage in ("decode", "features", "predict", "encode", "publish", "commit"):
        assert exposed.value("scorer_stage_seconds_count", stage=stage) == 1
    assert exposed.value("scorer_stage_seconds_sum", stage="publish") == 0.125
    assert exposed.value("scorer_stage_seconds_sum", stage="commit") == 0.5


def info_of(exposed: Exposed) -> set[tuple[str, str]]:
    """Slot and version of each bundle that is said to be in one."""
    return {
        (dict(sample_labels)["slot"], dict(sample_labels)["version"])
        for sample_labels in exposed.labels_of("scorer_bundle_info")
    }


def test_slots(exposed: Exposed) -> None:
    """Each slot says what is in it and nothing of what was; a pair of bundles has its series at 0 when it comes about.

    The info of all slots used to be cleared when the champion changed.
    """
    second, third = (REFERENCE.model_copy(update={"version": f"{n}.0.0"}) for n in (2, 3))
    exposed.metrics.in_step("challenger", second)
    assert info_of(exposed) == {("champion", "1.0.0"), ("challenger", "2.0.0")}
    pair = {"champion": "tiny:1.0.0", "challenger": "tiny:2.0.0"}
    assert exposed.value("scorer_challenger_compared_total", **pair) == 0
    assert exposed.value("scorer_challenger_disagreements_total", **pair) == 0
    for labels in permutations(LABELS, 2):
        flip = dict(zip(("champion_decision", "challenger_decision"), labels, strict=True))
        assert exposed.value("scorer_challenger_flips_total", **pair, **flip) == 0
    for slot in ("champion", "challenger"):
        assert exposed.value("scorer_challenger_accepted_by_one_total", **pair, accepted_by=slot) == 0
    exposed.metrics.serving(third)
    assert info_of(exposed) == {("champion", "3.0.0"), ("challenger", "2.0.0")}
    assert exposed.value("scorer_challenger_compared_total", champion="tiny:3.0.0", challenger="tiny:2.0.0") == 0
    exposed.metrics.in_step("challenger", third)
    exposed.metrics.in_step("challenger", None)
    exposed.metrics.in_step("challenger", None)
    assert info_of(exposed) == {("champion", "3.0.0")}
    assert len(exposed.labels_of("scorer_challenger_compared_total")) == 2
    assert exposed.value("scorer_bundle_switches_total", result="switched") == 1


def test_what_a_challenger_found(exposed: Exposed) -> None:
    """Comparisons add up by the pair of bundles, failures by what failed."""
    second = REFERENCE.model_copy(update={"version": "2.0.0"})
    for disagreements in (3, 0):
        flips: dict[tuple[Label, Label], int] = {("APPROVED", "DECLINED"): disagreements}
        exposed.metrics.compared(Comparison(REFERENCE, second, 10, disagreements, 2, 1, flips))
    exposed.metrics.challenge_failed()
    exposed.metrics.refused("challenger", second, "no such bundle")
    pair = {"champion": "tiny:1.0.0", "challenger": "tiny:2.0.0"}
    assert exposed.value("scorer_challenger_compared_total", **pair) == 20
    assert exposed.value("scorer_challenger_disagreements_total", **pair) == 3
    flip = {"champion_decision": "APPROVED", "challenger_decision": "DECLINED"}
    assert exposed.value("scorer_challenger_flips_total", **pair, **flip) == 3
    assert exposed.value("scorer_challenger_accepted_by_one_total", **pair, accepted_by="champion") == 4
    assert exposed.value("scorer_challenger_accepted_by_one_total", **pair, accepted_by="challenger") == 2
    assert exposed.value("scorer_challenger_failures_total", step="score") == 1
    assert exposed.value("scorer_challenger_failures_total", step="load") == 1
    assert exposed.value("scorer_bundle_switches_total", result="failed") == 0


def test_lag_of_a_revoked_partition_disappears(exposed: Exposed) -> None:
    """A partition that went has no lag series here any more: another worker reports it now, and sums stay right."""
    exposed.metrics.rebalanced("assigned", frozenset({0, 1, 2}))
    exposed.metrics.lag({0: 5, 1: 6, 2: 7})
    exposed.metrics.rebalanced("revoked", frozenset({1}))
    assert exposed.labels_of("scorer_consumer_lag_records") == {(("partition", "1"), ("topic", "applications"))}
    exposed.metrics.rebalanced("lost", frozenset())
    assert exposed.labels_of("scorer_consumer_lag_records") == set()
    exposed.metrics.rebalanced("assigned", frozenset({0}))
    exposed.metrics.lag({0: 3})
    assert exposed.value("scorer_consumer_lag_records", partition="0", topic="applications") == 3
    assert exposed.value("scorer_assigned_partitions") == 1
    assert exposed.value("scorer_rebalances_total", kind="assigned") == 2


def test_committed_offsets(exposed: Exposed) -> None:
    """Each partition says how far it is committed, with or without records, while this worker has it."""
    exposed.metrics.rebalanced("assigned", frozenset({0, 1}))
    assert exposed.labels_of("scorer_committed_offset") == set()
    publish(exposed, [application("a"), b""], committed=True)
    publish(exposed, [application("a"), b"", b""], committed=False)
    assert exposed.value("scorer_committed_offset", partition="0", topic="applications") == 2
    exposed.metrics.rebalanced("revoked", frozenset({1}))
    assert exposed.labels_of("scorer_committed_offset") == set()


def report(client: Literal["consumer", "producer"], **changes: Any) -> Statistics:
    """What a Kafka client tells of itself."""
    statistics = Statistics(
        client, 2, 30, {1: 0.25}, 0.5, {("b/1", "retried"): 4, ("b/2", "retried"): 1, ("b/1", "failed"): 2}
    )
    return statistics._replace(**changes)


def test_reports_of_kafka_clients(exposed: Exposed) -> None:
    """Gauges say what the last report of a client says; faults add up over brokers and are counted once."""
    exposed.metrics.statistics(report("consumer"))
    exposed.metrics.statistics(report("producer"))
    for client in ("consumer", "producer"):
        assert exposed.value("scorer_kafka_connections", client=client) == 2
        assert exposed.value("scorer_kafka_queued_records", client=client) == 30
        assert exposed.value("scorer_kafka_throttle_seconds", client=client) == 0.5
        assert exposed.value("scorer_kafka_errors_total", client=client, kind="retried") == 5
        assert exposed.value("scorer_kafka_errors_total", client=client, kind="failed") == 2
    faults = {("b/1", "retried"): 6, ("b/2", "retried"): 1}
    exposed.metrics.statistics(report("producer", faults=faults, connections=0))
    assert exposed.value("scorer_kafka_connections", client="producer") == 0
    assert exposed.value("scorer_kafka_errors_total", client="producer", kind="retried") == 7
    assert exposed.value("scorer_kafka_errors_total", client="consumer", kind="retried") == 5


def test_round_trips(exposed: Exposed) -> None:
    """Only the producer's are told, since fetches wait at the broker; one that was asked nothing has none."""
    exposed.metrics.statistics(report("consumer"))
    assert exposed.labels_of("scorer_kafka_round_trip_seconds") == set()
    exposed.metrics.statistics(report("producer"))
    assert exposed.value("scorer_kafka_round_trip_seconds", broker="1") == 0.25
    exposed.metrics.statistics(report("producer", round_trips_s={2: 0.125}))
    assert exposed.labels_of("scorer_kafka_round_trip_seconds") == {(("broker", "2"),)}


def test_transactions(exposed: Exposed) -> None:
    """Transactions count by their end, those too that move a partition without a record."""
    publish(exposed, [], committed=True)
    publish(exposed, [application("a")], committed=False)
    assert exposed.value("scorer_transactions_total", result="committed") == 1
    assert exposed.value("scorer_transactions_total", result="aborted") == 1


@given(
    st.lists(
        st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(-1, 20, width=32)), max_size=30).map(
            lambda values: np.array(values, dtype=np.float64)
        ),
        max_size=4,
    )
)
def test_batch_histogram_is_a_histogram(batches: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> None:
    """It shows what prometheus_client's own Histogram shows that was given the values one by one."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batch_histogram = BatchHistogram(Metric("h", "histogram", "Help.", ("bundle",), BOUNDS))
    ours.register(batch_histogram)
    histogram = Histogram("h", "Help.", ("bundle",), buckets=BOUNDS, registry=theirs).labels("b")
    for values in [np.empty(0), *batches]:
        batch_histogram.observe(values, "b")
        for value in values.tolist():
            histogram.observe(value)
    actual, expected = samples_of(ours), samples_of(theirs)
    assert actual.keys() == expected.keys()
    assert actual == pytest.approx(expected)
