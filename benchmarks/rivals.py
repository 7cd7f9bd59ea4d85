"""The programs in the comparison: how each one is built and started. Their sources are in `peers/`."""

import json
import platform
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.engines import BUNDLE, EngineUnusedError, open_engine
from scorer.core.score import EngineName
from scorer.settings import Settings
from scorer.store.store import BundleStore

HERE = Path(__file__).parent
PEERS = HERE / "peers"
WORK = HERE.parent / "build" / "peers"
"""Environments and builds; not part of the repository."""

Delivery = Literal["at-least-once", "exactly-once"]
Family = Literal[
    "ours, compiled engine",
    "ours, Python engine",
    "bare",
    "native",
    "jvm",
    "python, our scoring",
    "python, as its guide",
]
Job = Mapping[str, Any]
BOTH: tuple[Delivery, ...] = ("at-least-once", "exactly-once")
ONCE: tuple[Delivery, ...] = ("at-least-once",)


class CannotTakePartError(Exception):
    """A program cannot run here; the message gives the reason."""


@dataclass(frozen=True)
class Rival:
    """A program that reads applications and publishes decisions."""

    name: str
    family: Family
    deliveries: tuple[Delivery, ...]
    command: Callable[[Job], list[str]]
    """Returns the command that runs it on a job; builds it the first time. Raises CannotTakePartError."""

    @property
    def scores(self) -> bool:
        """Whether it scores; the others only pass records through."""
        return self.family != "bare"


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd)
    except FileNotFoundError:
        raise CannotTakePartError(f"{command[0]} is not installed") from None
    except subprocess.CalledProcessError as error:
        raise CannotTakePartError(f"{' '.join(command[:3])}: {(error.stderr or error.stdout)[-300:]}") from None


@cache
def environment(name: str) -> str:
    """Returns the Python of an environment with the packages of `requirements-NAME.lock`.

    It is the interpreter that runs this program, so that all programs in Python run on the same one.
    """
    folder = WORK / f"{name}-{platform.python_version()}"
    (lock,) = PEERS.glob(f"*/requirements-{name}.lock")
    built_lock = folder / "made-of.lock"
    if not built_lock.exists() or built_lock.read_bytes() != lock.read_bytes():
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        _run(str(folder / "bin/python"), "-m", "pip", "install", "-q", "--no-deps", "-r", str(lock))
        built_lock.write_bytes(lock.read_bytes())
    return str(folder / "bin/python")


@cache
def _java() -> str:
    """Builds the Java programs and returns their class path."""
    build = WORK / "java"
    _run("mvn", "-q", "-B", "package", "dependency:copy-dependencies", f"-Dbuild={build}", cwd=PEERS / "java")
    return f"{build}/classes:{build}/dependency/*"


@cache
def _native() -> str:
    """Builds the C++ program and returns its path."""
    build = WORK / f"native-{platform.python_version()}"
    shutil.copytree(PEERS / "native", build, dirs_exist_ok=True)
    _run("make", "-s", f"PYTHON={sys.executable}", cwd=build)
    return str(build / "ceiling")


def _ours(engine: EngineName | None) -> Callable[[Job], list[str]]:
    """Returns how our worker is started: with an engine and the bundle to compare, or with the defaults of both."""

    def command(job: Job) -> list[str]:
        if engine is None:
            return _worker(job, {})
        _require_engine(engine)
        return [*_worker(job, {"engine": engine}), "--bundle", BUNDLE]

    return command


@cache
def _require_engine(engine: EngineName) -> None:
    try:
        open_engine(BundleStore(Settings().store).open(BUNDLE), engine)
    except EngineUnusedError as error:
        raise CannotTakePartError(str(error)) from None


def _worker(job: Job, own: Mapping[str, str]) -> list[str]:
    settings = {
        "applications_topic": job["applications_topic"],
        "decisions_topic": job["decisions_topic"],
        "dead_letters_topic": job["decisions_topic"] + "-rejected",
        "deployments_topic": job["deployments_topic"],
        "group_id": job["group_id"],
        "delivery": job["delivery"],
        "http_port": 0,
        **own,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "scorer", "worker", "--bootstrap-servers", job["bootstrap_servers"], *sets]


def _bare(kind: str) -> Callable[[Job], list[str]]:
    def command(job: Job) -> list[str]:
        names = ("bootstrap_servers", "applications_topic", "decisions_topic", "group_id")
        settings = Settings(delivery="at-least-once", **{name: job[name] for name in names})
        return [sys.executable, "-m", "benchmarks.contestant", kind, str(2**62), settings.model_dump_json()]

    return command


def _java_program(name: str) -> Callable[[Job], list[str]]:
    return lambda job: ["java", "-Xmx512m", "-XX:+UseParallelGC", "-cp", _java(), name, json.dumps(job)]


def _native_program(variant: str) -> Callable[[Job], list[str]]:
    return lambda job: [_native(), json.dumps({**job, "variant": variant})]


def _python_program(name: str, file: str, variant: str) -> Callable[[Job], list[str]]:
    program = str(PEERS / "python" / file)
    return lambda job: [environment(name), program, json.dumps({**job, "variant": variant})]


DEFAULT = Rival("scorer", "ours, compiled engine", BOTH, _ours(None))
"""Our worker with its default settings, for benchmarks without other programs."""
OURS: tuple[Rival, ...] = (
    Rival("scorer, compiled engine", "ours, compiled engine", BOTH, _ours("compiled")),
    Rival("scorer, Python engine", "ours, Python engine", BOTH, _ours("python")),
)
RIVALS: tuple[Rival, ...] = (
    *OURS,
    Rival("pass-through in Python, tuned", "bare", ONCE, _bare("passthrough-tuned")),
    Rival("pass-through in Python", "bare", ONCE, _bare("passthrough")),
    Rival("C++, librdkafka", "native", BOTH, _native_program("score")),
    Rival("pass-through in C++", "bare", ONCE, _native_program("passthrough")),
    Rival("plain Java", "jvm", BOTH, _java_program("PlainPeer")),
    Rival("Kafka Streams", "jvm", BOTH, _java_program("StreamsPeer")),
    Rival("Bytewax, our scoring", "python, our scoring", ONCE, _python_program("bytewax", "bytewax_peer.py", "fast")),
    Rival("Quix Streams, our scoring", "python, our scoring", BOTH, _python_program("quix", "quix_peer.py", "fast")),
    Rival(
        "aiokafka, our scoring", "python, our scoring", BOTH, _python_program("aiokafka", "aiokafka_peer.py", "fast")
    ),
    Rival("Faust, our scoring", "python, our scoring", ONCE, _python_program("faust", "faust_peer.py", "fast")),
    Rival(
        "the course's way, batches", "python, as its guide", ONCE, _python_program("naive", "naive_peer.py", "batches")
    ),
    Rival("the course's way", "python, as its guide", ONCE, _python_program("naive", "naive_peer.py", "one")),
    Rival("Bytewax", "python, as its guide", ONCE, _python_program("bytewax", "bytewax_peer.py", "guide")),
    Rival("Quix Streams", "python, as its guide", BOTH, _python_program("quix", "quix_peer.py", "guide")),
    Rival("aiokafka", "python, as its guide", ONCE, _python_program("aiokafka", "aiokafka_peer.py", "guide")),
    Rival("Faust", "python, as its guide", ONCE, _python_program("faust", "faust_peer.py", "guide")),
)
FAMILIES: Mapping[str, str] = {f"{r.name} | {d}": r.family for r in RIVALS for d in r.deliveries}
"""The family of each "name | delivery"."""


def prepare() -> None:
    """Builds all programs, and prints which ones cannot run here."""
    names = ("bootstrap_servers", "applications_topic", "decisions_topic", "dead_letters_topic", "deployments_topic")
    job = {"group_id": "prepare", "delivery": "at-least-once", **{name: name for name in names}}
    for rival in RIVALS:
        try:
            rival.command(job)
        except CannotTakePartError as error:
            print(f"  {rival.name}: {error}")
