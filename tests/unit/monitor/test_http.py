"""The HTTP thread: three pages, the right status, a free port, and an end."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from schemas.decision import BundleReference
from scorer.errors import MisuseError
from scorer.monitor.health import Health
from scorer.monitor.http import MonitorServer
from tests.sockets import HALF_A_REQUEST, ask, half_open
from tests.unit.http.test_address import needs_ipv6


@pytest.fixture
def health() -> Health:
    """A worker that has just started."""
    return Health(
        BundleReference(name="tiny", version="1.0.0", digest="0" * 64),
        poll_stalled_after_s=300,
        delivery_stalled_after_s=300,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[MonitorServer]:
    """A server on a free port, of a worker that has just started."""
    registry = CollectorRegistry()
    Gauge("answer", "Help.", registry=registry).set(42)
    reference = BundleReference(name="tiny", version="1.0.0", digest="0" * 64)
    health = Health(reference, poll_stalled_after_s=300, delivery_stalled_after_s=300, clock=lambda: 0.0)
    with closing(MonitorServer("127.0.0.1", 0, registry, health)) as started:
        yield started


def request(server: MonitorServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, str]:
    """An answer and its body; headers' names have underscores."""
    with closing(HTTPConnection(server.address, timeout=30)) as connection:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read().decode()


def get(server: MonitorServer, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Status, content type and body of a page."""
    answer, body = request(server, path, Accept=accept)
    return answer.status, answer.getheader("Content-Type", ""), body


@pytest.mark.parametrize("accept", ["*/*", "application/openmetrics-text; version=1.0.0"])
def test_metrics(server: MonitorServer, accept: str) -> None:
    """/metrics is the registry, in the format that the scraper asks for."""
    status, content_type, body = get(server, "/metrics?x=1", accept)
    assert status == 200
    assert content_type.startswith("text/plain" if accept == "*/*" else "application/openmetrics-text")
    families = text_string_to_metric_families(body.removesuffix("# EOF\n"))
    assert [sample.value for family in families for sample in family.samples] == [42]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://elsewhere:9/metrics?x=1", 200),
        ("HTTPS://[::1]:9/metrics", 200),
        ("http://elsewhere/%6detrics", 200),
        ("http://elsewhere", 404),
        ("http://elsewhere/http://elsewhere/metrics", 404),
    ],
)
def test_a_whole_url_as_the_target(server: MonitorServer, target: str, status: int) -> None:
    """A server must take it (RFC 9112, 3.2.2), though only proxies are asked like this; it was 404."""
    assert get(server, target)[0] == status


def test_probes(health: Health) -> None:
    """A probe is 200 or 503, with the detail as JSON."""
    with closing(MonitorServer("127.0.0.1", 0, CollectorRegistry(), health)) as server:
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


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/metrics?x=1", "/elsewhere"])
def test_head_is_get_without_a_body(server: MonitorServer, path: str) -> None:
    """HEAD has the status and the headers of GET; it used to be 501."""
    response, body = request(server, path)
    answer, nothing = request(server, path, "HEAD")
    assert (answer.status, nothing) == (response.status, "")
    assert answer.getheader("Content-Type") == response.getheader("Content-Type")
    assert answer.getheader("Content-Length") == str(len(body))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"])
def test_other_methods(server: MonitorServer, method: str) -> None:
    """What is not read is 405, with the methods that are allowed; an unknown page stays unknown."""
    answer, _ = request(server, "/healthz", method)
    assert (answer.status, answer.getheader("Allow")) == (405, "GET, HEAD")
    assert request(server, "/elsewhere", method)[0].status == 404


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/elsewhere"])
def test_no_versions(server: MonitorServer, path: str) -> None:
    """Nothing tells which server and which Python answer: whoever can reach the port is not asked who they are."""
    assert request(server, path)[0].getheader("Server") is None


@pytest.mark.parametrize(
    "accept",
    ["", "application/openmetrics-text; version=a", "application/openmetrics-text;version=", ";,=;", "text/plain;q=x"],
)
def test_an_accept_header_that_makes_no_sense(server: MonitorServer, accept: str) -> None:
    """It gets the metrics in one of the formats."""
    status, content_type, body = get(server, "/metrics", accept)
    assert status == 200
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert "answer 42.0" in body


def test_probes_show_no_paths(health: Health) -> None:
    """Reasons are shown without the paths and URLs in them: anybody may ask, and the log has them."""
    champion = (
        "mine:1.0.0@0a was deployed and cannot be loaded: s3://key:secret@bucket/bundles cannot be read: "
        "[Errno 2] No such file: '/srv/secret bundles/x' in \"/secret\", file:///secret/y: /secret."
    )
    health.load_failures = {"champion": champion, "challenger": "secret/x: damaged"}
    with closing(MonitorServer("127.0.0.1", 0, CollectorRegistry(), health)) as server:
        _, _, body = get(server, "/readyz")
    detail = json.loads(body)
    assert "secret" not in body
    assert detail["load_failure"].startswith(
        "mine:1.0.0@0a was deployed and cannot be loaded: [see the log] cannot be read"
    )
    assert detail["challenger_load_failure"] == "[see the log] damaged"
    assert detail["bundle"] == {"name": "tiny", "version": "1.0.0", "digest": "0" * 64}


def test_a_request_that_fails_is_a_line_in_the_log(health: Health, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be answered is 500 for that one request and one line in the log, without the exception's text."""
    registry = CollectorRegistry()
    Gauge("answer", "Help.", registry=registry).set_function(lambda: 1 / 0)
    with closing(MonitorServer("127.0.0.1", 0, registry, health)) as server:
        assert [get(server, "/metrics")[0] for _ in range(20)] == [500] * 20
        assert get(server, "/healthz")[0] == 200
    (line,) = caplog.records
    assert line.__dict__["event"] == "http_failed"
    assert line.__dict__["fields"]["error"] == "ZeroDivisionError"
    assert line.__dict__["fields"]["location"].startswith("monitor/http.py:")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", pytest.param("::1", marks=needs_ipv6)])
def test_its_address_can_be_asked(health: Health, host: str) -> None:
    """What is logged as `http=` is what a URL takes, for IPv6 too, and the log's text form leaves it as one word."""
    with closing(MonitorServer(host, 0, CollectorRegistry(), health)) as server:
        assert get(server, "/healthz")[0] == 200
        assert not set(server.address) & set(' "=')


def test_port_in_use(server: MonitorServer, health: Health) -> None:
    """A port that is taken is misuse, with the way out."""
    host, _, port = server.address.rpartition(":")
    with pytest.raises(MisuseError, match="set http_port to a free port, or to 0"):
        MonitorServer(host, int(port), CollectorRegistry(), health)


def test_close_frees_the_port(health: Health) -> None:
    """Closed, it leaves the port to the next one, whatever was open."""
    first = MonitorServer("127.0.0.1", 0, CollectorRegistry(), health)
    host, _, port = first.address.rpartition(":")
    with half_open(first.address, 5):
        first.close()
        MonitorServer(host, int(port), CollectorRegistry(), health).close()


def test_one_thread_for_all(server: MonitorServer) -> None:
    """Connections have no threads."""
    before = threading.active_count()
    with half_open(server.address, 100):
        assert get(server, "/healthz")[0] == 200
        assert threading.active_count() == before


def test_signals_are_the_main_threads(health: Health) -> None:
    """The thread takes no signals: one that came to it would not end the loop's waiting."""
    registry, blocked = CollectorRegistry(), set[int]()

    def note() -> float:
        blocked.update(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return 0.0

    Gauge("answer", "Help.", registry=registry).set_function(note)
    with closing(MonitorServer("127.0.0.1", 0, registry, health)) as server:
        assert get(server, "/metrics")[0] == 200
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= blocked


def test_a_thread_that_fails_does_not_fail_the_worker(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker goes on without probes: the failure is a line in the log, and clients are refused at once."""
    failures: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda failure: failures.append(failure.exc_type))
    monkeypatch.setattr("scorer.http.server.Server.run", lambda _: 1 / 0)
    server = MonitorServer("127.0.0.1", 0, CollectorRegistry(), health)
    server.close()
    assert failures == [ZeroDivisionError]
    with pytest.raises(ConnectionRefusedError):
        ask(server.address, HALF_A_REQUEST)
