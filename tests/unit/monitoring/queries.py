"""The queries of the generated dashboards and rules, as Grafana and Prometheus read them, and the metrics in them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from generators.__main__ import ROOT

RULES = ROOT / "monitoring" / "prometheus" / "rules"
BOARDS = sorted((ROOT / "monitoring" / "grafana" / "dashboards").glob("*.json"))


class Query(NamedTuple):
    """An expression, and where it stands."""

    where: str
    expression: str


def boards() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each dashboard's file, read."""
    for path in BOARDS:
        yield path, json.loads(path.read_text(encoding="utf-8"))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """A dashboard's panels, without the rows' titles."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def of_panels() -> list[Query]:
    """Every query of every panel and annotation."""
    queries = []
    for path, board in boards():
        queries += [
            Query(f"{path.stem}/{panel['title']}/{target['refId']}", target["expr"])
            for panel in panels(board)
            for target in panel["targets"]
        ]
        queries += [Query(f"{path.stem}/@{mark['name']}", mark["expr"]) for mark in board["annotations"]["list"]]
    return queries


def of_variables() -> list[Query]:
    """Every query by which a dashboard's variables get their values."""
    return [
        Query(f"{path.stem}/${variable['name']}", variable["query"])
        for path, board in boards()
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    ]


def rules(file: str) -> list[dict[str, Any]]:
    """The rules in a file."""
    document = yaml.safe_load((RULES / file).read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def of_rules() -> list[Query]:
    """Every expression of every rule."""
    return [
        Query(rule.get("record") or rule["alert"], rule["expr"])
        for f in ("recording.yml", "alerts.yml")
        for rule in rules(f)
    ]


_NOISE = re.compile(
    r"""
    "[^"]*"                                                         # strings
    | \b(?:by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)  # names of labels
    | \{[^}]*\} | \[[^]]*\]                                         # matchers and durations
    | \boffset\s+\w+
    | ,\s*\w+\)$                                                    # label_values(series, label)
    """,
    re.VERBOSE,
)
_OPERATORS = {"and", "or", "unless", "bool"}


def metrics_in(expression: str) -> set[str]:
    """The names of the series that an expression reads: what is neither a function nor a label nor an operator."""
    bare = _NOISE.sub(" ", _NOISE.sub(" ", expression))
    return set(re.findall(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()", bare)) - _OPERATORS


def selectors_in(expression: str) -> set[str]:
    """What an expression reads, each as a query that returns the series themselves."""
    return set(re.findall(r"[a-zA-Z_:][\w:]*\{[^}]*\}", expression)) | {
        name for name in metrics_in(expression) if f"{name}{{" not in expression
    }
