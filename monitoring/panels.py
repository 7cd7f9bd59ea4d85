"""What the dashboards are put together from: panels that say what they show and what to do, and variables."""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

from grafana_foundation_sdk.builders import common, heatmap, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.promql import series
from scorer.monitor.families import ASSIGNED, BUNDLE

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WORKERS: Final = 'namespace=~"$namespace", job=~"$job"'
"""The workers that are looked at: on all dashboards those of a group, and on one of them each by itself."""
OVER: Final = "$__rate_interval"
COLUMNS: Final = 24
TAG: Final = "scorer"

Panel = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, heatmap.Panel, table.Panel)


class Words(NamedTuple):
    """What a panel says of itself."""

    title: str
    shows: str
    when_wrong: str
    """When it looks wrong, and what to do then."""


class Query(NamedTuple):
    """A question to Prometheus, and what a series of the answer is called."""

    expression: str
    legend: str = ""


class Limit(NamedTuple):
    """From which value on a figure has which colour."""

    value: float
    color: str


def graph(
    words: Words, unit: str, *queries: Query, width: int = 12, stacked: bool = False, limits: Sequence[Limit] = ()
) -> timeseries.Panel:
    """Lines over time, from 0 up."""
    panel = (
        _say(timeseries.Panel(), words, width, 8)
        .unit(unit)
        .min(0)
        .fill_opacity(40 if stacked else 8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.TABLE)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    if limits:
        panel.thresholds(_limits(limits))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE))
    for query in _named(queries):
        panel.with_target(query.range())
    return panel


def figure(words: Words, unit: str, query: Query, limits: Sequence[Limit] = (), width: int = 4) -> stat.Panel:
    """One figure as it is now, and its line in small."""
    panel = (
        _say(stat.Panel(), words, width, 5)
        .unit(unit)
        .thresholds(_limits(limits))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for query_of in _named([query]):
        panel.with_target(query_of.range())
    return panel


def spread(words: Words, unit: str, query: Query, width: int = 12) -> heatmap.Panel:
    """A histogram over time, a column of buckets at a time."""
    panel = _say(heatmap.Panel(), words, width, 8).unit(unit).y_axis(heatmap.YAxisConfig().unit(unit))
    for query_of in _named([query]):
        panel.with_target(query_of.range().format(PromQueryFormat.HEATMAP))
    return panel


def listing(words: Words, query: Query, columns: Sequence[str], width: int = 12) -> table.Panel:
    """The labels of each series as it is now, and its value."""
    shown = {name: place for place, name in enumerate([*columns, "Value"])}
    only = models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(shown)}})
    in_order = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {}, "indexByName": shown, "renameByName": {"Value": "workers"}}
    )
    panel = (
        _say(table.Panel(), words, width, 8).show_header(True).with_transformation(only).with_transformation(in_order)
    )
    for query_of in _named([query]):
        panel.with_target(query_of.instant().format(PromQueryFormat.TABLE))
    return panel


def _say(panel: P, words: Words, width: int, height: int) -> P:
    description = f"{words.shows}\n\n**When it looks wrong:** {words.when_wrong}"
    panel.title(words.title).description(description).datasource(SOURCE).span(width).height(height)
    return panel


def _named(queries: Sequence[Query]) -> list[Dataquery]:
    return [
        Dataquery().ref_id(chr(ord("A") + place)).datasource(SOURCE).expr(query.expression).legend_format(query.legend)
        for place, query in enumerate(queries)
    ]


def _limits(limits: Sequence[Limit]) -> dashboards.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green"), *(models.Threshold(value=v, color=c) for v, c in limits)]
    return dashboards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def dashboard(name: str, description: str, rows: dict[str, list[Panel]], *, by_instance: bool) -> models.Dashboard:
    """A dashboard.

    Args:
        name: what it is called among the scorer's.
        description: what it is for.
        rows: the panels by the title of their row.
        by_instance: whether single workers can be chosen.
    """
    builder = (
        dashboards.Dashboard(f"Scorer / {name}")
        .uid(f"scorer-{name.lower()}")
        .description(description)
        .tags([TAG])
        .editable()
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_to_the_others())
        .annotation(_Deployments())
    )
    for variable in _variables(by_instance=by_instance):
        builder.with_variable(variable)
    for title, panels in rows.items():
        builder.with_row(dashboards.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    made = builder.build()
    for number, part in enumerate(made.panels or [], 1):
        part.id_val = number  # by which a link leads to a panel
    return made


def _to_the_others() -> dashboards.DashboardLink:
    return (
        dashboards.DashboardLink("Scorer")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _variables(*, by_instance: bool) -> list[dashboards.DatasourceVariable | dashboards.QueryVariable]:
    in_namespace = series(ASSIGNED, 'namespace=~"$namespace"')
    found: list[dashboards.DatasourceVariable | dashboards.QueryVariable] = [
        dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _choice("namespace", f"label_values({series(ASSIGNED)}, namespace)"),
        _choice("job", f"label_values({in_namespace}, job)"),
    ]
    if by_instance:
        found.append(_choice("instance", f"label_values({series(ASSIGNED, WORKERS)}, instance)"))
    return found


def _choice(name: str, query: str) -> dashboards.QueryVariable:
    """Any or all of a label's values; all of them match a label that is not there, too."""
    return (
        dashboards.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


class _PrometheusAnnotation(models.AnnotationQuery):
    """An annotation with what Prometheus' plugin reads of it, which the schema leaves out."""

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"step": "60s", "titleFormat": "{{slot}}: {{name}}:{{version}}"}


class _Deployments(Builder[models.AnnotationQuery]):
    """A mark wherever a bundle is in a slot that was not in it, anywhere, a minute before."""

    def build(self) -> models.AnnotationQuery:
        now = f"max by (slot, name, version) ({series(BUNDLE, WORKERS)})"
        before = f"max by (slot, name, version) ({series(BUNDLE, WORKERS)} offset 1m)"
        return _PrometheusAnnotation(
            name="Deployments", datasource=SOURCE, icon_color="purple", expr=f"{now} unless {before}"
        )
