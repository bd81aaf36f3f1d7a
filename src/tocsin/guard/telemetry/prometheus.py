"""Prometheus metrics of guarded requests.

    from tocsin.guard.telemetry.prometheus import install

    install()    # once a process; then serve prometheus_client's registry as usual

Labels are the operation's name, which is a path template, and the outcome, of which there are as many as docs/guard.md
lists: no value of a request becomes a label.
"""

from collections.abc import Mapping
from typing import Any

from tocsin.guard._log_events import Event
from tocsin.guard.telemetry._listening import Listening

try:
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tocsin.guard.telemetry.prometheus needs prometheus-client: pip install 'tocsin[prometheus]'"
    ) from error

# Seconds: a replay takes well under a millisecond, a commit that others wait for tens of them, a wait `wait_s` (2 s).
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


def install(registry: CollectorRegistry = REGISTRY) -> Listening:
    """Count and time what the guards of this process do, from now on.

    Args:
        registry: where the metrics are registered.

    Returns:
        What to close, if ever.

    Raises:
        ValueError: the registry has these metrics already.
    """
    return Listening(_Metrics(registry).hear)


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tocsin_guard_requests",
            "Guarded requests that have ended, by how.",
            ("operation", "outcome"),
            registry=registry,
        )
        self._duration = Histogram(
            "tocsin_guard_request_seconds",
            "How long guarded requests took, waiting included.",
            ("operation",),
            registry=registry,
            buckets=_BUCKETS,
        )
        self._waited = Histogram(
            "tocsin_guard_wait_seconds",
            "How long guarded requests waited for one with their key, or for other writers.",
            ("operation",),
            registry=registry,
            buckets=_BUCKETS,
        )
        self._held = Counter(
            "tocsin_guard_write_lock_held_seconds",
            "How long handlers held SQLite's write lock, where that was longer than `hold_s`.",
            ("operation",),
            registry=registry,
        )
        self._swept = Counter(
            "tocsin_guard_swept_rows", "Answers and claims that have had their time and were let go.", registry=registry
        )

    def hear(self, fields: Mapping[str, Any], _created: float) -> None:
        """Count one record of the guard's log."""
        event = fields["event"]
        if event == Event.REQUEST.value:
            operation = fields["operation"]
            self._requests.labels(operation, fields["outcome"]).inc()
            self._duration.labels(operation).observe(fields["duration_ms"] / 1000)
            self._waited.labels(operation).observe(fields["waited_ms"] / 1000)
        elif event == Event.HELD.value:
            self._held.labels(fields["operation"]).inc(fields["held_ms"] / 1000)
        elif event == Event.SWEPT.value:
            self._swept.inc(fields["rows"])
