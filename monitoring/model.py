"""The dashboard Model: what each bundle decides, how its probabilities move, and what a challenger would say."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import rules
from monitoring.panels import OVER, WORKERS, Limit, Panel, Query, Words, dashboard, graph, spread
from monitoring.promql import quantile, rate, series
from scorer.monitor.families import (
    CHALLENGER_FAILURES,
    COMPARED,
    CONSUMED,
    DECISIONS,
    DISAGREEMENTS,
    PROBABILITY,
    REJECTS,
    SWAPS,
)

PAIR = "champion, challenger"


def model() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "Model",
        "What each bundle decides and how its probabilities of default move; purple marks are deployments.",
        {
            "Decisions": _decisions(),
            "Probability of default": _probabilities(),
            "Records that cannot be decided": _refusals(),
            "Champion against challenger": _challenger(),
        },
        by_instance=False,
    )


def _decisions() -> list[Panel]:
    kinds = rate(series(DECISIONS, WORKERS), OVER, "bundle, decision")
    everything = rate(series(DECISIONS, WORKERS), OVER, "bundle")
    return [
        graph(
            Words(
                "Decisions by bundle",
                "The share of each decision among a bundle's.",
                "a jump at a purple mark is the new bundle's doing: was it meant? Else other people apply, or data "
                "changed.",
            ),
            "percentunit",
            Query(f"{kinds} / on (bundle) group_left () ({everything} > 0)", "{{bundle}} {{decision}}"),
        ),
        graph(
            Words(
                "Decisions a second",
                "How many decisions each bundle makes.",
                "two bundles for longer than a deployment takes: see ScorerBundleMismatch's runbook.",
            ),
            "cps",
            Query(everything, "{{bundle}}"),
            stacked=True,
        ),
    ]


def _probabilities() -> list[Panel]:
    sums, counts = (rate(series(PROBABILITY, WORKERS, part=part), OVER, "bundle") for part in ("sum", "count"))
    return [
        graph(
            Words(
                "Mean by bundle",
                "The mean probability of default among a bundle's decisions.",
                "it moves without a deployment: other applicants, or a field that a publisher fills otherwise.",
            ),
            "percentunit",
            Query(f"{sums} / ({counts} > 0)", "{{bundle}}"),
        ),
        graph(
            Words(
                "Quantiles by bundle",
                "A quarter, half and three quarters of a bundle's decisions have a lower probability of default.",
                "they move together: all applicants are riskier. Apart: a group of them is.",
            ),
            "percentunit",
            *(
                Query(quantile(q, PROBABILITY, OVER, WORKERS, by="bundle"), f"{{{{bundle}}}} p{q * 100:g}")
                for q in (0.25, 0.5, 0.75)
            ),
        ),
        spread(
            Words(
                "Distribution",
                "How many decisions have which probability of default.",
                "a band where there was none: a group of applicants, or of bad data, that is new.",
            ),
            "percentunit",
            Query(rate(series(PROBABILITY, WORKERS, part="bucket"), OVER, "le"), "{{le}}"),
        ),
        graph(
            Words(
                "Drift",
                "How far this hour's distribution is from this week's: the largest distance of the two distribution "
                "functions, 0 to 1.",
                f"above {rules.DRIFT_MAX:g} for half an hour it is an alert; see ScorerProbabilityDrift's runbook.",
            ),
            "none",
            Query(f"{rules.DRIFT}{{{WORKERS}}}", "{{bundle}}"),
            limits=[Limit(rules.DRIFT_MAX, "red")],
        ),
    ]


def _refusals() -> list[Panel]:
    return [
        graph(
            Words(
                "Share by code",
                "The share of all records that were set aside, by the reason.",
                "one code from nothing: a publisher has changed. `scorer dlq list` shows the reasons.",
            ),
            "percentunit",
            Query(
                f"{rate(series(REJECTS, WORKERS), OVER, 'code')}"
                f" / on () group_left () ({rate(series(CONSUMED, WORKERS), OVER)} > 0)",
                "{{code}}",
            ),
            stacked=True,
        ),
        graph(
            Words(
                "Swaps",
                "Deployed champions in five minutes that workers took over, or could not load.",
                "failed ones: the workers go on with the bundle before; see ScorerSwapsFailing's runbook.",
            ),
            "none",
            Query(f"sum by (outcome) (increase({series(SWAPS, WORKERS)}[5m]))", "{{outcome}}"),
        ),
    ]


def _challenger() -> list[Panel]:
    differ, asked = (rate(series(metric, WORKERS), OVER, PAIR) for metric in (DISAGREEMENTS, COMPARED))
    return [
        graph(
            Words(
                "Would decide otherwise",
                "The share of applications that the challenger would have decided otherwise, or that only one of the "
                "two could decide.",
                "more than its training let you expect: look into single decisions with `scorer bundle diff` first.",
            ),
            "percentunit",
            Query(f"{differ} / ({asked} > 0)", "{{challenger}} against {{champion}}"),
            width=8,
        ),
        graph(
            Words(
                "Compared",
                "Applications a second that both have scored.",
                "nothing although a challenger is deployed: see Failures, and the workers' /readyz.",
            ),
            "cps",
            Query(asked, "{{challenger}} against {{champion}}"),
            width=8,
        ),
        graph(
            Words(
                "Failures",
                "Challengers in five minutes that could not be loaded, and batches that one could not score.",
                "no decision is touched; the workers' logs say why. Retire it or put it right.",
            ),
            "none",
            Query(f"sum by (step) (increase({series(CHALLENGER_FAILURES, WORKERS)}[5m]))", "{{step}}"),
            width=8,
        ),
    ]
