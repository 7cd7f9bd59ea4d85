"""What people read is plain technical English, without the words and phrases that only this project used."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from scorer import logs
from scorer.monitor.families import CONSOLE_METRICS, METRICS, REPLAY_METRICS

ROOT = Path(__file__).parents[2]

PLAIN: Final = {
    r"(?<!there )(?:is|are) no (?!longer\b|more than\b|better\b)\w+": "is not a …, … not found",
    r"there (?:is|are) none": "not found, missing",
    r"(?:records|applications|decisions|results|outcomes?|spans?|lines?|batch(?:es)?|CPU|times|bytes|once|twice|\d+) "
    r"an? (?:second|minute|hour|day|record|batch|partition|worker|application|deployment|paragraph)": "per",
    r"what (?:decides|serves|stands|became|is there|counts|varies)": "the champion, the current bundle",
    r"(?:come|comes|came) (?:out|again)": "differs, is processed again",
    r"(?:decid\w+|comes?|reads?) otherwise": "differently",
    r"beside": "next to, in the background, without joining the group",
    r"told": "logged, reported, shown",
    r"mend(?:s|ed|ing)?": "fix",
    r"anew": "again",
    r"whoever": "anyone who",
    r"by whose hand": "by whom",
    r"for good|for ever": "permanently",
    r"(?:un)?sound": "valid, invalid",
    r"bad (?:applications?|records?|values?|lines?)": "invalid",
    r"refus(?:e|es|ed|al|als|ing)": "reject, cannot",
    r"put(?:s|ting)? (?:\w+ )?back": "requeue",
    r"wound back": "rewound",
    r"(?:takes?|took|taken|taking) over": "switch",
    r"scor(?:e|es|ed|ing) along": "shadow scoring",
    r"stand(?:s|ing)?(?! for)|stood(?! for)": "is, the current",
    r"(?:is|are|be|already|not) there(?! (?:an?|any|enough|no|to)\b)": "exists",
    r"(?:go|goes|going|went) on(?! disk\b)": "continue",
    r"made[- ]up": "synthetic",
    r"(?:make|made|makes) again": "generate, recompute",
    r"written over": "overwritten",
    r"(?<!topics )rights|right (?:to|on)|(?:no|missing|Describe|Read|Write) right": "permission",
    r"rooms?": "package",
    r"somebody": "someone",
    r"wherever": "everywhere that",
    r"as it is": "unchanged",
    r"(?:at|in) hand": "available, current",
    r"wholly": "completely",
}
"""By a pattern of words, what to write instead."""

EXCEPTIONS: Final = {
    "statistically sound": "the regulation's words, 12 CFR 1002.2(p)",
    "Connection refused": "the words of the operating system",
}
"""What may be written nevertheless, and why."""

NAMELESS: Final = frozenset({
    "found", "there", "told", "said", "heard", "standing", "again", "asked", "got", "held", "kept", "taken", "anew",
    "whose", "place", "places",
})  # fmt: skip
"""Names of variables, parameters and functions that do not say what they hold."""

_DIALECT: Final = re.compile(r"\b(?:" + "|".join(f"(?:{pattern})" for pattern in PLAIN) + r")\b", re.IGNORECASE)


def _of_files(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        paths = sorted(ROOT.glob(pattern))
        assert paths, f"nothing is called {pattern}"
        yield from (path for path in paths if path.is_file())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file; of Markdown without code and the targets of links, which name what programs read."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        text = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
        text = re.sub(r"\]\([^)\s]*\)", "]", text)
    yield from enumerate(text.splitlines(), 1)


def _strings(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a module's code: help, messages and titles, not docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            lines = node.value.splitlines() if " " in node.value else []  # one word is a key or a name
            yield from enumerate(lines, node.lineno)


def _dialect(text: str) -> Iterator[str]:
    """The words of a text that have a plainer form; names of commands, options and files do not count."""
    text = re.sub(r"`[^`]*`|--[\w-]+|[\w/-]+\.(?:md|py)\b", "", text)
    for exception in EXCEPTIONS:
        text = text.replace(exception, "")
    yield from (word[0] for word in _DIALECT.finditer(text))


SOURCES: Final[dict[str, tuple[Callable[[Path], Iterator[tuple[int, str]]], tuple[str, ...]]]] = {
    "the documentation, the reference of commands, settings, errors and metrics included": (
        _lines,
        ("*.md", "docs/**/*.md", "helm/README.md", "benchmarks/**/*.md"),
    ),
    "texts in the code": (
        _strings,
        ("scorer/**/*.py", "schemas/*.py", "producer/*.py", "monitoring/*.py", "documentation/*.py", "generators/*.py"),
    ),
    "the chart": (_lines, ("helm/values.yaml", "helm/values.schema.json", "helm/templates/**/*.*")),
    "alerts and dashboards": (
        _lines,
        ("monitoring/prometheus/**/*.yml", "monitoring/alertmanager/*.yml", "monitoring/grafana/**/*.*"),
    ),
    "the console's pages": (_lines, ("scorer/console/templates/*.html", "scorer/console/static/*.js")),
    "examples": (_lines, ("examples/**/*.sql", "examples/**/*.py", "examples/**/*.toml")),
    "how it is built": (_lines, ("Makefile", "Dockerfile", "docker-compose.yml", ".ci/run", "pyproject.toml")),
}


@pytest.mark.parametrize("source", SOURCES)
def test_texts_are_plain(source: str) -> None:
    """No text has a word of the dialect; each is listed with the place where it is."""
    read, patterns = SOURCES[source]
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {word!r}"
        for path in _of_files(*patterns)
        for number, line in read(path)
        for word in _dialect(line)
    ]
    assert hits == []


def _defined(path: Path) -> Iterator[tuple[int, str]]:
    """The names that a module defines: functions, classes, parameters and variables."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_identifiers_name_what_they_hold() -> None:
    """No function, class, parameter or variable in the code has a name that only this project's dialect explains."""
    folders = (
        "scorer",
        "schemas",
        "producer",
        "monitoring",
        "documentation",
        "generators",
        "benchmarks",
        "supply_chain",
    )
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {name}"
        for path in _of_files(*(f"{folder}/**/*.py" for folder in folders))
        for number, name in _defined(path)
        if name.strip("_").lower() in NAMELESS
    ]
    assert hits == []


def test_names_are_plain() -> None:
    """The names of log events and metrics, read as words, follow the same rule."""
    events = [event.name for event in vars(logs).values() if isinstance(event, logs.Event)]
    metrics = [metric.name for metric in (*METRICS, *REPLAY_METRICS, *CONSOLE_METRICS)]
    assert len(events) > 20
    assert [name for name in (*events, *metrics) for _ in _dialect(name.replace("_", " "))] == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Two records a second, told once.", ["records a second", "told"]),
        ("The record is sound, its topic is not there.", ["sound", "not there"]),
        ("`scorer topics rights` lists them; is there a network? Use --skip-invalid.", []),
        ("A statistically sound model; there is no lag.", []),
    ],
)
def test_the_rule_itself(text: str, words: list[str]) -> None:
    """Words of the dialect are found anywhere in a text; commands, options and quoted words are not."""
    assert list(_dialect(text)) == words
