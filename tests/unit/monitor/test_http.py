"""The HTTP thread: three pages, the right status, a free port, and an end."""

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, RemoteDisconnected

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from schemas.decision import BundleReference
from scorer.errors import MisuseError
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer


@pytest.fixture
def health() -> Health:
    """A worker that has just started."""
    return Health(
        BundleReference(name="tiny", version="1.0.0", digest="0" * 64),
        poll_stalled_after_s=300,
        delivery_stalled_after_s=300,
    )


@pytest.fixture
def server(health: Health) -> Iterator[MonitorServer]:
    """A server on a free port."""
    registry = CollectorRegistry()
    Gauge("answer", "Help.", registry=registry).set(42)
    with closing(MonitorServer("127.0.0.1", 0, registry, health)) as started:
        yield started


def get(server: MonitorServer, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Status, content type and body of a page."""
    host, _, port = server.address.rpartition(":")
    with closing(HTTPConnection(host, int(port), timeout=30)) as connection:
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type", ""), answer.read().decode()


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
def test_metrics(server: MonitorServer, accept: str) -> None:
    """/metrics is the registry, in the format that the scraper asks for."""
    status, content_type, body = get(server, "/metrics?x=1", accept)
    assert status == 200
    assert content_type.startswith("text/plain" if accept == "*/*" else "application/openmetrics-text")
    families = text_string_to_metric_families(body.removesuffix("# EOF\n"))
    assert [sample.value for family in families for sample in family.samples] == [42]


def test_probes(server: MonitorServer, health: Health) -> None:
    """A probe is 200 or 503, with the detail as JSON."""
    assert get(server, "/healthz")[0] == 200
    status, content_type, body = get(server, "/readyz")
    assert (status, content_type) == (503, "application/json")
    assert json.loads(body)["ok"] is False
    health.assigned = frozenset({0})
    status, _, body = get(server, "/readyz")
    assert status == 200
    assert json.loads(body)["partitions"] == [0]


def test_elsewhere(server: MonitorServer) -> None:
    """Any other page says which ones there are."""
    status, _, body = get(server, "/")
    assert status == 404
    assert "/metrics, /healthz and /readyz" in body


def test_a_request_that_fails_is_a_line_in_the_log(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be answered ends that one request, and stderr has a line of the log's form and no bare traceback."""
    registry = CollectorRegistry()
    Gauge("answer", "Help.", registry=registry).set_function(lambda: 1 / 0)
    with closing(MonitorServer("127.0.0.1", 0, registry, health)) as server:
        with pytest.raises(RemoteDisconnected):
            get(server, "/metrics")
        assert get(server, "/healthz")[0] == 200
    (line,) = caplog.records
    assert (line.__dict__["event"], line.__dict__["fields"]) == ("http_failed", {"error": "ZeroDivisionError"})


def test_port_in_use(server: MonitorServer, health: Health) -> None:
    """A port that is taken is misuse, with the way out."""
    host, _, port = server.address.rpartition(":")
    with pytest.raises(MisuseError, match="set http_port to a free port, or to 0"):
        MonitorServer(host, int(port), CollectorRegistry(), health)


def test_close_frees_the_port(health: Health) -> None:
    """Closed, it leaves the port to the next one."""
    first = MonitorServer("127.0.0.1", 0, CollectorRegistry(), health)
    host, _, port = first.address.rpartition(":")
    first.close()
    MonitorServer(host, int(port), CollectorRegistry(), health).close()
