"""Metrics and spans say what the guard did, and nobody else hears more of it than before."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from tests.guard.conftest import make_shop
from tests.guard.shop import Shop
from tocsin.guard import Signed, Transaction, TransactionMisuse
from tocsin.guard.telemetry import _listening, opentelemetry, prometheus

__all__ = ["make_shop"]

DASHBOARD = Path(__file__).parents[3] / "docs" / "grafana" / "tocsin-guard.json"
MakeShop = Callable[..., Shop]
LOG = logging.getLogger("tocsin.guard")


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = (LOG.level, LOG.propagate, list(LOG.handlers), list(LOG.filters))
    yield
    assert (LOG.level, LOG.propagate, list(LOG.handlers), list(LOG.filters)) == before


def breaks(_signed: Signed, tx: Transaction) -> Any:
    with suppress(TransactionMisuse):
        tx.execute("ROLLBACK")
    return {}


def use(shop: Shop) -> None:
    """One of each: applied, replayed, rejected, broken."""
    shop.app.testing = False
    shop.order("1")
    shop.order("1")
    shop.app.test_client().post("/order", data=b"{}")
    shop.handler = breaks
    shop.order("2")


def test_prometheus_counts_every_ending_by_operation(make_shop: MakeShop) -> None:
    registry = CollectorRegistry()
    with prometheus.install(registry):
        use(make_shop())
    for outcome in ("applied", "replayed", "rejected", "broken"):
        labels = {"operation": "/order", "outcome": outcome}
        assert registry.get_sample_value("tocsin_guard_requests_total", labels) == 1, outcome
    assert registry.get_sample_value("tocsin_guard_request_seconds_count", {"operation": "/order"}) == 4
    assert registry.get_sample_value("tocsin_guard_wait_seconds_count", {"operation": "/order"}) == 4
    total = registry.get_sample_value("tocsin_guard_request_seconds_sum", {"operation": "/order"})
    assert total is not None
    assert 0 < total < 60


def test_no_value_of_a_request_becomes_a_label(make_shop: MakeShop) -> None:
    registry = CollectorRegistry()
    with prometheus.install(registry):
        make_shop().order("canary-7d1f")
    text = generate_latest(registry).decode()
    assert "canary" not in text
    assert set(re.findall(r'(\w+)="', text)) == {"operation", "outcome", "le"}


def test_sweeps_and_held_locks_are_counted() -> None:
    registry = CollectorRegistry()
    with prometheus.install(registry):
        LOG.info("swept", extra={"event": "swept", "rows": 7})
        LOG.warning("held", extra={"event": "write_lock_held", "operation": "/order", "held_ms": 1500})
        LOG.warning("a notice", extra={"event": "store_notice", "store": "x", "reason": "y"})
        LOG.warning("no event of the guard's")
    assert registry.get_sample_value("tocsin_guard_swept_rows_total") == 7
    assert registry.get_sample_value("tocsin_guard_write_lock_held_seconds_total", {"operation": "/order"}) == 1.5


def test_a_span_for_every_request_with_the_times_that_it_had(make_shop: MakeShop) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    with opentelemetry.install(tracers=tracers, meters=MeterProvider()):
        with tracers.get_tracer("framework").start_as_current_span("POST /order") as parent:
            use(make_shop())
        parent_id = parent.get_span_context().span_id
    *spans, _ = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["guard /order"] * 4
    told = [dict(span.attributes or {}) for span in spans]
    assert [one["tocsin.outcome"] for one in told] == ["applied", "replayed", "rejected", "broken"]
    assert told[0]["tocsin.status"] == 200
    assert told[0]["tocsin.key"] == told[1]["tocsin.key"]
    assert [span.status.status_code for span in spans] == [StatusCode.UNSET] * 3 + [StatusCode.ERROR]
    for span in spans:
        assert span.parent is not None
        assert span.parent.span_id == parent_id
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.end_time > span.start_time


def test_measurements_by_operation_and_outcome(make_shop: MakeShop) -> None:
    reader = InMemoryMetricReader()
    with opentelemetry.install(tracers=TracerProvider(), meters=MeterProvider([reader])):
        use(make_shop())
        LOG.info("swept", extra={"event": "swept", "rows": 7})
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {one.name: one for one in data.resource_metrics[0].scope_metrics[0].metrics}
    assert set(metrics) == {"tocsin.guard.request.duration", "tocsin.guard.request.wait", "tocsin.guard.swept"}
    points = metrics["tocsin.guard.request.duration"].data.data_points
    counts = {
        (point.attributes or {})["tocsin.outcome"]: point.count
        for point in points
        if isinstance(point, HistogramDataPoint)
    }
    assert counts == dict.fromkeys(("applied", "replayed", "rejected", "broken"), 1)


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.outcomes.append(record.__dict__.get("outcome", ""))


@pytest.mark.parametrize(
    ("level", "wanted"),
    [
        (logging.DEBUG, ["applied", "replayed", "rejected", "broken"]),
        (logging.INFO, ["rejected", "broken"]),
        (logging.WARNING, ["broken"]),
    ],
)
def test_the_applications_log_hears_what_it_heard_before(
    level: int, wanted: list[str], make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, heard = logging.getLogger(), Heard()
    monkeypatch.setattr(root, "level", level)
    logging.getLogger("tocsin.guard").manager._clear_cache()  # type: ignore[attr-defined]  # as setLevel does
    root.addHandler(heard)
    try:
        with prometheus.install(CollectorRegistry()), prometheus.install(CollectorRegistry()):
            use(make_shop())
    finally:
        root.removeHandler(heard)
    assert [outcome for outcome in heard.outcomes if outcome] == wanted


@pytest.fixture
def own_handler() -> Iterator[Heard]:
    """One that the application has put on the guard's own logger, with a level of its own."""
    heard = Heard()
    LOG.setLevel(logging.WARNING)
    LOG.addHandler(heard)
    yield heard
    LOG.removeHandler(heard)
    LOG.setLevel(logging.NOTSET)


def test_a_handler_on_the_guards_own_logger_hears_what_it_heard_before(make_shop: MakeShop, own_handler: Heard) -> None:
    first, second = prometheus.install(CollectorRegistry()), prometheus.install(CollectorRegistry())
    use(make_shop())
    first.close()
    first.close()
    use(make_shop())
    assert [outcome for outcome in own_handler.outcomes if outcome] == ["broken", "broken"]
    second.close()
    assert LOG.level == logging.WARNING


def test_an_error_of_telemetry_is_none_of_the_request(make_shop: MakeShop, capsys: pytest.CaptureFixture[str]) -> None:
    def hear(*_: object) -> None:
        raise RuntimeError("no memory for a counter")

    with _listening.Listening(hear):
        assert make_shop().order("1").status_code == 200
    assert "no memory for a counter" in capsys.readouterr().err


def test_the_dashboard_asks_for_metrics_that_there_are(make_shop: MakeShop) -> None:
    registry = CollectorRegistry()
    with prometheus.install(registry):
        use(make_shop())
        LOG.info("swept", extra={"event": "swept", "rows": 7})
        LOG.warning("held", extra={"event": "write_lock_held", "operation": "/order", "held_ms": 1500})
    there = set(re.findall(r"^(tocsin_\w+)", generate_latest(registry).decode(), re.MULTILINE))
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(asked) >= 6
    for expression in asked:
        named = set(re.findall(r"\btocsin_\w+", expression))
        assert named, expression
        assert named <= there, expression


@pytest.mark.parametrize(
    ("hidden", "module", "extra"),
    [("prometheus_client", "prometheus", "prometheus"), ("opentelemetry.metrics", "opentelemetry", "opentelemetry")],
)
def test_what_is_missing_is_named_with_the_command(hidden: str, module: str, extra: str) -> None:
    code = f"import sys; sys.modules[{hidden!r}] = None; import tocsin.guard.telemetry.{module}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"pip install 'tocsin[{extra}]'" in ended.stderr
