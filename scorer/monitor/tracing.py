"""One span per batch, linked to its applications' traces; the only module that uses OpenTelemetry (extra `otel`).

Names and attributes are those of OpenTelemetry's semantic conventions for Kafka: a "process" span that links to the
messages' creation contexts. https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from threading import Thread
from typing import Final, NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanContext, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from schemas.decision import TRACE_HEADERS
from schemas.record_headers import Headers
from scorer.core.score import Scores
from scorer.errors import SettingsError
from scorer.settings import Settings
from scorer.stream.delivery import Delivered
from scorer.stream.observer import Observer
from scorer.stream.worker import Batch

# The SDK's limit per span; a batch may have thousands of applications.
_LINKS_MAX: Final = 128
# The batch is committed and the group left; this only delays the end of the process.
_LAST_SPANS_S: Final = 3.0
_TRACEPARENT: Final = TRACE_HEADERS[0]
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NS: Final = 1_000_000_000


class _Pending(NamedTuple):
    """A batch that is not committed yet: when it was polled and when each step ended, in nanoseconds since 1970."""

    batch: Batch
    polled_at_ns: int
    laps: list[tuple[str, int]]


class BatchSpans(Observer):
    """Creates the spans of a batch after its end, from times recorded meanwhile; the loop never waits for it."""

    def __init__(self, provider: TracerProvider, settings: Settings) -> None:
        """Prepares.

        Args:
            provider: the tracer provider; shut down by `close`.
            settings: the source of the consumer's attributes.
        """
        self._provider = provider
        self._tracer = provider.get_tracer("scorer", version("streaming-credit-scorer"))
        self._name = f"process {settings.applications_topic}"
        self._attributes: dict[str, str | int] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": settings.applications_topic,
            "messaging.consumer.group.name": settings.group_id,
            "messaging.client.id": settings.instance_id or settings.group_id,
        }
        # The loop scores a batch while the previous one is being delivered: at most two, which end in order.
        self._pending: deque[_Pending] = deque()

    def polled(self, batch: Batch) -> None:
        """A poll was completed; a batch begins if there is anything to commit."""
        if batch.offsets_next:
            self._pending.append(_Pending(batch, time.time_ns(), []))

    def lap(self, stage: str) -> None:
        """A step of the batch that was polled last ended."""
        self._pending[-1].laps.append((stage, time.time_ns()))

    def committed(self, batch: Batch, scores: Scores, times: Delivered) -> None:
        """The oldest batch is committed."""
        batch, polled_at_ns, laps = self._pending.popleft()
        if not batch.records:
            return
        span = self._start(batch, polled_at_ns)
        if span.is_recording():
            span.set_attributes(
                {
                    "scorer.bundle": str(scores.bundle),
                    "scorer.decisions": len(scores.decided),
                    "scorer.rejects": len(scores.results) - len(scores.decided),
                }
            )
            for context in _contexts(times.headers):
                span.add_link(context)
            self._add_stages(span, polled_at_ns, laps)
            began_ns, handed_over_ns, confirmed_ns = (int(at * _NS) for at in times[:3])
            self._add_stages(span, began_ns, [("publish", handed_over_ns), ("commit", confirmed_ns)])
        span.end(int(times.confirmed_at * _NS))

    def aborted(self) -> None:
        """Uncommitted batches were aborted; their records are processed again in other batches."""
        for batch, polled_at_ns, laps in self._pending:
            span = self._start(batch, polled_at_ns)
            self._add_stages(span, polled_at_ns, laps)
            span.set_attribute("error.type", "aborted")
            span.set_status(StatusCode.ERROR)
            span.end()
        self._pending.clear()

    def close(self) -> None:
        """Sends the remaining spans, within a time limit."""
        ending = Thread(target=self._provider.shutdown, name="spans", daemon=True)
        ending.start()
        ending.join(_LAST_SPANS_S)

    def _start(self, batch: Batch, start_ns: int) -> Span:
        attributes = self._attributes | {"messaging.batch.message_count": len(batch.records)}
        if len(batch.offsets_next) == 1:
            attributes["messaging.destination.partition.id"] = str(next(iter(batch.offsets_next)))
        return self._tracer.start_span(self._name, kind=SpanKind.CONSUMER, attributes=attributes, start_time=start_ns)

    def _add_stages(self, span: Span, begin_ns: int, ends: Iterable[tuple[str, int]]) -> None:
        within = set_span_in_context(span)
        for stage, end_ns in ends:
            self._tracer.start_span(stage, within, start_time=begin_ns).end(end_ns)
            begin_ns = end_ns


def otlp_provider(settings: Settings) -> TracerProvider:
    """Exports spans by OTLP over HTTP from a background thread, as configured by the standard OTEL_* variables.

    Raises:
        SettingsError: the variables set another exporter or protocol.
    """
    _require_otlp_over_http()
    attributes = {"service.name": "scorer", "service.version": version("streaming-credit-scorer")}
    if settings.instance_id:
        attributes["service.instance.id"] = settings.instance_id
    named = Resource(attributes).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=Resource.create(named.attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _require_otlp_over_http() -> None:
    wanted = {
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    }
    for name, only in wanted.items():
        given = os.environ.get(name) or only
        if given != only:
            raise SettingsError(
                f"{name}={given}: traces are exported by OTLP over HTTP only; unset it, or set it to {only}"
            )


def _contexts(all_headers: Iterable[Headers]) -> list[SpanContext]:
    """The applications' trace contexts, each once, up to the limit."""
    contexts: dict[tuple[int, int], SpanContext] = {}
    for context in _valid_contexts(all_headers):
        contexts[context.trace_id, context.span_id] = context
        if len(contexts) == _LINKS_MAX:
            break
    return list(contexts.values())


def _valid_contexts(all_headers: Iterable[Headers]) -> Iterator[SpanContext]:
    for headers in all_headers:
        parents = [value for name, value in headers if name == _TRACEPARENT and value]
        if len(parents) == 1:  # with several, it is unknown which one counts
            # Without the tracestate: a link does not need it, and the SDK logs its contents if it is malformed.
            carrier = {_TRACEPARENT: parents[0].decode("latin-1")}
            context = get_current_span(_PROPAGATOR.extract(carrier)).get_span_context()
            if context.is_valid:
                yield context
