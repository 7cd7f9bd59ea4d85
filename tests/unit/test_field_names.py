"""No code knows a lender's fields: they are in contracts, and the shipped one is an example like any other."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from schemas.contracts import shipped_contract

ROOT = Path(__file__).parents[2]
NAMES = frozenset(shipped_contract().inputs)
"""The 13 fields of the shipped contract. Its id is not among them: a decision has an `application_id`, too."""
ROOMS = ("scorer", "producer")

EXCEPTED: Final[Mapping[str, Mapping[str, str]]] = {
    "scorer/author/build.py": {"age": "the prohibited basis, as x-prohibited of a contract names it"},
    "scorer/author/propose.py": {"age": "the prohibited basis, as x-prohibited of a contract names it"},
    "scorer/author/finding.py": {"age": "a rule's name", "income": "a rule's name"},
    "scorer/author/policy_check.py": {
        "age": "the prohibited basis, as x-prohibited of a contract names it, and a rule's name"
    },
    "scorer/author/lint.py": {
        "age": "the prohibited basis, and a rule's name: fields called so are of this basis without being marked",
        "income": "a rule's name",
        "job": "the rule on income from part-time work recognizes it by the shipped contract's category job=partime",
    },
    "scorer/cli/dry_run.py": {"records": "a key of the output for scripts: a number of Kafka records"},
    "scorer/local/view.py": {"records": "a key of the worker's log lines: a number of Kafka records"},
    "scorer/log_lines.py": {"time": "a key of log lines: when it was logged"},
    "scorer/logs.py": {"records": "a key of log lines: a number of Kafka records"},
}
"""Words that are also the name of a field, by file, and why they are there. None is in the rooms of the next list."""
WITHOUT_EXCEPTION = ("core", "bundle", "replay", "console", "monitor", "stream", "operate", "process.py")
"""The rooms of `scorer` that decide, operate and show; `producer` has no exception either."""


def _texts(path: Path) -> Iterator[str]:
    """The string constants of a module that are not docstrings or other statements of their own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
            yield node.value


def _names_in(text: str) -> set[str]:
    """The fields that a text names in code: alone, as a column (`home=rent`), or in quotes, as in JSON."""
    return {name for name in NAMES if text == name or text.startswith(f"{name}=") or f'"{name}"' in text}


def _found() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            names = {name for text in _texts(path) for name in _names_in(text)}
            if names:
                found[path.relative_to(ROOT).as_posix()] = names
    return found


def test_the_texts_that_name_fields_are_found() -> None:
    """A constant, a column and JSON count; sentences and examples in help texts do not."""
    assert len(NAMES) == 13
    assert _names_in("home") == _names_in("home=rent") == _names_in('{"home":"rent"}') == {"home"}
    assert _names_in("no home folder") == _names_in("at_home") == set()


def test_no_code_names_a_field_of_the_shipped_contract() -> None:
    """Another lender's contract needs no change of code; and what is excepted exists, word for word."""
    assert _found() == {path: set(reasons) for path, reasons in EXCEPTED.items()}


def test_what_decides_and_publishes_has_no_exception() -> None:
    """The decision path, operations, the console and publishers name no field at all."""
    rooms = tuple(f"scorer/{room}" for room in WITHOUT_EXCEPTION)
    assert not [path for path in EXCEPTED if path.startswith((*rooms, "producer/"))]
