"""Every trap is what it is said to be: its quirk is there, and its database says what expected.toml says."""

import http.client
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab._bruteforce import Answer, OrderDesk, sign_hex
from lab._expected import truths
from lab._services import names
from tests.lab.services import assert_a_scan_says_the_truth, started

SIZE = 16
# Windows are forced wide: on two busy cores each of 10 bursts of 16 showed what was there to be seen.
BURSTS = 6
TRAPS = [name for name in names() if name.startswith("trap-")]


@pytest.fixture(scope="module", params=TRAPS)
def trap(request: pytest.FixtureRequest) -> Iterator[OrderDesk]:
    with started(request.param) as running:
        yield OrderDesk(running, sign_hex)


def get(desk: OrderDesk, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", desk.running.port, timeout=10)
    connection.request("GET", path)
    said = json.load(connection.getresponse())
    connection.close()
    return said


def times_applied(desk: OrderDesk, order_id: str) -> int:
    """As soon as it has been applied at all: some answer first."""
    while True:
        found = desk.query("SELECT COUNT(*) FROM orders WHERE order_id = ?", order_id)
        if found:
            return found


def times_applied_at_once(desk: OrderDesk) -> int:
    order_id = uuid.uuid4().hex
    desk.volley([desk.order(desk.new_item(), order_id)] * SIZE)
    return times_applied(desk, order_id)


def is_violated(desk: OrderDesk, check: str) -> bool:
    return truths(desk.running.service)[check].verdict == "VIOLATED"


def test_one_order_at_once_is_applied_as_often_as_expected_toml_says(trap: OrderDesk) -> None:
    found = [times_applied_at_once(trap) for _ in range(BURSTS)]
    assert (max(found) > 1) == is_violated(trap, "concurrent-duplicate")


def test_one_item_at_once_is_sold_as_often_as_expected_toml_says(trap: OrderDesk) -> None:
    oversold = []
    for _ in range(BURSTS):
        item = trap.new_item(stock=1)
        trap.volley([trap.order(item) for _ in range(SIZE)])
        while not (sold := trap.query("SELECT COUNT(*) FROM orders WHERE item = ?", item)):
            pass
        oversold.append(sold > 1)
    assert any(oversold) == is_violated(trap, "over-allocation")


def test_a_forgery_is_refused_and_changes_nothing(trap: OrderDesk) -> None:
    item = trap.new_item()
    body, headers = trap.order(item, "forged")
    for signature in ("", "0" * 64, "é"):
        assert trap.send(body, headers | {"X-Signature": signature}).status == 401
    assert get(trap, f"/items/{item}") == {"item": item, "stock": 5}
    assert get(trap, "/orders/forged") == {"order_id": "forged", "count": 0}


def test_its_quirk_is_there(trap: OrderDesk) -> None:
    QUIRKS[trap.running.service.name](trap)


def twice(desk: OrderDesk) -> tuple[Answer, Answer]:
    order = desk.order(desk.new_item(), uuid.uuid4().hex)
    return desk.send(*order), desk.send(*order)


def refuses_some_with(status: int) -> Callable[[OrderDesk], None]:
    def quirk(desk: OrderDesk) -> None:
        answers = desk.volley([desk.order(desk.new_item(1000)) for _ in range(SIZE)])
        assert {answer.status for answer in answers} == {200, status}
        assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status == status)

    return quirk


def shows_new_ids(desk: OrderDesk) -> None:
    first, again = (json.loads(answer.body) for answer in twice(desk))
    assert (first.pop("status"), again.pop("status")) == ("processed", "duplicate")
    assert all(first[name] != again[name] for name in ("request_id", "receipt", "at_ns"))


def has_a_slow_process(desk: OrderDesk) -> None:
    desk.volley([desk.order(desk.new_item()) for _ in range(SIZE)])
    assert desk.query("SELECT COUNT(*) FROM notes WHERE name LIKE 'the slow one is %'") == 1


def refuses_what_is_in_work(desk: OrderDesk) -> None:
    assert any(
        409 in {answer.status for answer in desk.volley([desk.order(desk.new_item(), uuid.uuid4().hex)] * SIZE)}
        for _ in range(20)
    )


def answers_alike(desk: OrderDesk) -> None:
    first, again = twice(desk)
    assert first.body == again.body
    assert desk.query("SELECT COUNT(*) FROM orders WHERE order_id = ''") == 0


def applies_later(desk: OrderDesk) -> None:
    item = desk.new_item()
    assert desk.send(*desk.order(item)).status == 202
    while get(desk, f"/items/{item}")["stock"] == 5:
        pass
    assert get(desk, f"/items/{item}")["stock"] == 4


def reads_the_present_in_the_end(desk: OrderDesk) -> None:
    item = desk.new_item()
    assert get(desk, f"/items/{item}")["stock"] == 5
    desk.send(*desk.order(item))
    while get(desk, f"/items/{item}")["stock"] == 5:
        pass
    assert get(desk, f"/items/{item}")["stock"] == 4


def says_duplicate_and_takes(desk: OrderDesk) -> None:
    item, order_id = desk.new_item(), uuid.uuid4().hex
    said = [json.loads(desk.send(*desk.order(item, order_id)).body)["status"] for _ in range(3)]
    assert said == ["processed", "duplicate", "duplicate"]
    assert get(desk, f"/items/{item}")["stock"] == 2


def takes_another_spelling_for_another_message(desk: OrderDesk) -> None:
    item, order_id = desk.new_item(), uuid.uuid4().hex
    body, headers = desk.order(item, order_id)
    respelled = headers | {"X-Signature": headers["X-Signature"].upper()}
    said = [json.loads(desk.send(body, each).body)["status"] for each in (headers, headers, respelled)]
    assert said == ["processed", "duplicate", "processed"]
    assert get(desk, f"/items/{item}")["stock"] == 3


def calls_the_second_one_a_duplicate(desk: OrderDesk) -> None:
    """And applies it once: what is wrong shows under concurrency alone."""
    order_id = uuid.uuid4().hex
    order = desk.order(desk.new_item(), order_id)
    said = [json.loads(desk.send(*order).body)["status"] for _ in range(2)]
    assert said == ["processed", "duplicate"]
    assert times_applied(desk, order_id) == 1


def calls_the_second_one_a_duplicate_in_the_end(desk: OrderDesk) -> None:
    order_id = uuid.uuid4().hex
    order = desk.order(desk.new_item(), order_id)
    assert desk.send(*order).status == 202
    times_applied(desk, order_id)
    assert json.loads(desk.send(*order).body) == {"status": "duplicate"}


QUIRKS: Mapping[str, Callable[[OrderDesk], None]] = {
    "trap-random-ids": shows_new_ids,
    "trap-busy-429": refuses_some_with(429),
    "trap-busy-503": refuses_some_with(503),
    "trap-slow-worker": has_a_slow_process,
    "trap-conflict-409": refuses_what_is_in_work,
    "trap-same-answer": answers_alike,
    "trap-later": applies_later,
    "trap-cached-reads": reads_the_present_in_the_end,
    "trap-says-duplicate": says_duplicate_and_takes,
    "trap-spelling": takes_another_spelling_for_another_message,
    "trap-mutex-per-process": calls_the_second_one_a_duplicate,
    "trap-expiring-lock": calls_the_second_one_a_duplicate,
    "trap-claim-after-effect": calls_the_second_one_a_duplicate,
    "trap-queued": calls_the_second_one_a_duplicate_in_the_end,
}


def test_a_scan_sees_that_a_signature_has_two_spellings(tmp_path: Path) -> None:
    with started("trap-spelling") as running:
        assert_a_scan_says_the_truth(running, tmp_path, "concurrent-duplicate", "sequential-replay")
