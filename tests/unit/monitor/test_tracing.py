"""Spans: one a batch with its steps below, linked to its applications' traces; and nothing where none are wanted."""

import subprocess
import sys
from collections.abc import Sequence
from threading import Event

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from scorer import process
from scorer.core.score import Scores, score_batch
from scorer.errors import SettingsError
from scorer.monitor import tracing
from scorer.monitor.tracing import BatchSpans, otlp_provider
from scorer.settings import Settings, load_settings
from scorer.stream.delivery import Delivered
from scorer.stream.worker import Batch
from tests.fakes import RECORD_BYTES_MAX, FakeRecord, Headers, application, tiny_bundle

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
STAGES = ["decode", "features", "predict", "encode", "publish", "commit"]


def settings(**flags: object) -> Settings:
    """Settings with these flags."""
    return load_settings(flags, environment={}).settings


class Traced:
    """Spans as the loop makes them, kept in memory."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = provider or TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.spans = BatchSpans(provider, settings(instance_id="scorer-0"))
        self._clock = 2_000_000_000.0
        self._batches: list[Batch] = []

    def score(self, batch: Batch) -> Scores:
        """What the loop does with a batch before it is published."""
        self.spans.polled(batch)
        self._batches.append(batch)
        return score_batch(batch.records, tiny_bundle(), RECORD_BYTES_MAX, self.spans.lap)

    def commit(self, scores: Scores, headers: Sequence[Headers] = ()) -> None:
        """What the link tells of it once it is there."""
        begun = self._clock = self._clock + 1
        self.spans.committed(self._batches.pop(0), scores, Delivered(begun, begun + 0.25, begun + 0.5, headers))

    def finished(self) -> list[tuple[ReadableSpan, list[ReadableSpan]]]:
        """Each batch's span with its steps in order."""
        spans = self._exporter.get_finished_spans()
        return [
            (span, [child for child in spans if child.parent is not None and child.parent == span.context])
            for span in spans
            if span.parent is None
        ]


def batch(count: int, *, bad: int = 0, partition: int = 0) -> Batch:
    """A batch of so many applications, of which some are no JSON."""
    bodies = [b"no" if i < bad else application(f"a-{i}") for i in range(count)]
    return Batch([FakeRecord((partition, i), body) for i, body in enumerate(bodies)], {partition: count})


def traceparent(number: int = 0, text: str | None = None) -> Headers:
    """The headers of an application that was sent within a trace."""
    return [("traceparent", (text or f"00-{TRACE}-{number + 1:016x}-01").encode())]


def linked(span: ReadableSpan) -> list[str]:
    """What a span links to."""
    return [f"{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links]


def test_a_batch_is_a_span_with_its_steps() -> None:
    """Name, kind and attributes are those of the conventions for Kafka; the steps are those of the metrics."""
    traced = Traced()
    traced.commit(traced.score(batch(5, bad=2, partition=3)), [()] * 5)
    ((span, steps),) = traced.finished()
    assert (span.name, span.kind) == ("process credit.applications", SpanKind.CONSUMER)
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "credit.applications",
        "messaging.destination.partition.id": "3",
        "messaging.consumer.group.name": "scorer",
        "messaging.client.id": "scorer-0",
        "messaging.batch.message_count": 5,
        "scorer.bundle": str(tiny_bundle().reference),
        "scorer.decisions": 3,
        "scorer.rejects": 2,
    }
    assert span.status.status_code is StatusCode.UNSET
    assert [step.name for step in steps] == STAGES
    ends = [(step.start_time, step.end_time) for step in steps]
    assert ends[0][0] == span.start_time
    assert [begin for begin, _ in ends[1:4]] == [end for _, end in ends[:3]]
    assert ends[4][1] == ends[5][0]
    assert ends[5][1] == span.end_time


def test_two_batches_on_their_way_are_kept_apart() -> None:
    """While a batch is delivered the next one is scored; each span has its own batch's figures and steps."""
    traced = Traced()
    first = traced.score(batch(1))
    second = traced.score(batch(2))
    traced.commit(first, [()])
    traced.commit(second, [()] * 2)
    spans = traced.finished()
    assert [(span.attributes or {})["messaging.batch.message_count"] for span, _ in spans] == [1, 2]
    assert [[step.name for step in steps] for _, steps in spans] == [STAGES, STAGES]


def test_a_rolled_back_batch_is_only_an_error() -> None:
    """All that was not committed ends as failed spans; what comes again afterwards has a span of its own."""
    traced = Traced()
    traced.score(batch(3))
    traced.score(batch(4))
    traced.spans.aborted()
    traced.commit(traced.score(batch(7)), [()] * 7)
    spans = [span for span, _ in traced.finished()]
    assert [span.status.status_code for span in spans] == [StatusCode.ERROR, StatusCode.ERROR, StatusCode.UNSET]
    counts = [(span.attributes or {})["messaging.batch.message_count"] for span in spans]
    assert counts == [3, 4, 7]
    assert [(span.attributes or {}).get("error.type") for span in spans] == ["aborted", "aborted", None]


def test_a_batch_without_records_is_no_span() -> None:
    """Offsets that move behind transaction markers, and polls that bring nothing, are nobody's application."""
    traced = Traced()
    traced.spans.polled(Batch([], {}))
    traced.commit(traced.score(Batch([], {0: 8})))
    assert traced.finished() == []


def test_it_links_to_the_applications_traces() -> None:
    """Each valid context once, however many applications share it; more than the limit are left out."""
    traced = Traced()
    shared = [*traceparent(0), ("tracestate", b"vendor=1")]
    traced.commit(traced.score(batch(3)), [shared, (), shared])
    traced.commit(traced.score(batch(200)), [traceparent(i) for i in range(200)])
    (first, _), (second, _) = traced.finished()
    assert linked(first) == [f"{TRACE}-0000000000000001"]
    assert linked(second) == [f"{TRACE}-{i + 1:016x}" for i in range(128)]


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", b"")],
        traceparent(text="no traceparent"),
        traceparent(text=f"ff-{TRACE}-{SPAN}-01"),
        traceparent(text=f"00-{'0' * 32}-{SPAN}-01"),
        traceparent(text=f"00-{TRACE}-{'0' * 16}-01"),
        traceparent(text=f"00-{TRACE.upper()}-{SPAN}-01"),
        traceparent(text=f"00-{TRACE}-{SPAN}-01-more"),
        [("traceparent", None)],
        [("traceparent", b"\xff\xfe")],
        [("Traceparent", f"00-{TRACE}-{SPAN}-01".encode())],
        [*traceparent(0), *traceparent(1)],
    ],
)
def test_an_invalid_trace_context_is_not_linked(headers: Headers, caplog: pytest.LogCaptureFixture) -> None:
    """As the W3C's rules say what is invalid counts as if it were not there; nobody is told of it, line by line."""
    traced = Traced()
    traced.commit(traced.score(batch(2)), [headers, [("traceparent", f"00-{TRACE}-{SPAN}-01".encode())]])
    ((span, _),) = traced.finished()
    assert linked(span) == [f"{TRACE}-{SPAN}"]
    assert caplog.messages == []


def test_what_is_not_sampled_is_not_looked_at() -> None:
    """A batch that the sampler leaves out costs one span that records nothing."""
    traced = Traced(TracerProvider(sampler=ALWAYS_OFF))
    traced.commit(traced.score(batch(1)), [traceparent()])
    assert traced.finished() == []


def test_a_service_is_named_by_the_environment_or_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard variables win over what the program says of itself."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    provider = otlp_provider(settings(instance_id="scorer-0"))
    provider.shutdown()
    named = provider.resource.attributes
    assert (named["service.name"], named["service.instance.id"]) == ("scorer", "scorer-0")
    assert named["deployment.environment.name"] == "test"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "loans")
    provider = otlp_provider(settings())
    provider.shutdown()
    assert provider.resource.attributes["service.name"] == "loans"


@pytest.mark.parametrize(
    ("name", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
)
def test_another_exit_is_rejected(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans that would go nowhere, or not understood, are an error at the start and not a silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}={value}: traces are exported by OTLP over HTTP only"):
        otlp_provider(settings())


def test_an_end_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that takes no spans does not keep a worker that is done from ending."""
    monkeypatch.setattr(tracing, "_LAST_SPANS_S", 0.01)
    answered = Event()

    class Hanging(InMemorySpanExporter):
        def shutdown(self) -> None:
            answered.wait()

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Hanging()))
    BatchSpans(provider, settings()).close()
    assert not answered.is_set()
    answered.set()


def test_off_makes_no_spans() -> None:
    """Where no traces are wanted nothing makes any."""
    assert process._spans(settings()) is None


def test_off_imports_nothing() -> None:
    """A worker without traces has loaded none of OpenTelemetry when it starts to poll."""
    program = """
import sys
from scorer import process
from scorer.settings import Settings
from scorer.stop import Stop
from scorer.stream.follow import Pinned
from scorer.watchdog import Watchdog
from tests.fakes import tiny_bundle

class Link:
    def __init__(self, *_, **__): pass
    def poll(self, _):
        found = [name for name in sys.modules if name.startswith("opentelemetry")]
        print(found, "scorer.monitor.tracing" in sys.modules)
        raise SystemExit
    def close(self): pass

process.KafkaLink = Link
process.work(Settings(http_port=0), Pinned(tiny_bundle()), Stop(), Watchdog(60))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[] False\n"


def test_without_the_extra_an_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces that are wanted where nothing makes them end the worker with the cure."""
    monkeypatch.setitem(sys.modules, "scorer.monitor.tracing", None)
    with pytest.raises(SettingsError, match=r"pip install '\.\[otel\]'"):
        process._spans(settings(traces="otlp"))


def test_on_makes_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traces that are wanted are made by an observer of their own, beside metrics and health."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    spans = process._spans(settings(traces="otlp"))
    assert isinstance(spans, BatchSpans)
    spans.close()
