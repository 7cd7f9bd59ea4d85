"""Traces for real: a worker's spans by OTLP over HTTP, what its decisions carry, and a collector that is not there."""

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from scorer.core.engine import IS_INSTALLED
from scorer.local.broker import Broker
from scorer.local.running import free_ports
from tests.fakes import Headers, application
from tests.integration.worker_process import WAIT_S, Topics, wait_until, worker

pytestmark = pytest.mark.broker
needs_engine = pytest.mark.skipif(not IS_INSTALLED, reason="the compiled engine is not installed")

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SENT: list[Headers] = [
    [("traceparent", PARENT.encode()), ("tracestate", b"vendor=1"), ("other", b"x")],
    [("traceparent", b"not one")],
    [],
]


class Collector:
    """Receives traces as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.path == "/v1/traces"
                requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing to tell."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        """All that have come."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        """Receives no more."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector on a free port."""
    with closing(Collector()) as started:
        yield started


@pytest.fixture
def topics(broker: Broker) -> Topics:
    """One partition, with an application of each kind of headers."""
    made = Topics(broker.bootstrap_servers, 1)
    producer = Producer({"bootstrap.servers": made.servers})
    for i, headers in enumerate(SENT):
        producer.produce(made.applications, application(f"a-{i}"), key=b"key", headers=list(headers), partition=0)
    assert producer.flush(WAIT_S) == 0
    return made


def _trace_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")


@pytest.mark.parametrize("engine", [pytest.param("compiled", marks=needs_engine), "python"])
def test_spans_reach_the_collector(
    topics: Topics, collector: Collector, engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch's span arrives, linked to the one application that was sent within a trace, with its steps below."""
    _trace_to(monkeypatch, collector.address)
    options = ("--set", "traces=otlp", "--set", f"engine={engine}", "--instance-id", "scorer-0")
    with worker(topics, tmp_path / "worker.log", *options) as running:
        wait_until(lambda: topics.committed() == {0: len(SENT)}, "all decided")
        assert running.terminate() == 0
    (resource,) = {str(r.resource.attributes) for request in collector.requests for r in request.resource_spans}
    assert "service.name" in resource
    assert "scorer-0" in resource
    batches = [span for span in collector.spans() if span.kind == Span.SPAN_KIND_CONSUMER]
    assert {span.name for span in batches} == {f"process {topics.applications}"}
    links = [f"00-{link.trace_id.hex()}-{link.span_id.hex()}-01" for span in batches for link in span.links]
    assert links == [PARENT]
    for span in batches:
        steps = [child.name for child in collector.spans() if child.parent_span_id == span.span_id]
        scoring = {"compiled": ["engine"], "python": ["decode", "features", "predict", "explain", "encode"]}[engine]
        assert steps == [*scoring, "publish", "commit"]


def test_decisions_are_the_same_with_traces_and_without(
    topics: Topics, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key, value and headers: a decision carries on its application's own context, traced or not, and nothing else."""
    _trace_to(monkeypatch, collector.address)
    runs: list[list[tuple[Any, ...]]] = []
    for traces in ("otlp", "off"):
        options = ("--set", f"traces={traces}", "--group-id", f"{topics.mark}-{traces}")
        with worker(topics, tmp_path / f"{traces}.log", *options) as running:
            before = len(SENT) * len(runs)
            wait_until(lambda: topics.count(topics.decisions) == before + len(SENT), "all decided")  # noqa: B023
            assert running.terminate() == 0
        decisions: list[tuple[Any, ...]] = [(d.key(), d.value(), d.headers()) for d in topics.read(topics.decisions)]
        runs.append(decisions[before:])
    assert runs[0] == runs[1]
    assert [headers for _, _, headers in runs[0]] == [
        [("traceparent", PARENT.encode()), ("tracestate", b"vendor=1")],
        [("traceparent", b"not one")],
        None,
    ]


def test_no_collector_is_no_obstacle(topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody takes the spans the worker decides all the same, says so, and ends well when it is told to."""
    _trace_to(monkeypatch, f"http://127.0.0.1:{free_ports(1)[0]}")
    with worker(topics, tmp_path / "worker.log", "--set", "traces=otlp") as running:
        wait_until(lambda: topics.committed() == {0: len(SENT)}, "all decided")
        assert running.terminate() == 0
        assert any(line["logger"].startswith("opentelemetry") for line in running.events("library"))
