"""The house: rules about the code itself that neither the linter nor the type checker knows."""

import ast
import functools
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scorer.monitor.families import METRICS, REPLAY_METRICS, Metric

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for room in ("scorer", "schemas", "producer", "monitoring", "documentation", "generators", "supply_chain")
    for path in (ROOT / room).rglob("*.py")
)
FUNCTION_LINES_MAX = 60  # what is longer is not read in one screen


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
    "scorer/local/guardian.py: sys.stdout.flush": "to a pipe",
    "scorer/local/neighbours.py: admin.list_consumer_groups(...).result": "the request has a limit",
    "scorer/local/view.py: sys.stderr.flush": "to a terminal",
    "scorer/logs.py: select.poll": "makes a poll object",
    "scorer/logs.py: self.acquire": "the lock of a handler that writes to a pipe with a limit",
    "scorer/monitor/http.py: self._server.run": "a daemon thread",
    "scorer/stream/delivery.py: self._tasks.get": "a daemon thread without work",
    "scorer/stream/follow.py: self._executor.shutdown": "the watchdog ends the stop that this belongs to",
    "scorer/stream/follow.py: self._following.result": "it is done",
    "scorer/operate/group.py: admin.describe_consumer_groups(...)[group_id].result": "the request has a limit",
    "scorer/stream/kafka.py: self._subscription.poll": "waits up to _POLL_WAIT_S",
    "scorer/stream/admin.py: answer.result": "the request has a limit",
    "producer/client.py: self.flush": "waits up to the producer's message.timeout.ms",
}
"""What may wait without an argument that limits it, and why; nothing else does."""

KNOW_KAFKA = ("scorer/stream/", "scorer/operate/", "scorer/local/", "producer/kafka.py")
KNOW_KAFKA_TOO = {
    "producer/outcomes.py",
    "scorer/console/look.py",
    "scorer/console/publish.py",
    "scorer/console/tail.py",
    "scorer/console/watch.py",
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


def test_functions_are_read_in_one_screen() -> None:
    """No function's body, docstring included, is longer than a screen; a command's parameters are its flags."""
    lines = {
        f"{_name(path)}: {function.name}": (function.end_lineno or 0) - function.body[0].lineno + 1
        for path in MODULES
        for function in _functions(path)
    }
    assert {name: count for name, count in lines.items() if count > FUNCTION_LINES_MAX} == {}


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


@pytest.mark.parametrize("metric", [*METRICS, *REPLAY_METRICS], ids=lambda metric: metric.name)
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
    names = [metric.name for metric in (*METRICS, *REPLAY_METRICS)]
    assert len(names) == len(set(names))


def test_architecture_lists_the_packages() -> None:
    """ARCHITECTURE.md lists every package with the first line of its docstring."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w/]+)/` \| (.+) \|$", text, re.MULTILINE))
    packages = {path.parent for pattern in ("*/__init__.py", "scorer/*/__init__.py") for path in ROOT.glob(pattern)}
    docstrings = {_name(package): ast.get_docstring(_tree(package / "__init__.py")) or "" for package in packages}
    assert listed == {name: text.splitlines()[0] for name, text in docstrings.items()}
