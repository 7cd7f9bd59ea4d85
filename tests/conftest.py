"""What every test may ask for: a real broker, shared by all, and names that nobody else uses."""

import gc
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest
from xdist.workermanage import WorkerController

from scorer.local.broker import Broker
from scorer.store import entry, store
from tests import crash_dumps
from tests.class_archive import java_options
from tests.opening import open_here
from tests.shared_broker import BrokerOwner, ask, started

os.environ.setdefault("JAVA_TOOL_OPTIONS", java_options())  # Java itself reads this variable


_OWNER = pytest.StashKey[BrokerOwner]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tells a process of a parallel run whom to ask for the broker, and where to keep its stderr."""
    stash = node.config.stash
    if _OWNER not in stash:
        stash[_OWNER] = BrokerOwner()
    node.workerinput["broker_owner"] = stash[_OWNER].address
    crash_dumps.tell_folder(node)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keeps the stderr of a process of a parallel run."""
    crash_dumps.keep_stderr(config)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: object) -> None:
    """Notes a process that has crashed."""
    if error:
        crash_dumps.note_crash(node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Shows what crashed processes have written."""
    crash_dumps.show(config, terminalreporter)


def pytest_collection_finish() -> None:
    """Spares the garbage collector the thousands of tests, which stay: it would look at them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stops the broker of a parallel run."""
    if _OWNER in config.stash:
        config.stash[_OWNER].close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Nor does it look at them while they are collected."""
    gc.disable()


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A real broker for the whole run: the given one, or one in Docker or on Java; without any, the test skips.

    Records of more than 1 MB need `max.message.bytes` on their topic and nothing of the broker.
    """
    parallel = getattr(request.config, "workerinput", None)
    with nullcontext(ask(parallel["broker_owner"])) if parallel else started() as shared:
        if shared.lacks:
            pytest.skip(f"needs a real broker; {shared.lacks}")
        yield Broker(shared.kind, shared.bootstrap_servers, shared.description, shared.log_path)


@pytest.fixture(autouse=True)
def _broker_where_marked(request: pytest.FixtureRequest) -> None:
    """A test marked `broker` has it running, or skips, whether or not it asks for the fixture."""
    if request.node.get_closest_marker("broker"):
        request.getfixturevalue("broker")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """An S3 server on a free port; its address. Whoever asks sets the environment that leads there."""
    from moto.server import ThreadedMotoServer  # takes a second, and most processes need none

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, unique: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty bucket of the test's own, which this process and its children can reach."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = unique("bucket")
    boto3.client("s3").create_bucket(Bucket=name)
    return f"s3://{name}"


@pytest.fixture
def opens_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store's bundles are opened in this process (tests.opening)."""
    for module in (entry, store):
        monkeypatch.setattr(module, "open_in_child", open_here)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names of topics, groups and transactional ids that no other test and no earlier run has used."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"
