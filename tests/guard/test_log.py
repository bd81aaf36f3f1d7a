"""What the guard says about each request that ended: one record, with fields that a program can read."""

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from flask import abort

from tests.guard.shop import Shop, write_order
from tests.guard.test_flask_concurrency import Gate
from tests.guard.test_flow import OK, granted
from tests.guard.test_flow_conflicts import taken_again
from tocsin.guard import GuardError, Signed, Transaction, _log, claim_key, json_pointer, sequence
from tocsin.guard._errors import CommitUnknown
from tocsin.guard._flow import Ended
from tocsin.guard._log_events import EVENTS, Ending, Event
from tocsin.guard._steps import Abandon, Conflicted, Pause, Returned, Run, Settle
from tocsin.guard._store import Forgotten
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Secret, preset

MakeShop = Callable[..., Shop]
Log = pytest.LogCaptureFixture
DAY_S = 86_400.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a formatter for programs finds beside the standard attributes."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def requests(caplog: Log) -> list[dict[str, Any]]:
    return [found for found in map(fields, caplog.records) if found.get("event") == Event.REQUEST.value]


def breaks(_signed: Signed, tx: Transaction) -> Any:
    with suppress(Exception):
        tx.execute("COMMIT")
    return {"status": "processed"}


def fails(_signed: Signed, _tx: Transaction) -> Any:
    raise RuntimeError("the text of an error may hold anything: hunter22")


def applied(make_shop: MakeShop) -> None:
    make_shop().order()


def refused_by_handler(make_shop: MakeShop) -> None:
    make_shop(handler=lambda *_: abort(404)).order()


def not_remembered(make_shop: MakeShop) -> None:
    make_shop(handler=lambda *_: ("later", 429)).order()


def replayed(make_shop: MakeShop) -> None:
    shop = make_shop()
    for _ in range(2):
        shop.order()


def replayed_status(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.order()
    shop.clock.now += 8 * DAY_S
    shop.order()


def superseded(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"sequence": sequence(number=json_pointer("/version"))})
    for version in (2, 1):
        shop.order(version, version=version)


def too_large(make_shop: MakeShop) -> None:
    make_shop().order(padding="x" * 1_200_000)


def rejected(make_shop: MakeShop) -> None:
    make_shop().post({"order_id": "17"}, secret=Secret(b"somebody else's secret"))


def forgotten(_make_shop: MakeShop) -> None:
    ended = taken_by(Forgotten())
    _log.request_ended("/order", ended, started=0.0, waited_s=0.0)


def key_refused(make_shop: MakeShop) -> None:
    make_shop().order(None)


def mismatch(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.order("17")
    shop.order("17", more=1)


def in_progress(make_shop: MakeShop) -> None:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": 0.02})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(shop.order)
        gate.entered.wait()
        shop.order()
        gate.leave.set()


def crowded(make_shop: MakeShop) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tocsin.guard._waiting.MOST_WAITERS", 0)
        in_progress(make_shop)


def handler_raised(make_shop: MakeShop) -> None:
    with suppress(RuntimeError):
        make_shop(handler=fails).order()


def given_up(make_shop: MakeShop) -> None:
    """A handler that calls itself is told so, by an error that is no store's."""
    shop = make_shop()

    def calls_itself(_signed: Signed, _tx: Transaction) -> Any:
        return shop.view()

    shop.handler = calls_itself
    with suppress(GuardError):
        shop.order()


def broken(make_shop: MakeShop) -> None:
    make_shop(handler=breaks).order()


def answer_too_large(make_shop: MakeShop) -> None:
    make_shop(guard={"max_answer_bytes": 10}).order()


def answer_unknown(make_shop: MakeShop) -> None:
    shop = make_shop()
    shop.order()
    with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
        db.execute("UPDATE tocsin_claims SET status = NULL")
    shop.order()


def unavailable(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"wait_s": 0.01})
    with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        shop.order()


def conflicted(_make_shop: MakeShop) -> None:
    book = granted()
    for _ in range(5):
        book.expect(Run, Conflicted())
        book.expect(Abandon)
        book.expect(Pause)
        taken_again(book)
    book.expect(Run, Conflicted())
    book.expect(Abandon)
    _log.request_ended("/order", book.ended(), started=0.0, waited_s=0.0)


def commit_unknown(_make_shop: MakeShop) -> None:
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost"))
    taken_again(book)
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost"))
    _log.request_ended("/order", book.ended(), started=0.0, waited_s=0.0)


def taken_by(reply: object) -> Ended:
    """A flow that got that instead of its claim."""
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost"))
    taken_again(book, reply)
    return book.ended()


SCENARIOS: Mapping[str, Callable[[MakeShop], None]] = {
    scenario.__name__: scenario
    for scenario in (
        applied,
        refused_by_handler,
        not_remembered,
        replayed,
        replayed_status,
        superseded,
        too_large,
        rejected,
        forgotten,
        key_refused,
        mismatch,
        in_progress,
        crowded,
        handler_raised,
        given_up,
        broken,
        answer_too_large,
        answer_unknown,
        unavailable,
        conflicted,
        commit_unknown,
    )
}


@pytest.mark.parametrize("ending", list(Ending), ids=lambda ending: str(ending.word))
def test_however_a_request_ends_it_is_one_record_with_its_outcome(
    ending: Ending, make_shop: MakeShop, caplog: Log
) -> None:
    """And an ending that nobody can bring about is no ending: each has a scenario, by name."""
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    SCENARIOS[ending.word](make_shop)
    [*_, record] = [record for record in caplog.records if getattr(record, "outcome", "") == ending.word]
    found = fields(record)
    assert record.levelno == ending.level
    assert set(found) == {"event", *EVENTS[Event.REQUEST][0]}
    assert found["operation"] == "/order"
    assert found["status"] is None or ending.status in {str(found["status"]), "the handler's", "the stored one"}
    assert found["duration_ms"] >= found["waited_ms"] >= 0
    # What a formatter makes of it.
    assert json.loads(json.dumps(found)) == found


def test_every_request_is_one_record(make_shop: MakeShop, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    shop = make_shop()
    for order_id in ("17", "17", None, "18"):
        shop.order(order_id)
    assert [one["outcome"] for one in requests(caplog)] == ["applied", "replayed", "key_refused", "applied"]


def test_the_key_in_a_record_is_the_beginning_of_the_one_that_claims_show_finds(
    make_shop: MakeShop, caplog: Log
) -> None:
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    make_shop().order("17")
    [found] = requests(caplog)
    assert found["tenant"] == "main"
    assert found["key"] == claim_key("main", "/order", "string", b"17").hex()[:12]


def test_a_request_that_waited_says_for_how_long(make_shop: MakeShop, caplog: Log) -> None:
    caplog.set_level(logging.DEBUG, "tocsin.guard")
    in_progress(make_shop)
    waited = [one["waited_ms"] for one in requests(caplog) if one["outcome"] == "in_progress"]
    assert waited == [pytest.approx(20, abs=1e-6)]


def test_no_record_holds_a_body_a_signature_a_secret_or_the_value_of_a_key(make_shop: MakeShop, caplog: Log) -> None:
    """Whatever the handler wrote, returned or raised, and whatever a stranger sent."""
    caplog.set_level(0)
    shop = make_shop(guard={"wait_s": 0.01, "max_answer_bytes": 5000})
    for handler in (write_order, fails, breaks, lambda *_: abort(404, "hunter22"), lambda *_: "hunter22" * 1000):
        shop.handler = handler
        for order_id in ("order-hunter22", "order-hunter22", ["hunter22"], {"hunter22": 1}, "hunter22" * 99):
            with suppress(RuntimeError):
                shop.order(order_id, more="hunter22")
    body = b'{"order_id":"hunter22","order_id":"hunter22"}'
    ((name, signature),) = shop.signed(body)
    client = shop.app.test_client()
    for sent in (signature, signature[::-1], "hunter22", ""):
        client.post("/order?hunter22=hunter22", data=body, headers=[(name, sent), ("X-Other", "hunter22")])
    said = repr([vars(record) for record in caplog.records])
    assert len(caplog.records) > 20
    for hidden in ("hunter22", signature, signature[::-1], "a secret of the tests"):
        assert hidden not in said


@pytest.mark.parametrize("scheme", ["stripe", "slack", "standard-webhooks", "tocsin-v1", "rfc9421-hmac-sha256"])
def test_what_a_stranger_sends_cannot_write_a_line_or_move_a_cursor(
    make_shop: MakeShop, caplog: Log, scheme: str
) -> None:
    caplog.set_level(0)
    shop = make_shop(scheme=preset(scheme), guard={"public_origin": "https://shop.example"})
    for name in shop.scheme.written_headers:
        shop.app.test_client().post("/order", data=b"{}", headers=[(name, "\x1b[2Jtocsin\x85forged\u00ad")])
    assert requests(caplog)
    assert all(record.getMessage().isprintable() for record in caplog.records if record.name == "tocsin.guard")


def test_the_further_lines_of_a_databases_error_quote_rows_and_are_left_out(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    _log.store_notice("PostgreSQL", "duplicate key\nDETAIL: Key (id)=(hunter22) already exists.\x1b")
    _log.sweep_put_off("locked\x1b[2J")
    assert [record.getMessage() for record in caplog.records] == [
        "PostgreSQL: duplicate key",
        r"sweeping is put off: locked\x1b[2J",
    ]


def test_a_record_that_nobody_asked_for_is_not_made(
    make_shop: MakeShop, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.CRITICAL, "tocsin.guard")
    monkeypatch.delattr(_log, "_request")
    shop = make_shop()
    shop.order("17")
    shop.order(padding="x" * 1_200_000)
    assert shop.orders == ["17"]


def test_a_handler_that_holds_the_write_lock_for_long_is_a_record_of_its_own(
    make_shop: MakeShop, tmp_path: Path, caplog: Log
) -> None:
    caplog.set_level(logging.WARNING, "tocsin.guard")
    make_shop(store=SQLiteStore(tmp_path / "orders.db", hold_s=0)).order()
    [found] = [one for one in map(fields, caplog.records) if one.get("event") == Event.HELD.value]
    assert set(found) == {"event", *EVENTS[Event.HELD][0]}


def test_the_other_events_have_the_fields_that_the_documents_name(caplog: Log) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    _log.write_lock_held("/order", 0.5)
    _log.swept(3)
    _log.sweep_put_off("locked")
    _log.store_notice("PostgreSQL", "fsync = off")
    found = [fields(record) for record in caplog.records]
    assert {one["event"]: set(one) - {"event"} for one in found} == {
        event.value: set(names) for event, (names, _) in EVENTS.items() if event is not Event.REQUEST
    }


def test_words_are_unique_and_every_event_has_a_row() -> None:
    assert len({ending.word for ending in Ending}) == len(Ending)
    assert set(EVENTS) == set(Event)
    assert Ending.BROKEN.is_fault
    assert not Ending.MISMATCH.is_fault


def test_a_log_that_took_every_line_as_it_is_is_noticed(caplog: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_log, "_one_line", str)
    with pytest.raises(AssertionError):
        test_the_further_lines_of_a_databases_error_quote_rows_and_are_left_out(caplog)


def test_a_log_that_held_the_value_of_a_key_is_noticed(
    make_shop: MakeShop, caplog: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = _log._request
    monkeypatch.setattr(_log, "_request", lambda *said, **more: real(*said, **more | {"error": "hunter22"}))
    with pytest.raises(AssertionError):
        test_no_record_holds_a_body_a_signature_a_secret_or_the_value_of_a_key(make_shop, caplog)
