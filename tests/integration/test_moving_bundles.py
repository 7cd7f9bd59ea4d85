"""A bundle goes out of one store and comes back, or into another, and decides there: on a real broker and a real S3."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from scorer.local.broker import Broker
from scorer.store.archive import export_bundle, unpacked
from scorer.store.store import BundleStore
from tests.integration.worker_process import Topics, operate, scorer, wait_until, worker
from tests.unit.bundle.making import named

pytestmark = pytest.mark.broker

Run = Callable[..., str]


@pytest.fixture
def topics(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Topics and a cache of their own, and no patience with a server that does not answer."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    return Topics(broker.bootstrap_servers, 1)


@pytest.fixture
def run(topics: Topics) -> Run:
    """Runs a command that must succeed; returns what it printed."""
    return partial(operate, topics)


def move(target: str, version: str, ending: str) -> str:
    """Out of the store, deleted there, and in again; returns the digest that went out."""
    store, moved = BundleStore(f"{target}/store"), f"{target}/moved-{version}{ending}"
    digest = store.open(f"mine:{version}").reference.digest
    export_bundle(store.find(f"mine:{version}"), moved)
    store.delete(store.entry(f"mine:{version}"))
    with unpacked(moved) as folder:
        assert store.import_bundle(folder, moved)
    return digest


@pytest.mark.parametrize("through", ["folders", "s3"])
def test_export_delete_import_deploy(
    topics: Topics, run: Run, tmp_path: Path, request: pytest.FixtureRequest, through: str
) -> None:
    """As a folder and as each kind of archive a bundle goes out and comes back; a worker takes it over each time.

    Through S3 the store is in a bucket too, and the worker fetches it from there.
    """
    target, endings = str(tmp_path), ["", ".tar.gz", ".tar.xz", ".zip"]
    if through == "s3":
        target, endings = request.getfixturevalue("bucket"), ["", ".zip"]
    moves = {f"{number}.0.0": ending for number, ending in enumerate(endings, 1)}
    for version in moves:
        BundleStore(f"{target}/store").put(named(tmp_path / version, "mine", version))
    with worker(topics, tmp_path / "worker.log", "--set", f"store={target}/store") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        for version, ending in moves.items():
            digest = move(target, version, ending)
            run("deploy", f"mine:{version}", "--reason", "it came back", "--wait", "0", "--store", f"{target}/store")
            wait_until(lambda d=digest: running.probe("/readyz")["bundle"]["digest"] == d, "the swap")  # type: ignore[misc]
        topics.publish(b"{}")
        wait_until(lambda: topics.count(topics.dead_letters) == 1, "it works on")
        assert running.terminate() == 0


def test_what_is_fetched_needs_no_store(topics: Topics, run: Run, bucket: str, tmp_path: Path) -> None:
    """A tag is deployed as what it means; a worker fetches that once, and the next one starts without the store."""
    store = BundleStore(f"{bucket}/store")
    store.put(named(tmp_path / "made", "mine", "1.0.0"))
    run("bundle", "tag", "mine:latest", "prod", "--store", f"{bucket}/store")
    run("deploy", "mine:prod", "--reason", "x", "--wait", "0", "--store", f"{bucket}/store")
    (event,) = json.loads(run("history", "--json"))
    digest = store.open("mine:1.0.0").reference.digest
    assert event["bundle"] == {"name": "mine", "version": "1.0.0", "digest": digest}
    cache = tmp_path / "cache" / "streaming-credit-scorer" / "bundles"
    assert [path.name for path in cache.iterdir()] == [digest]
    store.delete(store.entry("mine:1.0.0"))
    with worker(topics, tmp_path / "worker.log", "--set", f"store={bucket}/store") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        assert running.probe("/readyz")["bundle"]["digest"] == digest
        assert running.terminate() == 0


def test_store_out_of_reach_in_the_middle_of_a_swap(
    topics: Topics, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old bundle goes on, and the log and /readyz say why; when the store answers again, the new one takes over."""
    made = named(tmp_path / "made", "mine", "1.0.0")
    for location in (f"{bucket}/store", f"{tmp_path}/store"):
        BundleStore(location).put(made)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)  # its buckets are this process's
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    with worker(topics, tmp_path / "worker.log", "--set", f"store={bucket}/store") as running:
        wait_until(lambda: running.get("/readyz")[0] == 200, "ready")
        server.stop()
        deploy = ("deploy", "mine:1.0.0", "--reason", "x", "--wait", "0", "--store", f"{tmp_path}/store")
        code, _, errors = scorer(topics, *deploy)
        # The worker may have tried, and said that it cannot, before the command's only look.
        assert code == 0 or "the deployment is in the history, but 1 of 1 workers have not switched" in errors
        wait_until(lambda: "cannot be read" in running.probe("/readyz")["load_failure"], "the load failure is shown")
        assert running.probe("/readyz")["bundle"]["name"] == "credit-risk"
        refused = running.events("bundle_load_failed")[0]
        assert (refused["slot"], refused["bundle"].partition("@")[0]) == ("champion", "mine:1.0.0")
        assert "cannot be read" in refused["error"]
        assert "Traceback" not in running.log()
        topics.publish(b"{}")
        wait_until(lambda: topics.count(topics.dead_letters) == 1, "it works on")
        second = ThreadedMotoServer(ip_address=host, port=port, verbose=False)
        second.start()
        wait_until(lambda: running.probe("/readyz")["bundle"]["name"] == "mine", "the swap")
        assert running.probe("/readyz")["load_failure"] == ""
        assert running.terminate() == 0
        second.stop()
