"""The dashboard Overview: health, objectives, results, and decisions per bundle."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import recording, rules
from monitoring.brokers import brokers
from monitoring.panels import OVER, WATCHING, WORKERS, Limit, Panel, Query, Words, dashboard, figure, graph, listing
from monitoring.promql import ALERTMANAGERS, quantile, rate, series, total
from scorer.monitor.families import (
    ASSIGNED,
    BUNDLE,
    CONSUMED,
    DECISIONS,
    FAULTS,
    GROUP_LAG,
    GROUP_MEMBERS,
    LAG,
    LATENCY,
    OLDEST_REVIEW,
    REJECTS,
    REPLAY_PROGRESS,
    REVIEWS,
    SWAPS,
    WAITING_REVIEWS,
)


def overview(runbooks: str) -> Dashboard:
    """The dashboard.

    Args:
        runbooks: URL below which each runbook has the name of its alert.
    """
    return dashboard(
        "Overview",
        "Health of the scorer, and decisions per bundle. Start here; the alerts' runbooks refer to these panels.",
        {
            "Health": [*_health(), _approved(), *_backlog(), _firing_alerts(runbooks)],
            "Objectives": _objectives(),
            "Applications": _applications(),
            "Bundles and workers": _bundles(),
            "Brokers": brokers(),
            "Reviews": _reviews(),
        },
        by_instance=False,
    )


def _health() -> list[Panel]:
    return [
        figure(
            Words(
                "Alerts",
                "Number of firing alerts of the scorer.",
                "see Firing alerts below, which links to the runbook of each.",
            ),
            "none",
            Query('count(ALERTS{alertname=~"Scorer.*", alertstate="firing"}) or vector(0)'),
            [Limit(1, "red")],
        ),
        figure(
            Words(
                "Workers",
                "Workers that Prometheus can scrape.",
                "fewer than you run: see the runbook of ScorerWorkerDown. More than partitions: the rest are idle.",
            ),
            "none",
            Query(f"sum(up{{{WORKERS}}})"),
        ),
        figure(
            Words(
                "Applications",
                "Applications per second that were decided or rejected, and committed.",
                "zero while applications are published: see Lag and Alerts. Otherwise there may be no traffic.",
            ),
            "cps",
            Query(rate(series(CONSUMED, WORKERS), OVER)),
        ),
        figure(
            Words(
                "Lag",
                "Applications that wait to be decided, in all partitions assigned to workers.",
                "grows for minutes: more arrive than are decided. Start workers, up to the number of partitions.",
            ),
            "short",
            Query(total(series(LAG, WORKERS))),
        ),
        figure(
            Words(
                "Latency, p99",
                "99th percentile of the time from an application's timestamp to the commit of its decision.",
                "with lag, applications are queueing: see Lag. Without, see the stages on the dashboard Worker.",
            ),
            "s",
            Query(quantile(0.99, LATENCY, OVER, WORKERS)),
            [Limit(recording.LATENCY_WITHIN_S, "red")],
        ),
        figure(
            Words(
                "Dead letters",
                "Share of records that could not be decided and became dead letters.",
                "see Dead letters by code below; `scorer dlq list` shows them with their reasons.",
            ),
            "percentunit",
            Query(f"{rate(series(REJECTS, WORKERS), OVER)} / {rate(series(CONSUMED, WORKERS), OVER)}"),
            [Limit(recording.DEAD_LETTERS.budget, "red")],
        ),
    ]


def _approved() -> Panel:
    approved = rate(series(DECISIONS, WORKERS, 'decision="APPROVED"'), OVER)
    return figure(
        Words(
            "Approved",
            "Share of the decisions that are APPROVED.",
            "changes without a deployment: different applicants or wrong data; see the dashboard Model.",
        ),
        "percentunit",
        Query(f"{approved} / {rate(series(DECISIONS, WORKERS), OVER)}"),
    )


def _backlog() -> list[Panel]:
    """What the console reads of the group, also without workers."""
    lag = f"max by (job, topic, partition) ({series(GROUP_LAG, WATCHING)})"
    return [
        figure(
            Words(
                "Workers in the group",
                "Members of the consumer groups, as the consoles read them from Kafka.",
                "fewer than Workers: a worker has not joined yet, or left; see its log. No value: no console is "
                "scraped, or no broker answers.",
            ),
            "none",
            Query(f"sum(max by (job) ({series(GROUP_MEMBERS, WATCHING)}))"),
        ),
        _undelivered_alerts(),
        graph(
            Words(
                "Backlog (also without workers)",
                "Applications that wait to be decided, as the console reads them from Kafka: total per console.",
                "grows while Lag has no value: no worker runs; see the runbook of ScorerBacklogWithoutWorkers.",
            ),
            "short",
            Query(f"sum by (job) ({lag})", "{{job}}"),
        ),
    ]


def _firing_alerts(runbooks: str) -> Panel:
    return listing(
        Words(
            "Firing alerts",
            "Alerts of the scorer that fire now; the name of each links to its runbook.",
            "follow the link of a page first, then those of tickets.",
        ),
        Query('count by (alertname, severity, namespace, job) (ALERTS{alertname=~"Scorer.*", alertstate="firing"})'),
        ["alertname", "severity", "namespace", "job"],
        value="alerts",
        links={"alertname": f"{runbooks.rstrip('/')}/${{__value.text}}"},
        width=24,
    )


def _undelivered_alerts() -> Panel:
    without = f"alertmanager_receivers{{{ALERTMANAGERS}}} - alertmanager_integrations{{{ALERTMANAGERS}}}"
    failed = f"alertmanager_notifications_failed_total{{{ALERTMANAGERS}}}"
    return figure(
        Words(
            "Undelivered alerts",
            "Receivers of Alertmanager without an integration, and notifications that failed in 15 minutes.",
            "nobody is notified of alerts: see the runbook of ScorerAlertsUndelivered. No value: Prometheus does not "
            "scrape Alertmanager.",
        ),
        "none",
        Query(f"sum(clamp_min({without}, 0)) + sum(increase({failed}[15m]))"),
        [Limit(1, "red")],
    )


def _burn_rate(objective: recording.Objective, title: str, target: str) -> Panel:
    def query(window: str) -> Query:
        return Query(f"{objective.recorded(window)}{{{WORKERS}}} / {objective.budget:g}", f"{window} {{{{job}}}}")

    return graph(
        Words(
            title,
            f"Burn rate of the error budget of the objective: {target}. At 1 it lasts exactly thirty days; at 14.4, "
            "2% of it is used in an hour.",
            "above 14.4 over an hour or 6 over six hours, an alert pages; see its runbook.",
        ),
        "none",
        *(query(window) for window in ("1h", "6h", "3d")),
        limits=[Limit(1, "yellow"), Limit(6, "orange"), Limit(14.4, "red")],
    )


def _objectives() -> list[Panel]:
    return [
        _burn_rate(
            recording.SLOW,
            "Burn rate: latency",
            f"{recording.SLOW.promised:.0%} of applications are decided within {recording.LATENCY_WITHIN_S:g} s",
        ),
        _burn_rate(
            recording.DEAD_LETTERS,
            "Burn rate: dead letters",
            f"{recording.DEAD_LETTERS.promised:.0%} of records can be decided",
        ),
    ]


def _applications() -> list[Panel]:
    return [
        graph(
            Words(
                "Results",
                "Results per second: decisions by label, and dead letters.",
                "one label disappears or dominates: compare with deployments (purple markers), then see Model.",
            ),
            "cps",
            Query(rate(series(DECISIONS, WORKERS), OVER, "decision"), "{{decision}}"),
            Query(rate(series(REJECTS, WORKERS), OVER), "dead letter"),
            stacked=True,
        ),
        graph(
            Words(
                "Latency",
                "Time from an application's timestamp to the commit of its decision: p50, p95 and p99.",
                "all three rise together: the broker or the machine is slow. Only p99: pauses, such as rebalances.",
            ),
            "s",
            *(Query(quantile(q, LATENCY, OVER, WORKERS), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
            limits=[Limit(recording.LATENCY_WITHIN_S, "red")],
        ),
        graph(
            Words(
                "Lag, total and largest",
                "Waiting applications: in all partitions, and in the partition with the most.",
                "all of it in one partition: one key has most applications, or one worker is slow; see Worker.",
            ),
            "short",
            Query(total(series(LAG, WORKERS)), "total"),
            Query(f"max({series(LAG, WORKERS)})", "largest partition"),
        ),
        graph(
            Words(
                "Dead letters by code",
                "Dead letters per second, by rejection code.",
                "a new code: a publisher has changed. `model_error`: the bundle fails; roll it back.",
            ),
            "cps",
            Query(rate(series(REJECTS, WORKERS), OVER, "code"), "{{code}}"),
            stacked=True,
        ),
    ]


def _bundles() -> list[Panel]:
    failed = series(SWAPS, WORKERS, 'result="failed"')
    progress = series(REPLAY_PROGRESS, 'namespace=~"$namespace"')  # replays have their own job
    return [
        graph(
            Words(
                "Decisions by bundle",
                "Decisions per second, by bundle.",
                "two bundles for longer than a deployment takes: see the runbook of ScorerBundleMismatch.",
            ),
            "cps",
            Query(rate(series(DECISIONS, WORKERS), OVER, "bundle"), "{{bundle}}"),
            stacked=True,
        ),
        listing(
            Words(
                "Bundles",
                "Current bundle per slot, and the number of workers.",
                "several champions, or fewer workers than are running: a worker did not switch; see its /readyz.",
            ),
            Query(f"count by (slot, name, version, digest) ({series(BUNDLE, WORKERS)})"),
            ["slot", "name", "version", "digest"],
            value="workers",
            links={},
        ),
        graph(
            Words(
                "Partitions by worker",
                "Assigned partitions per worker.",
                "a worker without any: there are more workers than partitions, or it has just joined.",
            ),
            "none",
            Query(series(ASSIGNED, WORKERS), "{{instance}}"),
            stacked=True,
            width=8,
        ),
        graph(
            Words(
                "Failed deployments",
                "Failed attempts to load a deployed bundle, and malformed records in the deployment history, in five "
                "minutes.",
                "the workers keep the previous bundle; see the runbook of ScorerDeploymentsFailing.",
            ),
            "none",
            Query(f"sum(increase({failed}[5m]))", "failed loads"),
            Query(f"sum(increase({series(FAULTS, WORKERS)}[5m]))", "malformed records"),
            width=8,
        ),
        graph(
            Words(
                "Replays",
                "Progress of each replay, over all of its processes.",
                "no progress: start `scorer replay run` again; it resumes.",
            ),
            "percentunit",
            Query(f"max by (replay_id) ({progress})", "{{replay_id}}"),
            width=8,
        ),
    ]


def _reviews() -> list[Panel]:
    written = series(REVIEWS, WATCHING)
    approved = series(REVIEWS, WATCHING, 'label="APPROVED"')
    return [
        graph(
            Words(
                "Waiting reviews",
                "MAYBE decisions that wait for a review, if a console has reviewers.",
                "grows for days: more applications need a review than people can do; see the thresholds of the policy.",
            ),
            "none",
            Query(f"max by (job) ({series(WAITING_REVIEWS, WATCHING)})", "{{job}}"),
            width=8,
        ),
        graph(
            Words(
                "Oldest waiting review",
                "Age of the oldest MAYBE decision that waits for a review.",
                "above the line: see the runbook of ScorerReviewsWaiting.",
            ),
            "s",
            Query(f"max by (job) ({series(OLDEST_REVIEW, WATCHING)})", "{{job}}"),
            width=8,
            limits=[Limit(rules.REVIEW_WAITS_MAX_S, "red")],
        ),
        graph(
            Words(
                "Approved by reviewers",
                "Share of reviews that approve, in the last day.",
                "near 100% or 0%: the policy could decide these applications itself; simulate other thresholds.",
            ),
            "percentunit",
            Query(f"sum by (job) (increase({approved}[1d])) / sum by (job) (increase({written}[1d]))", "{{job}}"),
            width=8,
        ),
    ]
