"""The README of the Helm chart, from the comments in values.yaml."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

_README: Final = "helm/README.md"
_VALUES: Final = "helm/values.yaml"

_line = re.compile(r"(?P<indent> *)(?:# ?(?P<comment>.*)|(?P<key>[\w.]+):.*)").fullmatch

_HEAD: Final = """\
# The scorer's Helm chart

Workers that turn every application on a Kafka topic into exactly one decision on another. [Kubernetes](../docs/kubernetes.md) describes how to install, scale, upgrade and roll back; this page lists all values.

```sh
helm install scorer helm --namespace credit --create-namespace --set kafka.bootstrapServers=kafka.data.svc:9092
```

Values that are not listed here, and values that contradict each other, are rejected. Those under `settings` are the scorer's settings, with their names in `scorer.toml`. Generated from [values.yaml](values.yaml) by `make fresh`.
"""


class Value(NamedTuple):
    """One value: its path by dots, what it is for, and its default."""

    path: str
    purpose: str
    default: Any


def values_of(text: str) -> Iterator[Value]:
    """The values of a file, in its order: each key with a comment above it; nested keys without a comment belong to it.

    Raises:
        ValueError: a key has neither a comment nor keys below it.
    """
    document = yaml.safe_load(text)
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    documented: int | None = None  # the indent of the key that explains what is below it
    for line in text.splitlines():
        match = _line(line)
        if match is None or (documented is not None and len(match["indent"]) > documented):
            above = []
            continue
        documented = None
        if match["comment"] is not None:
            above.append(match["comment"])
            continue
        indent = len(match["indent"])
        parents = [(depth, name) for depth, name in parents if depth < indent] + [(indent, match["key"])]
        keys = [name for _, name in parents]
        default = _at(document, keys)
        if above:
            yield Value(".".join(keys), " ".join(above), default)
            documented, above = indent, []
        elif not isinstance(default, dict) or not default:
            raise ValueError(f"{'.'.join(keys)}: add a comment above it that describes it")


def generate(root: Path) -> dict[str, bytes]:
    """The README by its path, for the values in a repository: a table per group, and one for the other values."""
    text = (root / _VALUES).read_text(encoding="utf-8")
    groups: dict[str, list[Value]] = {}
    for value in values_of(text):
        group = value.path.partition(".")[0]
        groups.setdefault(group if "." in value.path else "", []).append(value)
    alone = groups.pop("", [])
    sections = [f"## {group}\n\n{_table(values)}" for group, values in groups.items()]
    return {_README: "\n".join([_HEAD, *sections, f"## For all pods\n\n{_table(alone)}"]).encode()}


def _table(values: list[Value]) -> str:
    rows = [f"| `{value.path}` | `{_short(value.default)}` | {value.purpose} |" for value in values]
    return "\n".join(["| value | default | description |", "|---|---|---|", *rows]) + "\n"


def _short(default: object) -> str:
    return json.dumps(default, ensure_ascii=False)


def _at(document: Any, keys: list[str]) -> object:
    for key in keys:
        document = document[key]
    return document
