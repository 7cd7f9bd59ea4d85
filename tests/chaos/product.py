"""What the harness knows of the product: its commands, settings, probes, metrics and log lines, and nothing else."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from scorer.settings import Settings

SHUTDOWN_S: Final = float(Settings().shutdown_timeout_s)
"""How long a worker may take to stop, by its default setting."""
WORKER: Final = (sys.executable, "-m", "scorer", "worker")
AT_LEAST_ONCE: Final = {"SCORER_DELIVERY": "at-least-once"}
KIP_848: Final = {"SCORER_KAFKA__GROUP_PROTOCOL": "consumer"}
SHORT_SESSIONS: Final = {"SCORER_KAFKA__SESSION_TIMEOUT_MS": "6000", "SCORER_KAFKA__HEARTBEAT_INTERVAL_MS": "1500"}
SMALL_BATCHES: Final = {"SCORER_BATCH_RECORDS_MAX": "300"}

_WITHOUT_TRAINING: Final = Path(__file__).parents[1] / "without_training"
_PROBE_S: Final = 1.5
_COMMAND_S: Final = 180.0
_CONSUMED: Final = re.compile(r"^scorer_applications_consumed_total (\S+)$", re.MULTILINE)
_COMMAND_IN_MESSAGE: Final = re.compile(r"`(scorer offsets reset[^`]*)`")
# Their errors may be many, and say nothing of why a process ends.
_LIBRARIES: Final = frozenset({"librdkafka", "library"})
_SHOWN_LINES: Final = 4


class Names(NamedTuple):
    """The topics and the group of one scenario."""

    applications: str
    decisions: str
    dead_letters: str
    deployments: str
    group: str


class Probes(NamedTuple):
    """What a worker says of itself."""

    healthy: bool
    ready: bool
    partitions: tuple[int, ...]
    consumed: float
    """Records committed since it started; below 0 where it does not say."""
    bundle: str
    """The version of the bundle that decides."""


def names(scenario: str) -> Names:
    """The topics and the group that one run of a scenario has to itself."""
    kinds, run = ("applications", "decisions", "dead-letters", "deployments", "group"), uuid.uuid4().hex[:6]
    return Names(*(f"{scenario}-{run}.{kind}" for kind in kinds))


def transactional_id(group: str, instance: str) -> str:
    """What a worker with an instance id calls its transactions."""
    return f"{group}/{instance}"


def environment(servers: str, own: Names, store: str) -> dict[str, str]:
    """The settings of a scenario's workers and commands, and none that this machine has."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SCORER_")}
    return inherited | {
        "PYTHONPATH": str(_WITHOUT_TRAINING),
        "SCORER_BOOTSTRAP_SERVERS": servers,
        "SCORER_GROUP_ID": own.group,
        "SCORER_APPLICATIONS_TOPIC": own.applications,
        "SCORER_DECISIONS_TOPIC": own.decisions,
        "SCORER_DEAD_LETTERS_TOPIC": own.dead_letters,
        "SCORER_DEPLOYMENTS_TOPIC": own.deployments,
        "SCORER_STORE": store,
        "SCORER_LOG_FORMAT": "json",
    }


def scorer(settings: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, whatever its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "scorer", *arguments],
        env=dict(settings) | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_S,
    )


def ask(port: int) -> Probes:
    """Asks a worker's probes and metrics; what it does not answer is as if it were down."""
    health, _ = _get(port, "/healthz")
    ready, body = _get(port, "/readyz")
    detail: dict[str, Any] = {}
    with suppress(ValueError):
        detail = json.loads(body)
    consumed = _CONSUMED.search(_get(port, "/metrics")[1])
    return Probes(
        health == 200,
        ready == 200,
        tuple(detail.get("partitions", ())),
        float(consumed[1]) if consumed else -1.0,
        str(detail.get("bundle", {}).get("version", "")),
    )


def last_error(log: str) -> str:
    """The last error of its own in a worker's log, as one sentence; else its last line."""
    lines = log.splitlines()
    for line in reversed(lines):
        with suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and entry["level"] in {"error", "critical"} and entry["event"] not in _LIBRARIES:
                return f"{entry.get('event')}: {entry.get('error', entry.get('message', ''))}"
    return lines[-1] if lines else ""


def last_lines(log: str) -> str:
    """The last few lines of a log."""
    return "\n".join(log.splitlines()[-_SHOWN_LINES:])


def commands_in(log: str) -> list[str]:
    """The `scorer` commands that a log asks its operator to run, in order."""
    return _COMMAND_IN_MESSAGE.findall(log)


def arguments_of(command: str) -> list[str]:
    """A command's arguments, without `scorer`."""
    return shlex.split(command)[1:]


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=_PROBE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
    except OSError:
        return 0, ""
