"""An older message is never applied over a newer one, on every adapter."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.guard.adapters.service import Gate, Produced, Service, write_order
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, Transaction, json_pointer, sequence

Make = Callable[..., Service]
ROUTE = {
    "key": json_pointer("/order_id"),
    "sequence": sequence(number=json_pointer("/version"), stream=json_pointer("/item")),
}


def set_state(signed: Signed, tx: Transaction) -> Produced:
    """What a webhook that tells a state does: it overwrites, whatever was there."""
    version = json.loads(signed.body)["version"]
    tx.execute("DELETE FROM orders")
    tx.execute("INSERT INTO orders VALUES (?)", (str(version),))
    return Produced(200, b"set")


@pytest.fixture
def ordered(make: Make) -> Service:
    return make(handler=set_state, route=ROUTE)


def send(service: Service, version: int, *, item: str = "a") -> Any:
    return service.order(f"{item}-{version}", version=version, item=item)


def test_an_older_message_is_answered_200_superseded_and_the_state_is_kept(ordered: Service) -> None:
    assert send(ordered, 2).body == b"set"
    late = send(ordered, 1)
    assert late.body != b"set"
    assert (late.status, late.json()["status"], late.is_replay) == (200, "superseded", False)
    assert late.field("Content-Type") == ["application/json"]
    assert (ordered.runs, ordered.orders, ordered.claims) == (1, ["2"], 2)


def test_a_retry_of_what_was_superseded_gets_the_same_and_one_of_what_was_applied_too(ordered: Service) -> None:
    first = send(ordered, 2)
    late = send(ordered, 1)
    for version, before in ((1, late), (2, first)):
        again = send(ordered, version)
        assert again.is_replay
        assert again.stored() == before.stored()
    assert (ordered.runs, ordered.orders) == (1, ["2"])


def test_a_newer_message_that_failed_is_in_no_older_ones_way(make: Make) -> None:
    endings = iter([503, 200, 200])

    def fails_first(signed: Signed, tx: Transaction) -> Produced:
        set_state(signed, tx)
        return Produced(next(endings), b"set")

    service = make(handler=fails_first, route=ROUTE)
    assert [send(service, version).status for version in (2, 1)] == [503, 200]
    assert service.orders == ["1"]
    assert send(service, 2).body == b"set"
    assert (service.runs, service.orders) == (3, ["2"])


def test_an_older_message_that_comes_while_a_newer_one_runs_is_decided_on_when_that_has_ended(ordered: Service) -> None:
    gate = ordered.gate = Gate()
    with ThreadPoolExecutor(2) as pool:
        newer = pool.submit(send, ordered, 2)
        gate.entered.wait()
        older = pool.submit(send, ordered, 1)
        gate.leave.set()
    assert newer.result().body == b"set"
    assert older.result().json()["status"] == "superseded"
    assert (ordered.runs, ordered.orders) == (1, ["2"])


def _send_next(service: Service, versions: Iterator[int]) -> Any:
    return send(service, next(versions))


def test_of_16_messages_at_once_the_newest_is_the_state(ordered: Service) -> None:
    """Four times: without an order the newest is the last of 16 now and then."""
    runs = 0
    for first in (0, 16, 32, 48):
        versions = iter([first + later for later in (5, 11, 0, 15, 8, 3, 13, 6, 1, 10, 14, 2, 9, 4, 12, 7)])
        answers = together(16, partial(_send_next, ordered, versions))
        assert {answer.status for answer in answers} == {200}
        assert ordered.orders == [str(first + 15)]
        runs += sum(answer.body == b"set" for answer in answers)
    assert ordered.runs == runs


def test_other_streams_and_services_without_an_order_know_nothing_of_it(make: Make, ordered: Service) -> None:
    send(ordered, 9)
    assert send(ordered, 1, item="b").body == b"set"
    plain = make(handler=write_order, path=ordered.path.with_name("plain.db"))
    assert [plain.order(version, version=version).status for version in (2, 1)] == [201, 201]
