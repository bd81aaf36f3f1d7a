"""OpenTelemetry spans and metrics of guarded requests.

    from tocsin.guard.telemetry.opentelemetry import install

    install()    # once a process, after the SDK has been set up

A span is made when its request has ended, with the times that it had; its parent is the span that was current then,
which is the framework's.
"""

from collections.abc import Mapping
from typing import Any

from tocsin.guard._log_events import Ending, Event
from tocsin.guard.telemetry._listening import Listening

try:
    from opentelemetry.metrics import MeterProvider, get_meter
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider, get_tracer
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tocsin.guard.telemetry.opentelemetry needs opentelemetry-api: pip install 'tocsin[opentelemetry]'"
    ) from error

_SCOPE = "tocsin.guard"
_NS = 1_000_000_000
_FAULTS = frozenset(ending.word for ending in Ending if ending.is_fault)
# Attributes of the span; what of them becomes one of a metric is bounded by the application's routes.
_SPAN_FIELDS = ("operation", "outcome", "status", "key", "tenant", "waited_ms", "reason", "error")


def install(*, tracers: TracerProvider | None = None, meters: MeterProvider | None = None) -> Listening:
    """Make spans and metrics of what the guards of this process do, from now on.

    Args:
        tracers: by default the global one.
        meters: likewise.

    Returns:
        What to close, if ever.
    """
    return Listening(_Telemetry(tracers, meters).hear)


class _Telemetry:
    def __init__(self, tracers: TracerProvider | None, meters: MeterProvider | None) -> None:
        self._tracer = get_tracer(_SCOPE, tracer_provider=tracers)
        meter = get_meter(_SCOPE, meter_provider=meters)
        self._duration = meter.create_histogram(
            "tocsin.guard.request.duration", "s", "How long guarded requests took, waiting included."
        )
        self._waited = meter.create_histogram(
            "tocsin.guard.request.wait", "s", "How long they waited for one with their key, or for other writers."
        )
        self._swept = meter.create_counter(
            "tocsin.guard.swept", "{row}", "Answers and claims that have had their time and were let go."
        )

    def hear(self, fields: Mapping[str, Any], created: float) -> None:
        """Make a span and measurements of one record of the guard's log."""
        event = fields["event"]
        if event == Event.SWEPT.value:
            self._swept.add(fields["rows"])
        if event != Event.REQUEST.value:
            return
        self._span(fields, round(created * _NS))
        attributes = {f"tocsin.{name}": fields[name] for name in ("operation", "outcome")}
        self._duration.record(fields["duration_ms"] / 1000, attributes)
        self._waited.record(fields["waited_ms"] / 1000, attributes)

    def _span(self, fields: Mapping[str, Any], ended_ns: int) -> None:
        began_ns = ended_ns - round(fields["duration_ms"] * 1_000_000)
        attributes = {f"tocsin.{name}": fields[name] for name in _SPAN_FIELDS if fields[name] is not None}
        span = self._tracer.start_span(
            f"guard {fields['operation']}", kind=SpanKind.INTERNAL, attributes=attributes, start_time=began_ns
        )
        if fields["outcome"] in _FAULTS:
            span.set_status(Status(StatusCode.ERROR, fields["reason"]))
        span.end(ended_ns)
