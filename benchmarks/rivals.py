"""The programs in the comparison: how each one is built and started. Their sources are in `peers/`."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from scorer.settings import Settings

HERE = Path(__file__).parent
PEERS = HERE / "peers"
WORK = HERE / "results" / "peers"
"""Environments and builds; not part of the repository."""

Delivery = Literal["at-least-once", "exactly-once"]
Family = Literal["ours", "bare", "native", "jvm", "python, our scoring", "python, as its guide"]
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
    """Returns the Python of an environment with the packages of `requirements-NAME.lock`."""
    folder = WORK / name
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
    build = WORK / "native"
    shutil.copytree(PEERS / "native", build, dirs_exist_ok=True)
    _run("make", "-s", f"PYTHON={sys.executable}", cwd=build)
    return str(build / "ceiling")


def _ours(job: Job) -> list[str]:
    settings = {
        "applications_topic": job["applications_topic"],
        "decisions_topic": job["decisions_topic"],
        "dead_letters_topic": job["decisions_topic"] + "-rejected",
        "deployments_topic": job["deployments_topic"],
        "group_id": job["group_id"],
        "delivery": job["delivery"],
        "http_port": 0,
    }
    sets = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    scorer = str(Path(sys.executable).with_name("scorer"))
    return [scorer, "worker", "--bootstrap-servers", job["bootstrap_servers"], *sets]


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


RIVALS: tuple[Rival, ...] = (
    Rival("scorer", "ours", BOTH, _ours),
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
