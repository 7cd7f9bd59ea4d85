"""The building blocks of the dashboards: panels with a description of what they show and what to do, and variables."""

from collections.abc import Mapping, Sequence
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

from monitoring.promql import CONSOLES, series
from scorer.monitor.families import ASSIGNED, BUNDLE

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
WORKERS: Final = 'namespace=~"$namespace", job=~"$job"'
"""Matches the selected workers: on all dashboards those of a job, and on one of them single workers too."""
WATCHING: Final = f'namespace=~"$namespace", {CONSOLES}'
"""Matches the consoles; they are not the selected job, which is of workers."""
OVER: Final = "$__rate_interval"
COLUMNS: Final = 24
TAG: Final = "scorer"

Panel = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel
P = TypeVar("P", timeseries.Panel, stat.Panel, heatmap.Panel, table.Panel)


class Words(NamedTuple):
    """The texts of a panel."""

    title: str
    shows: str
    when_wrong: str
    """What looks wrong, and what to do then."""


class Query(NamedTuple):
    """A Prometheus query, and the legend of its series."""

    expression: str
    legend: str = ""


class Limit(NamedTuple):
    """A threshold: the colour of values from this one on."""

    value: float
    color: str


def graph(
    words: Words, unit: str, *queries: Query, width: int = 12, stacked: bool = False, limits: Sequence[Limit] = ()
) -> timeseries.Panel:
    """Creates a time series panel, with a minimum of 0."""
    panel = (
        _described(timeseries.Panel(), words, width, 8)
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
    for target in _targets(queries):
        panel.with_target(target.range())
    return panel


def figure(words: Words, unit: str, query: Query, limits: Sequence[Limit] = (), width: int = 4) -> stat.Panel:
    """Creates a panel with the current value and a sparkline."""
    panel = (
        _described(stat.Panel(), words, width, 5)
        .unit(unit)
        .thresholds(_limits(limits))
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
    )
    for target in _targets([query]):
        panel.with_target(target.range())
    return panel


def spread(words: Words, unit: str, query: Query, width: int = 12) -> heatmap.Panel:
    """Creates a heatmap panel of a histogram over time."""
    panel = _described(heatmap.Panel(), words, width, 8).unit(unit).y_axis(heatmap.YAxisConfig().unit(unit))
    for target in _targets([query]):
        panel.with_target(target.range().format(PromQueryFormat.HEATMAP))
    return panel


def listing(
    words: Words, query: Query, columns: Sequence[str], value: str, links: Mapping[str, str], width: int = 12
) -> table.Panel:
    """Creates a table panel of the current series: their labels and values.

    Args:
        words: the texts.
        query: the series.
        columns: the labels to show, in this order.
        value: heading of the values.
        links: by column, the URL to which a cell links; in it, `${__value.text}` is the cell's text.
        width: in columns of the dashboard.
    """
    positions = {name: position for position, name in enumerate([*columns, "Value"])}
    only = models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(positions)}})
    in_order = models.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {}, "indexByName": positions, "renameByName": {"Value": value}}
    )
    panel = (
        _described(table.Panel(), words, width, 8)
        .show_header(True)
        .with_transformation(only)
        .with_transformation(in_order)
    )
    for column, url in links.items():
        link = {"title": "Runbook", "url": url, "targetBlank": True}
        panel.override_by_name(column, [models.DynamicConfigValue(id_val="links", value=[link])])
    for target in _targets([query]):
        panel.with_target(target.instant().format(PromQueryFormat.TABLE))
    return panel


def _described(panel: P, words: Words, width: int, height: int) -> P:
    description = f"{words.shows}\n\n**When it looks wrong:** {words.when_wrong}"
    panel.title(words.title).description(description).datasource(SOURCE).span(width).height(height)
    return panel


def _targets(queries: Sequence[Query]) -> list[Dataquery]:
    return [
        Dataquery().ref_id(chr(ord("A") + index)).datasource(SOURCE).expr(query.expression).legend_format(query.legend)
        for index, query in enumerate(queries)
    ]


def _limits(limits: Sequence[Limit]) -> dashboards.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green"), *(models.Threshold(value=v, color=c) for v, c in limits)]
    return dashboards.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def dashboard(name: str, description: str, rows: dict[str, list[Panel]], *, by_instance: bool) -> models.Dashboard:
    """Creates a dashboard.

    Args:
        name: title of the dashboard, without the prefix "Scorer / ".
        description: purpose of the dashboard.
        rows: panels by row title.
        by_instance: whether single workers can be selected.
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
        .link(_link_to_others())
        .annotation(_Deployments())
    )
    for variable in _variables(by_instance=by_instance):
        builder.with_variable(variable)
    for title, panels in rows.items():
        builder.with_row(dashboards.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    model = builder.build()
    for number, part in enumerate(model.panels or [], 1):
        part.id_val = number  # links to panels use it
    return model


def _link_to_others() -> dashboards.DashboardLink:
    return (
        dashboards.DashboardLink("Scorer")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def _variables(*, by_instance: bool) -> list[dashboards.DatasourceVariable | dashboards.QueryVariable]:
    in_namespace = series(ASSIGNED, 'namespace=~"$namespace"')
    variables: list[dashboards.DatasourceVariable | dashboards.QueryVariable] = [
        dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus"),
        _label_variable("namespace", f"label_values({series(ASSIGNED)}, namespace)"),
        _label_variable("job", f"label_values({in_namespace}, job)"),
    ]
    if by_instance:
        variables.append(_label_variable("instance", f"label_values({series(ASSIGNED, WORKERS)}, instance)"))
    return variables


def _label_variable(name: str, query: str) -> dashboards.QueryVariable:
    """A variable for any or all values of a label; "all" also matches series without the label."""
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
    """An annotation with properties that the Prometheus plugin reads and the schema lacks."""

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {"step": "60s", "titleFormat": "{{slot}}: {{name}}:{{version}}"}


class _Deployments(Builder[models.AnnotationQuery]):
    """Marks the times when a bundle is in a slot in which it was not a minute before, on any worker."""

    def build(self) -> models.AnnotationQuery:
        now = f"max by (slot, name, version) ({series(BUNDLE, WORKERS)})"
        before = f"max by (slot, name, version) ({series(BUNDLE, WORKERS)} offset 1m)"
        return _PrometheusAnnotation(
            name="Deployments", datasource=SOURCE, icon_color="purple", expr=f"{now} unless {before}"
        )
