"""Generates the chart's README from the comments in values.yaml; with `--check`, reports whether it is out of date."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

FOLDER: Final = Path(__file__).parent
README: Final = FOLDER / "README.md"
VALUES: Final = FOLDER / "values.yaml"

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
    """The values of a file, in its order: each key with a comment above it; what is below such a key belongs to it.

    Raises:
        ValueError: a key has neither a comment nor keys below it.
    """
    document = yaml.safe_load(text)
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    told: int | None = None  # the indent of the key that explains what is below it
    for line in text.splitlines():
        found = _line(line)
        if found is None or (told is not None and len(found["indent"]) > told):
            above = []
            continue
        told = None
        if found["comment"] is not None:
            above.append(found["comment"])
            continue
        indent = len(found["indent"])
        parents = [(depth, name) for depth, name in parents if depth < indent] + [(indent, found["key"])]
        keys = [name for _, name in parents]
        default = _at(document, keys)
        if above:
            yield Value(".".join(keys), " ".join(above), default)
            told, above = indent, []
        elif not isinstance(default, dict) or not default:
            raise ValueError(f"{'.'.join(keys)}: add a comment above it that describes it")


def readme(text: str) -> str:
    """The README for a values file's text: a table for each group, and one for what belongs to none."""
    groups: dict[str, list[Value]] = {}
    for value in values_of(text):
        group = value.path.partition(".")[0]
        groups.setdefault(group if "." in value.path else "", []).append(value)
    alone = groups.pop("", [])
    sections = [f"## {group}\n\n{_table(values)}" for group, values in groups.items()]
    return "\n".join([_HEAD, *sections, f"## For all pods\n\n{_table(alone)}"])


def _table(values: list[Value]) -> str:
    rows = [f"| `{value.path}` | `{_short(value.default)}` | {value.purpose} |" for value in values]
    return "\n".join(["| value | default | description |", "|---|---|---|", *rows]) + "\n"


def _short(default: object) -> str:
    return json.dumps(default, ensure_ascii=False)


def _at(document: Any, keys: list[str]) -> object:
    for key in keys:
        document = document[key]
    return document


def main(arguments: list[str] | None = None, target: Path = README) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m helm.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it is out of date")
    check = parser.parse_args(arguments).check
    made = readme(VALUES.read_text(encoding="utf-8"))
    if not check:
        target.write_text(made, encoding="utf-8")
        return 0
    if target.exists() and target.read_text(encoding="utf-8") == made:
        return 0
    sys.stderr.write(f"{target.name} is out of date: run `make fresh`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
