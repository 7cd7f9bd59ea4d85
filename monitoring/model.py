"""The dashboard Model: decisions per bundle, drift of probabilities, and champion compared with challenger."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring import recording, rules
from monitoring.panels import OVER, WORKERS, Limit, Panel, Query, Words, dashboard, graph, spread
from monitoring.promql import quantile, rate, series
from scorer.monitor.families import (
    ACCEPTED_BY_ONE,
    CHALLENGER_FAILURES,
    COMPARED,
    CONSUMED,
    DECISIONS,
    DISAGREEMENTS,
    FLIPS,
    PROBABILITY,
    REASONS,
    REJECTS,
    RULES,
    SWAPS,
)

PAIR = "champion, challenger"


def model() -> Dashboard:
    """The dashboard."""
    return dashboard(
        "Model",
        "Decisions and probabilities of default per bundle; purple markers are deployments.",
        {
            "Decisions": _decisions(),
            "Probability of default": _probabilities(),
            "Rejections and deployments": _rejections(),
            "Champion and challenger": _challenger(),
        },
        by_instance=False,
    )


def _decisions() -> list[Panel]:
    kinds = rate(series(DECISIONS, WORKERS), OVER, "bundle, decision")
    explained = rate(series(DECISIONS, 'decision!="APPROVED"', WORKERS), OVER, "bundle")
    reasons = rate(series(REASONS, WORKERS), OVER, "bundle, code")
    by_rule = rate(series(RULES, WORKERS), OVER, "bundle, rule")
    everything = rate(series(DECISIONS, WORKERS), OVER, "bundle")
    return [
        graph(
            Words(
                "Decisions by bundle",
                "Share of each label among a bundle's decisions.",
                "a jump at a purple marker is caused by the new bundle: was it intended? Otherwise the applicants or "
                "the data changed.",
            ),
            "percentunit",
            Query(f"{kinds} / on (bundle) group_left () ({everything} > 0)", "{{bundle}} {{decision}}"),
        ),
        graph(
            Words(
                "Decisions per second",
                "Decisions per second, by bundle.",
                "two bundles for longer than a deployment takes: see the runbook of ScorerBundleMismatch.",
            ),
            "cps",
            Query(everything, "{{bundle}}"),
            stacked=True,
        ),
        graph(
            Words(
                "Reasons by bundle",
                "Share of a bundle's decisions that are not APPROVED which name the reason; 0 without a catalogue.",
                "a reason becomes frequent without a deployment: different applicants, or a publisher fills its fields "
                "differently.",
            ),
            "percentunit",
            Query(f"{reasons} / on (bundle) group_left () ({explained} > 0) or vector(0)", "{{bundle}} {{code}}"),
        ),
        graph(
            Words(
                "Decisions by rule",
                "Share of a bundle's decisions that a rule of its policy made; 0 without rules.",
                "a rule decides more or less without a deployment: different applicants, or a publisher fills its "
                "fields differently.",
            ),
            "percentunit",
            Query(f"{by_rule} / on (bundle) group_left () ({everything} > 0) or vector(0)", "{{bundle}} {{rule}}"),
        ),
    ]


def _probabilities() -> list[Panel]:
    sums, counts = (rate(series(PROBABILITY, WORKERS, part=part), OVER, "bundle") for part in ("sum", "count"))
    return [
        graph(
            Words(
                "Mean by bundle",
                "Mean probability of default of a bundle's decisions.",
                "it changes without a deployment: different applicants, or a publisher fills a field differently.",
            ),
            "percentunit",
            Query(f"{sums} / ({counts} > 0)", "{{bundle}}"),
        ),
        graph(
            Words(
                "Quantiles by bundle",
                "Probability of default below which 25, 50 and 75% of a bundle's decisions are.",
                "all rise together: all applicants are riskier. They diverge: one group of applicants is.",
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
                "Number of decisions by probability of default.",
                "a new band: a new group of applicants, or wrong data.",
            ),
            "percentunit",
            Query(rate(series(PROBABILITY, WORKERS, part="bucket"), OVER, "le"), "{{le}}"),
        ),
        graph(
            Words(
                "Drift",
                "Distance between this hour's and this week's distribution: the largest difference of the two "
                "distribution functions, 0 to 1.",
                f"above {rules.DRIFT_MAX:g} for 30 minutes an alert fires; see the runbook of ScorerProbabilityDrift.",
            ),
            "none",
            Query(f"{recording.DRIFT}{{{WORKERS}}}", "{{bundle}}"),
            limits=[Limit(rules.DRIFT_MAX, "red")],
        ),
    ]


def _rejections() -> list[Panel]:
    return [
        graph(
            Words(
                "Share by code",
                "Share of all records that became dead letters, by rejection code.",
                "a new code: a publisher has changed. `scorer dlq list` shows the reasons.",
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
                "Bundle switches",
                "Switches of workers to a deployed champion in five minutes, by result.",
                "failed ones: the workers keep the previous bundle; see the runbook of ScorerDeploymentsFailing.",
            ),
            "none",
            Query(f"sum by (result) (increase({series(SWAPS, WORKERS)}[5m]))", "{{result}}"),
        ),
    ]


def _challenger() -> list[Panel]:
    disagreements, compared = (rate(series(metric, WORKERS), OVER, PAIR) for metric in (DISAGREEMENTS, COMPARED))
    accepted_by_one = rate(series(ACCEPTED_BY_ONE, WORKERS), OVER, f"{PAIR}, accepted_by")
    return [
        graph(
            Words(
                "Disagreements",
                "Share of applications for which the challenger's decision differs, or that only one of the two could "
                "decide.",
                "more than expected from training: examine single decisions with `scorer bundle diff` first.",
            ),
            "percentunit",
            Query(f"{disagreements} / ({compared} > 0)", "{{challenger}} vs. {{champion}}"),
            width=8,
        ),
        _flips(),
        graph(
            Words(
                "Accepted by one",
                "Share of applications that the contract of only one of the two accepts.",
                "the champion's share would become dead letters: see `scorer contract diff` and `deploy --dry-run`.",
            ),
            "percentunit",
            Query(
                f"{accepted_by_one} / on ({PAIR}) group_left () ({compared} > 0)",
                "{{accepted_by}} only: {{challenger}} vs. {{champion}}",
            ),
            width=8,
        ),
        graph(
            Words(
                "Compared",
                "Applications per second that both have scored.",
                "zero although a challenger is deployed: see Failures, and the workers' /readyz.",
            ),
            "cps",
            Query(compared, "{{challenger}} vs. {{champion}}"),
            width=12,
        ),
        graph(
            Words(
                "Failures",
                "Challengers that failed to load, and batches that a challenger failed to score, in five minutes.",
                "no decision is affected; the workers' logs give the reason. Retire or fix the challenger.",
            ),
            "none",
            Query(f"sum by (step) (increase({series(CHALLENGER_FAILURES, WORKERS)}[5m]))", "{{step}}"),
            width=12,
        ),
    ]


def _flips() -> Panel:
    flips = rate(series(FLIPS, WORKERS), OVER, f"{PAIR}, champion_decision, challenger_decision")
    compared = rate(series(COMPARED, WORKERS), OVER, PAIR)
    return graph(
        Words(
            "Flips by direction",
            "Share of compared applications that both decide, differently: from the champion's label to the "
            "challenger's.",
            "mostly from APPROVED, or mostly to it: the challenger is stricter, or more lenient. In both "
            "directions: it ranks applicants differently.",
        ),
        "percentunit",
        Query(
            f"{flips} / on ({PAIR}) group_left () ({compared} > 0)",
            "{{champion_decision}} to {{challenger_decision}}: {{challenger}}",
        ),
        width=8,
    )
