"""The broker in Docker, without an engine: what can be said before a container runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest

from scorer.errors import LocalBrokerError
from scorer.local import docker_kafka
from scorer.local.broker import start_broker
from scorer.local.docker_kafka import environment


@pytest.fixture
def _extra_installed() -> None:
    pytest.importorskip("testcontainers", reason="the extra 'docker' is not installed")


def test_extra_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker asked for without the extra names the extra."""
    monkeypatch.setitem(sys.modules, "testcontainers", None)
    monkeypatch.setitem(sys.modules, "testcontainers.core.container", None)
    with pytest.raises(LocalBrokerError, match=r"pip install '\.\[docker\]'"):
        start_broker("docker")


@pytest.mark.usefixtures("_extra_installed", "bare_machine")
def test_no_engine(tmp_path: Path) -> None:
    """Docker asked for without an engine says where it knocked and what to do."""
    with pytest.raises(LocalBrokerError, match=rf"no Docker engine answers \({tmp_path}/no-engine.sock: No such file"):
        start_broker("docker")


@pytest.mark.usefixtures("_extra_installed", "bare_machine")
def test_no_engine_far_away(monkeypatch: pytest.MonkeyPatch, closed_port: Callable[[], int]) -> None:
    """An engine on another machine that does not answer ends in the same message."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{closed_port()}")
    with pytest.raises(LocalBrokerError, match=r"no Docker engine answers \(.+\): start it, or set DOCKER_HOST"):
        start_broker("docker")


def test_environment() -> None:
    """Settings become the variables of which the image makes server.properties; overrides win."""
    variables = environment("localhost", 21_000, {"message.max.bytes": "5", "node.id": "7", "a-b_c": "x"})
    assert variables["KAFKA_ADVERTISED_LISTENERS"].startswith("PLAINTEXT://localhost:21000,")
    assert variables["KAFKA_MESSAGE_MAX_BYTES"] == "5"
    assert variables["KAFKA_NODE_ID"] == "7"
    assert variables["KAFKA_A___B__C"] == "x"


@pytest.mark.usefixtures("_extra_installed")
def test_container_from_start_to_end(monkeypatch: pytest.MonkeyPatch, closed_port: Callable[[], int]) -> None:
    """An engine is asked for one container that only this machine reaches; its death is told, its end comes once."""
    port = closed_port()
    engine = MagicMock()
    engine.host.return_value = "localhost"
    monkeypatch.setattr("testcontainers.core.container.DockerClient", lambda: engine)
    monkeypatch.setattr("testcontainers.core.container.c.ryuk_disabled", True)
    monkeypatch.setattr(docker_kafka, "_require_engine", lambda: None)
    monkeypatch.setattr(docker_kafka, "answers", lambda *_, **__: True)

    with start_broker("docker", port=port) as broker:
        assert broker.bootstrap_servers == f"127.0.0.1:{port}"
        arguments = engine.create.call_args.kwargs
        assert arguments["ports"] == {"9092": ("127.0.0.1", port)}
        assert f"PLAINTEXT://127.0.0.1:{port}," in arguments["environment"]["KAFKA_ADVERTISED_LISTENERS"]
        container = engine.create.return_value
        container.status = "running"
        broker.check()
        container.status = "exited"
        container.logs.side_effect = [b"out of\n", b"disk\n"]
        with pytest.raises(LocalBrokerError, match=r"container is exited; the end of its log:\nout of\ndisk$"):
            broker.check()
    broker.stop()
    container.remove.assert_called_once()
