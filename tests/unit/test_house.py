"""The house: rules about the code itself that neither the linter nor the type checker knows."""

import ast
import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scorer.monitor.families import CONSOLE_METRICS, METRICS, REPLAY_METRICS, Metric

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for room in ("scorer", "schemas", "producer", "monitoring", "documentation", "generators", "supply_chain")
    for path in (ROOT / room).rglob("*.py")
)
OTHERS = [path for folder in ("benchmarks", "generators", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]

# What is larger is not read as a whole. A function counts from its signature.
FUNCTION_LINES_MAX = 60
CLASS_LINES_MAX = 200
FILE_LINES_MAX = 400
# More state than this cannot be kept in mind: who changes it, in which thread, and when.
ATTRIBUTES_MAX = 8
TOO_LARGE = {
    "functions": set(),
    "classes": set(),
    "files": {"tests/contract/test_kafka_link.py"},
    "attributes": set(),
}
"""What is still larger than it may be. Entries are only removed: one that has become smaller fails the test."""

# Methods that change a container.
CHANGES = frozenset(
    {
        "add", "append", "appendleft", "clear", "discard", "extend", "insert", "move_to_end", "pop", "popitem",
        "popleft", "remove", "setdefault", "update",
    }
)  # fmt: skip

# Calls that wait until something happens if they are given no limit; of the Kafka client, of threads and of processes.
WAIT_WITHOUT_ARGUMENTS = frozenset(
    {
        "acquire", "communicate", "flush", "get", "join", "list_topics", "poll", "result", "shutdown", "wait",
        "abort_transaction", "commit_transaction", "init_transactions",
    }
)  # fmt: skip
WAIT_WITHOUT_KEYWORDS = {
    "check_call": {"timeout"},
    "check_output": {"timeout"},
    "committed": {"timeout"},
    "create_connection": {"timeout"},
    "get_watermark_offsets": {"timeout", "cached"},
    "offsets_for_times": {"timeout"},
    "run": {"timeout"},
    "urlopen": {"timeout"},
}
WAITS = {
    "scorer/author/container.py: subprocess.run": "the build of an image, which its user watches and can interrupt",
    "scorer/cli/score.py: sys.stdout.buffer.flush": "to a pipe or a terminal",
    "scorer/cli/tables.py: capture.get": "returns what was printed",
    "scorer/console/bundle_tasks.py: process.wait": "a coroutine; the process was killed",
    "scorer/console/serve.py: server.run": "until SIGTERM",
    "scorer/console/streams.py: page.queue.get": "a coroutine, which ends with the page's connection",
    "scorer/local/apache_kafka.py: broker.run": "waits up to _READY_S",
    "scorer/local/apache_kafka.py: guardian.poll": "does not wait",
    "scorer/local/apache_kafka.py: self._guardian.poll": "does not wait",
    "scorer/local/apache_kafka.py: self.run": "waits up to _READY_S",
    "scorer/local/audit.py: self._thread.join": "the thread's calls have limits",
    "scorer/local/child.py: guardian.poll": "does not wait",
    "scorer/local/child.py: self._guardian.poll": "does not wait",
    "scorer/local/guardian.py: child.wait": "it guards the child until that ends",
    "scorer/local/live_workers.py: admin.list_consumer_groups(...).result": "the request has a limit",
    "scorer/local/view.py: sys.stderr.flush": "to a terminal",
    "scorer/logs.py: select.poll": "makes a poll object",
    "scorer/logs.py: self.acquire": "the lock of a handler that writes to a pipe with a limit",
    "scorer/monitor/http.py: self._server.run": "a daemon thread",
    "scorer/stream/task_thread.py: self._tasks.get": "a daemon thread without work",
    "scorer/stream/follow.py: self._executor.shutdown": "the watchdog ends the stop that this belongs to",
    "scorer/stream/follow.py: self._following.result": "it is done",
    "scorer/operate/cluster.py: request.result": "the request has a limit",
    "scorer/operate/group.py: admin.describe_consumer_groups(...)[group_id].result": "the request has a limit",
    "scorer/stream/kafka.py: self._subscription.poll": "waits up to _POLL_WAIT_S",
    "scorer/stream/admin.py: answer.result": "the request has a limit",
    "producer/client.py: self.flush": "waits up to the producer's message.timeout.ms",
}
"""What may wait without an argument that limits it, and why; nothing else does."""

KNOW_KAFKA = ("scorer/stream/", "scorer/operate/", "scorer/local/", "producer/kafka.py", "producer/tail.py")
KNOW_KAFKA_TOO = {
    "producer/results.py",
    "scorer/console/polling.py",
    "scorer/console/publish.py",
    "scorer/console/tail.py",
    "scorer/replay/link.py",
    "scorer/replay/progress.py",
}
"""Modules that import the client's types or errors although another module should hide them."""


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_a_module_begins_with_its_one_duty() -> None:
    """The first line of each module is a docstring, and that line is a whole sentence."""
    without = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        duty = (ast.get_docstring(_tree(path), clean=False) or "").split("\n")[0]
        if not (duty.endswith((".", "?")) and text.startswith(f'"""{duty}')):
            without.append(_name(path))
    assert without == []


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _lines(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def _classes(path: Path) -> Iterator[ast.ClassDef]:
    yield from (node for node in ast.walk(_tree(path)) if isinstance(node, ast.ClassDef))


def _attributes(defined: ast.ClassDef) -> set[str]:
    """The attributes that a class changes after `__init__`; of a dataclass that is not frozen all but `Final` ones."""
    names: set[str] = set()
    if any("dataclass" in text and "frozen=True" not in text for text in map(ast.unparse, defined.decorator_list)):
        fields = [node for node in defined.body if isinstance(node, ast.AnnAssign)]
        constant = ("Final", "ClassVar")
        names |= {ast.unparse(f.target) for f in fields if not ast.unparse(f.annotation).startswith(constant)}
    for method in defined.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name != "__init__":
            names |= {name for node in ast.walk(method) for name in _changed(node)}
    return names


def _changed(node: ast.AST) -> Iterator[str]:
    """The attribute of `self` that a node assigns, or whose items it changes."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
        node = node.func.value
    elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
        node = node.value
    elif not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
        return
    if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self":
        yield node.attr


SIZES: dict[str, tuple[Callable[[Path], Iterator[tuple[str, int]]], int]] = {
    "functions": (lambda p: ((f"{_name(p)}: {f.name}", _lines(f)) for f in _functions(p)), FUNCTION_LINES_MAX),
    "classes": (lambda p: ((f"{_name(p)}: {c.name}", _lines(c)) for c in _classes(p)), CLASS_LINES_MAX),
    "files": (lambda p: iter([(_name(p), len(p.read_text(encoding="utf-8").splitlines()))]), FILE_LINES_MAX),
    "attributes": (lambda p: ((f"{_name(p)}: {c.name}", len(_attributes(c))) for c in _classes(p)), ATTRIBUTES_MAX),
}


@pytest.mark.parametrize("kind", SIZES)
def test_code_is_small_enough_to_read(kind: str) -> None:
    """Functions, classes, files and the state of a class have a greatest size; what still exceeds it is listed."""
    measure, largest = SIZES[kind]
    sizes = [entry for path in [*MODULES, *OTHERS] for entry in measure(path)]
    assert {name for name, size in sizes if size > largest} == TOO_LARGE[kind]


def test_state_is_counted() -> None:
    """Attributes count if a method rebinds or changes them, or if they are fields of a dataclass that is not frozen."""
    text = """
class Counted:
    def __init__(self): self.fixed, self.items, self.moved, self.table = 1, [], 0, {}
    def change(self):
        self.items.append(self.fixed)
        self.table["a"] = self.fixed
        self.moved += 1

@dataclass
class Record:
    field: int
    fixed: Final[int]

@dataclass(frozen=True)
class Value:
    field: int
"""
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    assert [_attributes(c) for c in classes] == [{"items", "table", "moved"}, {"field"}, set()]


def _waits(path: Path) -> Iterator[str]:
    """The calls of a module that may wait without a limit."""
    for node in ast.walk(_tree(path)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        given = {keyword.arg for keyword in node.keywords}
        limits = WAIT_WITHOUT_KEYWORDS.get(node.func.attr, given)
        without_arguments = node.func.attr in WAIT_WITHOUT_ARGUMENTS and not node.args and not given
        if without_arguments or (len(node.args) < 2 and not limits & given and limits is not given):
            yield f"{_name(path)}: {re.sub(r'[(].*?[)]', '(...)', ast.unparse(node.func))}"


def test_nothing_waits_without_a_limit() -> None:
    """Every call that may wait has a limit, or a reason why it needs none."""
    rooms = [path for path in MODULES if _name(path).startswith(("scorer/", "producer/"))]
    assert {wait for path in rooms for wait in _waits(path)} == WAITS.keys()


def test_few_modules_know_the_kafka_client() -> None:
    """Rooms above the readers and the link use those, and never the client itself."""
    knowing = set()
    for path in MODULES:
        for node in ast.walk(_tree(path)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if any(name.partition(".")[0] == "confluent_kafka" for name in names):
                knowing.add(_name(path))
    assert {name for name in knowing if not name.startswith(KNOW_KAFKA)} == KNOW_KAFKA_TOO


def test_no_module_names_a_folder_of_somebodys_machine() -> None:
    """No path below someone's home, which works on one machine only."""
    somebodys = re.compile(r"[\"'/](?:home|Users|root|work)/\w")
    assert [_name(path) for path in MODULES if somebodys.search(path.read_text(encoding="utf-8"))] == []


def test_make_alone_prints_the_targets() -> None:
    """`make` without a target does nothing but print each target with what it does."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    command = [make, "--no-print-directory"]  # under another make it would say where it is
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: ([a-z].+)$", makefile, re.MULTILINE)
    lines = [re.fullmatch(r"  make ([a-z0-9-]+) +(\S.*)", line) for line in printed.splitlines()]
    assert all(lines)
    assert {line[1] for line in lines if line} == set(phony.split())


@pytest.mark.parametrize("metric", [*METRICS, *REPLAY_METRICS, *CONSOLE_METRICS], ids=lambda metric: metric.name)
def test_metrics_follow_the_rules_of_prometheus(metric: Metric) -> None:
    """Names in snake case with our prefix and a base unit, no suffix that the exposition adds, a whole help text."""
    assert re.fullmatch(r"scorer(_[a-z]+)+", metric.name)
    assert not metric.name.endswith(("_total", "_count", "_sum", "_bucket", "_created"))
    assert not re.search(r"_(ms|millis|milliseconds|minutes|percent|kb|mb)(_|$)", metric.name)
    assert all(
        re.fullmatch(r"[a-z][a-z_]*", label) and label not in {"le", "quantile", "job"} for label in metric.labels
    )
    assert metric.help.endswith(".")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert list(metric.bounds) == sorted(set(metric.bounds))


def test_each_metric_is_declared_once() -> None:
    """No two metrics share a name."""
    names = [metric.name for metric in (*METRICS, *REPLAY_METRICS, *CONSOLE_METRICS)]
    assert len(names) == len(set(names))


def test_architecture_lists_the_packages() -> None:
    """ARCHITECTURE.md lists every package with the first line of its docstring."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w/]+)/` \| (.+) \|$", text, re.MULTILINE))
    packages = {path.parent for pattern in ("*/__init__.py", "scorer/*/__init__.py") for path in ROOT.glob(pattern)}
    docstrings = {_name(package): ast.get_docstring(_tree(package / "__init__.py")) or "" for package in packages}
    assert listed == {name: text.splitlines()[0] for name, text in docstrings.items()}


def test_the_map_for_newcomers_is_true() -> None:
    """Each file in CONTRIBUTING.md's map exists and contains the name at which something is to be added."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| an? [^|]+ \| `([^`]+)` \| ([^|]+) \|$", text, re.MULTILINE)
    assert len(rows) > 9
    for file, where in rows:
        names = re.findall(r"`([^`]+)`", where)
        assert re.search(rf"\b{names[0]}\b", (ROOT / file).read_text(encoding="utf-8")), file
        assert [name for name in names[1:] if "/" in name and not (ROOT / name).exists()] == []
