"""Every adapter makes the same records of the same requests; what they hold is tested in tests/guard/test_log.py."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from tests.guard.adapters.service import Produced, Service
from tests.guard.test_log import requests
from tocsin.guard import Signed, Transaction
from tocsin.guard._log_events import EVENTS, Event
from tocsin.signing import Secret

Log = pytest.LogCaptureFixture
Make = Callable[..., Service]


def fails(_signed: Signed, _tx: Transaction) -> Produced:
    raise RuntimeError


def test_every_request_is_one_record_with_the_same_outcome_on_every_adapter(make: Make, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    service = make()
    for order_id in ("17", "17", None):
        service.order(order_id)
    service.post({"order_id": "17"}, secret=Secret(b"somebody else's secret"))
    service.order("17", padding="x" * 1_200_000)
    service.handler = lambda *_: Produced(status=429)
    service.order("18")
    service.handler = fails
    with suppress(RuntimeError):
        service.order("19")
    assert [one["outcome"] for one in requests(caplog)] == [
        "applied",
        "replayed",
        "key_refused",
        "rejected",
        "too_large",
        "not_remembered",
        "handler_raised",
    ]
    wanted = {"event", *EVENTS[Event.REQUEST][0]}
    assert all(set(one) == wanted for one in requests(caplog))


def test_a_request_that_never_came_to_its_end_is_a_record_too(
    make: Make, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, interrupted, or refused by the framework between verification and handler."""
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    service = make()

    def interrupted(*_: object) -> Any:
        raise KeyError

    for driver in ("_drivers", "_async_driver"):
        monkeypatch.setattr(f"tocsin.guard.{driver}.judged", interrupted)
    with suppress(KeyError):
        service.order("17")
    assert [one["outcome"] for one in requests(caplog)] == ["given_up"]
    assert service.orders == []
