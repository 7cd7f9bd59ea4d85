"""docker-compose.yml, read by the library with which Compose reads it; no engine is needed for that."""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitoring.rules import RUNBOOKS
from scorer.console.token import read_names
from scorer.settings import Settings
from tests.tools import tool

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
USERS = ("reviewers", "operators")
"""The files with the tokens of users."""


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services by name, those of all profiles, as Compose reads them."""
    command: list[str | Path] = [tool("compose-spec"), "-format=json", FILE]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, env={})
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    services_by_name: dict[str, Any] = json.loads(ran.stdout)["services"]
    return services_by_name


def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    """What reads the file here refuses a key that Compose does not know."""
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text(encoding="utf-8").replace("stop_grace_period", "stop_grace"), encoding="utf-8")
    ran = subprocess.run([tool("compose-spec"), wrong], check=False, capture_output=True, text=True)
    assert ran.returncode != 0
    assert "stop_grace" in ran.stderr


def test_what_runs_without_being_asked_for(services: dict[str, Any]) -> None:
    """The load and the Kafka UI are started by their profiles alone."""
    profiles_by_service = {name: service.get("profiles") for name, service in services.items()}
    assert {name: profiles for name, profiles in profiles_by_service.items() if profiles} == {
        "load": ["load"],
        "kafka-ui": ["ui"],
    }


def test_the_order(services: dict[str, Any]) -> None:
    """Topics are there before anybody works with them, Kafka before the topics."""
    waits = {
        name: {on: wait["condition"] for on, wait in service.get("depends_on", {}).items()}
        for name, service in services.items()
    }
    assert waits["topics"] == {"kafka": "service_healthy"}
    for name in ("worker", "console", "load"):
        assert waits[name]["topics"] == "service_completed_successfully"
    assert waits["grafana"] == {"prometheus": "service_healthy"}
    assert "service_started" not in {condition for on in waits.values() for condition in on.values()}


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    """Nothing of a worker can be there once only: no name, no port of this machine, no instance id."""
    worker = services["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert "SCORER_INSTANCE_ID" not in worker["environment"]
    assert worker["scale"] == 2


def test_a_worker_has_time_to_shut_down(services: dict[str, Any]) -> None:
    """Compose kills a worker only after it has had shutdown_timeout_s for its batch."""
    grace = re.fullmatch(r"(\d+)s", services["worker"]["stop_grace_period"])
    assert grace is not None
    assert float(grace[1]) > Settings().shutdown_timeout_s


def test_what_is_reached_from_outside(services: dict[str, Any]) -> None:
    """Ports are open to this machine alone."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    published = [port["published"] for port in ports]
    assert len(published) == len(set(published))


def test_nobody_has_more_rights_than_needed(services: dict[str, Any]) -> None:
    """No capability, nothing to gain by setuid, no privileged container; only Kafka writes beside its volumes."""
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert "cap_add" not in service, name
    assert [name for name, service in services.items() if not service.get("read_only")] == ["kafka"]


def test_no_service_takes_the_whole_machine(services: dict[str, Any]) -> None:
    """Each has a limit of memory and of CPUs, so that one that goes wrong leaves the others theirs."""
    for name, service in services.items():
        limit = re.fullmatch(r"(\d+)([mg])", service["mem_limit"])
        assert limit is not None, name
        assert 0 < int(limit[1]) * {"m": 2**20, "g": 2**30}[limit[2]] <= 2 * 2**30, name
        assert 0 < service["cpus"] <= 2, name


def test_images_are_pinned(services: dict[str, Any]) -> None:
    """What comes from elsewhere comes in one version; our own is built here."""
    for name, service in services.items():
        if "build" in service:
            assert service["image"].startswith("streaming-credit-scorer:"), name
        else:
            assert re.search(r":v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?$", service["image"]), name


def test_long_running_services_tell_whether_they_are_well(services: dict[str, Any]) -> None:
    """Each has a health check of its own, or its image's; what ends by itself has none."""
    ends = {"topics", "console-token", "load"}
    for name, service in services.items():
        check = service.get("healthcheck")
        assert (check == {"disable": True}) if name in ends else (check is not None or name == "worker"), name


def test_the_files_are_those_that_were_tried(services: dict[str, Any]) -> None:
    """What is mounted from here is there, and is what the tests give to the real components."""
    mounted = {
        Path(volume["source"]).relative_to(ROOT).as_posix()
        for service in services.values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    }
    assert mounted == {
        "monitoring/prometheus/prometheus.yml",
        "monitoring/prometheus/rules",
        "monitoring/alertmanager/alertmanager.yml",
        "monitoring/grafana/provisioning",
        "monitoring/grafana/dashboards",
    }
    assert all((ROOT / path).exists() for path in mounted)


def test_runbooks_resolve(services: dict[str, Any]) -> None:
    """The links in alerts lead to the console, at the port under which this machine has it."""
    (port,) = services["console"]["ports"]
    assert f"http://localhost:{port['published']}/runbooks" == RUNBOOKS


def test_there_is_no_secret_in_the_file() -> None:
    """No variable or key of the file holds what should be nobody's to read."""
    text = FILE.read_text(encoding="utf-8")
    assert not re.findall(r"(?i)^\s*\S*(password|secret|api_?key)\S*\s*[:=]\s*\S+", text, re.MULTILINE)


def test_the_token_is_not_printed(services: dict[str, Any], tmp_path: Path) -> None:
    """It was in the engine's log, for everybody who may read that. It is written once, for its owner alone.

    So are the tokens of a reviewer and an operator, in the form in which the console reads them.
    """
    _, option, script = services["console-token"]["entrypoint"]
    command = [sys.executable, option, script.replace("$$", "$").replace("/run/scorer", str(tmp_path))]
    first, second = (subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(2))
    tokens = [(tmp_path / name).read_text(encoding="utf-8").split()[-1] for name in ("token", *USERS)]
    assert len(set(tokens)) == 3
    assert all(len(token) >= 32 for token in tokens)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    for ran in (first, second):
        assert not any(token in ran.stdout + ran.stderr for token in tokens)
        assert "docker compose exec console cat" in ran.stdout
    shown = re.findall(r"`docker compose exec (\S+) cat (\S+)`", (ROOT / "docs" / "containers.md").read_text("utf-8"))
    assert len(shown) == 3
    for service, file in shown:
        assert any(argument.endswith(f"={file}") for argument in services[service]["command"])
    for file, name, token in zip(USERS, ("reviewer", "operator"), tokens[1:], strict=True):
        assert read_names(str(tmp_path / file), f"console_{file}_file", tokens[0]) == {token: name}


def test_settings_of_ours_exist(services: dict[str, Any]) -> None:
    """Every SCORER_* in the file is a setting."""
    names = {name for service in services.values() for name in service.get("environment", {}) if name[:7] == "SCORER_"}
    assert names
    assert {name[7:].lower() for name in names} <= set(Settings.model_fields)


def test_commands_of_ours_exist(services: dict[str, Any]) -> None:
    """Every command of our image is one that the image's programs take."""
    for name in ("topics", "worker", "console", "load"):
        program = services[name].get("entrypoint") or ["scorer"]
        command = [argument for argument in services[name]["command"] if argument != "10m"]
        words = [word for word in command[:2] if word.isalpha()]
        ran = subprocess.run([ROOT / ".venv/bin" / program[0], *words, "--help"], check=False, capture_output=True)
        assert ran.returncode == 0, name
        for flag in (argument for argument in command if argument.startswith("--")):
            assert flag.partition("=")[0].encode() in ran.stdout, (name, flag)
