"""The dashboard Overview: is it healthy, and who decided what."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import rules
from monitoring.panels import OVER, WORKERS, Limit, Panel, Query, Words, dashboard, figure, graph, listing
from monitoring.promql import quantile, rate, series, total
from scorer.monitor.families import (
    ASSIGNED,
    BUNDLE,
    CONSUMED,
    DECISIONS,
    FAULTS,
    LAG,
    LATENCY,
    REJECTS,
    REPLAY_PROGRESS,
    SWAPS,
)


def overview() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "Overview",
        "Is the scorer healthy, and who decided what? Begin here; the alerts' runbooks lead back here too.",
        {
            "Is it healthy?": _health(),
            "Objectives": _objectives(),
            "Applications": _applications(),
            "Who decided what": _deciders(),
        },
        by_instance=False,
    )


def _health() -> list[Panel]:
    share = f"{rate(series(REJECTS, WORKERS), OVER)} / {rate(series(CONSUMED, WORKERS), OVER)}"
    return [
        figure(
            Words(
                "Alerts",
                "How many alerts of the scorer are firing now.",
                "open Prometheus' page of alerts; each alert links to its runbook.",
            ),
            "none",
            Query('count(ALERTS{alertname=~"Scorer.*", alertstate="firing"}) or vector(0)'),
            [Limit(1, "red")],
        ),
        figure(
            Words(
                "Workers",
                "Workers that answer Prometheus.",
                "fewer than you run: see ScorerWorkerDown's runbook. More than partitions: the surplus idles.",
            ),
            "none",
            Query(f"sum(up{{{WORKERS}}})"),
        ),
        figure(
            Words(
                "Applications",
                "Applications a second that were decided or set aside, and committed.",
                "nothing while applications are published: look at Lag and at Alerts. Nothing at all may be the night.",
            ),
            "cps",
            Query(rate(series(CONSUMED, WORKERS), OVER)),
        ),
        figure(
            Words(
                "Lag",
                "Applications that wait to be decided, in all partitions that the workers have.",
                "if it grows for minutes, more arrive than are decided: start workers, up to the number of partitions.",
            ),
            "short",
            Query(total(series(LAG, WORKERS))),
        ),
        figure(
            Words(
                "Latency, p99",
                "99 of 100 applications took less than this from their timestamp to the commit of their decision.",
                "with lag they wait for their turn: see Lag. Without, see the stages on the dashboard Worker.",
            ),
            "s",
            Query(quantile(0.99, LATENCY, OVER, WORKERS)),
            [Limit(rules.LATENCY_WITHIN_S, "red")],
        ),
        figure(
            Words(
                "Dead letters",
                "The share of records that could not be decided and were set aside.",
                "Dead letters by code, below, says why; `scorer dlq list` shows them with their reasons.",
            ),
            "percentunit",
            Query(share),
            [Limit(rules.DEAD_LETTERS.budget, "red")],
        ),
    ]


def _burn(objective: rules.Objective, title: str, promise: str) -> Panel:
    def burned(window: str) -> Query:
        return Query(f"{objective.recorded(window)}{{{WORKERS}}} / {objective.budget:g}", f"{window} {{{{job}}}}")

    return graph(
        Words(
            title,
            f"How fast the budget of a promise burns: {promise}. At 1 it lasts exactly the thirty days that it is for; "
            "at 14.4 a fiftieth of it is gone in an hour.",
            "above 14.4 over an hour or 6 over six, somebody is paged; see the alert's runbook.",
        ),
        "none",
        *(burned(window) for window in ("1h", "6h", "3d")),
        limits=[Limit(1, "yellow"), Limit(6, "orange"), Limit(14.4, "red")],
    )


def _objectives() -> list[Panel]:
    return [
        _burn(
            rules.SLOW,
            "Burn rate: latency",
            f"{rules.SLOW.promised:.0%} of the applications are decided within {rules.LATENCY_WITHIN_S:g} s",
        ),
        _burn(
            rules.DEAD_LETTERS,
            "Burn rate: dead letters",
            f"{rules.DEAD_LETTERS.promised:.0%} of the records can be decided",
        ),
    ]


def _applications() -> list[Panel]:
    return [
        graph(
            Words(
                "Outcomes",
                "What became of applications, a second: decisions by kind, and dead letters.",
                "a kind that vanishes or takes over: compare with the deployments (purple marks), then see Model.",
            ),
            "cps",
            Query(rate(series(DECISIONS, WORKERS), OVER, "decision"), "{{decision}}"),
            Query(rate(series(REJECTS, WORKERS), OVER), "dead letter"),
            stacked=True,
        ),
        graph(
            Words(
                "Latency",
                "From an application's timestamp to the commit of its decision: half of them, 95 and 99 of 100 took "
                "less than this.",
                "all three rise together: the broker or the machine is slow. Only p99: pauses, such as rebalances.",
            ),
            "s",
            *(Query(quantile(q, LATENCY, OVER, WORKERS), f"p{q * 100:g}") for q in (0.5, 0.95, 0.99)),
            limits=[Limit(rules.LATENCY_WITHIN_S, "red")],
        ),
        graph(
            Words(
                "Lag, all and longest",
                "Applications that wait: in all partitions, and in the one that has most.",
                "all of it in one partition: one key has most applications, or one worker is slow; see Worker.",
            ),
            "short",
            Query(total(series(LAG, WORKERS)), "all"),
            Query(f"max({series(LAG, WORKERS)})", "the longest"),
        ),
        graph(
            Words(
                "Dead letters by code",
                "Records a second that were set aside, by the reason.",
                "one code from nothing: a publisher has changed. `model_error`: the bundle; roll it back.",
            ),
            "cps",
            Query(rate(series(REJECTS, WORKERS), OVER, "code"), "{{code}}"),
            stacked=True,
        ),
    ]


def _deciders() -> list[Panel]:
    failed = series(SWAPS, WORKERS, 'outcome="failed"')
    of_replays = series(REPLAY_PROGRESS, 'namespace=~"$namespace"')  # replays have a job of their own
    return [
        graph(
            Words(
                "Decisions by bundle",
                "Decisions a second by the bundle that made them.",
                "two for longer than a deployment takes: see ScorerBundleMismatch's runbook.",
            ),
            "cps",
            Query(rate(series(DECISIONS, WORKERS), OVER, "bundle"), "{{bundle}}"),
            stacked=True,
        ),
        listing(
            Words(
                "Bundles",
                "What is in each slot now, and in how many workers.",
                "more than one champion, or fewer workers than there are: a worker did not follow; ask its /readyz.",
            ),
            Query(f"count by (slot, name, version, digest) ({series(BUNDLE, WORKERS)})"),
            ["slot", "name", "version", "digest"],
        ),
        graph(
            Words(
                "Partitions by worker",
                "How many partitions each worker has.",
                "a worker without any: there are more workers than partitions, or it has just come.",
            ),
            "none",
            Query(series(ASSIGNED, WORKERS), "{{instance}}"),
            stacked=True,
            width=8,
        ),
        graph(
            Words(
                "Deployments that failed",
                "Attempts in five minutes to load a deployed bundle that failed, and lines of the history that are "
                "no events.",
                "the workers go on with the bundle before; see ScorerSwapsFailing's runbook.",
            ),
            "none",
            Query(f"sum(increase({failed}[5m]))", "bundles not loaded"),
            Query(f"sum(increase({series(FAULTS, WORKERS)}[5m]))", "lines that are no events"),
            width=8,
        ),
        graph(
            Words(
                "Replays",
                "How much of each replay is done, by whichever processes work on it.",
                "it stands still: start `scorer replay run` again, it goes on where it was.",
            ),
            "percentunit",
            Query(f"max by (replay_id) ({of_replays})", "{{replay_id}}"),
            width=8,
        ),
    ]
