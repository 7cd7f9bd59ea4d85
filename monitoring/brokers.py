"""The row Brokers of the dashboard Overview: the cluster and the replicas of the topics, as consoles read them."""

from monitoring.panels import OVER, WATCHING, Limit, Panel, Query, Words, figure, graph
from monitoring.promql import series
from scorer.monitor.families import (
    BELOW_MIN_INSYNC,
    BROKERS,
    END_OFFSET,
    MISSING_BROKERS,
    NOT_PREFERRED,
    OFFLINE_PARTITIONS,
    TOPIC_PARTITIONS,
    UNDER_REPLICATED,
    Metric,
)


def brokers() -> list[Panel]:
    """The panels."""
    return [*_broker_figures(), *_partition_figures(), *_graphs()]


def _by_topic(metric: Metric) -> str:
    """Several consoles of a job read the same."""
    return f"max by (job, topic) ({series(metric, WATCHING)})"


def _total(metric: Metric) -> str:
    return f"sum({_by_topic(metric)})"


def _broker_figures() -> list[Panel]:
    return [
        figure(
            Words(
                "Brokers",
                "Brokers in the cluster's metadata.",
                "fewer than you run: see Missing brokers. No value: no console is scraped, or no broker answers.",
            ),
            "none",
            Query(f"max({series(BROKERS, WATCHING)})"),
        ),
        figure(
            Words(
                "Missing brokers",
                "Brokers that have replicas of the scorer's topics, and are not in the cluster's metadata.",
                "they are down, or cannot reach the controllers. During a rolling restart one is missing at a time.",
            ),
            "none",
            Query(f"max({series(MISSING_BROKERS, WATCHING)})"),
            [Limit(1, "orange")],
        ),
    ]


def _partition_figures() -> list[Panel]:
    return [
        figure(
            Words(
                "Offline partitions",
                "Partitions of the scorer's topics without a leader, which nobody can read or write.",
                "for longer than an election takes: see the runbook of ScorerTopicOffline.",
            ),
            "none",
            Query(_total(OFFLINE_PARTITIONS)),
            [Limit(1, "red")],
        ),
        figure(
            Words(
                "Below min.insync.replicas",
                "Partitions of the scorer's topics with too few in-sync replicas, so that brokers reject writes.",
                "see the runbook of ScorerTopicBelowMinInsync. No value: the console lacks the permission "
                "DescribeConfigs on the topics.",
            ),
            "none",
            Query(_total(BELOW_MIN_INSYNC)),
            [Limit(1, "red")],
        ),
        figure(
            Words(
                "Under-replicated",
                "Partitions of the scorer's topics of which not all replicas are in sync.",
                "longer than the restart of a broker: see the runbook of ScorerTopicUnderReplicated.",
            ),
            "none",
            Query(_total(UNDER_REPLICATED)),
            [Limit(1, "orange")],
        ),
        figure(
            Words(
                "Not the preferred leader",
                "Share of the partitions that another replica leads than the preferred one.",
                "permanently: some brokers do more work than others. Run `kafka-leader-election.sh` with "
                "`--election-type preferred`, or set auto.leader.rebalance.enable.",
            ),
            "percentunit",
            Query(f"{_total(NOT_PREFERRED)} / {_total(TOPIC_PARTITIONS)}"),
        ),
    ]


def _graphs() -> list[Panel]:
    growth = f"clamp_min(deriv({series(END_OFFSET, WATCHING)}[{OVER}]), 0)"
    return [
        graph(
            Words(
                "Partitions by state",
                "Partitions without a leader, below min.insync.replicas, and under-replicated, by topic.",
                "several topics at the same time: a broker. A single topic: its replication factor or its settings.",
            ),
            "none",
            Query(_by_topic(OFFLINE_PARTITIONS), "{{topic}} offline"),
            Query(_by_topic(BELOW_MIN_INSYNC), "{{topic}} below min.insync.replicas"),
            Query(_by_topic(UNDER_REPLICATED), "{{topic}} under-replicated"),
        ),
        graph(
            Words(
                "Applications published",
                "Records published to the applications topic per second, with the markers of publishers' transactions.",
                "more than Results for minutes: the lag grows. Zero: publishers do not reach the brokers, or there is "
                "no traffic.",
            ),
            "cps",
            Query(f"max by (job, topic) ({growth})", "{{topic}}"),
        ),
    ]
