"""Every situation that a guarded request can be in, with what it is answered and what is written.

Rule: this is the table in docs/guard.md, which is made from it, and it is the parametrization of test_answer_table.py,
which brings every situation about on a real file. A row that is not true fails there.
"""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from flask import abort
from werkzeug.test import TestResponse

from tests.guard.shop import Shop, write_order
from tests.guard.test_flask_concurrency import Gate, await_waiters
from tocsin.guard import WEBHOOK_STATUSES, CommitUnknown, Signed, Transaction, json_pointer, sequence
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Forgotten, Granted, Record
from tocsin.guard._waiting import MOST_WAITERS
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite import Transaction as SQLiteTransaction
from tocsin.signing import Secret, preset

MakeShop = Callable[..., Shop]
_DAY_S = 86_400.0


class Written(Enum):
    """What a request leaves in the database: claims and orders."""

    NOTHING = "nothing"
    WHOLE = "claim, writes and answer: one commit"
    ANSWER = "claim and answer"
    FIRST = "nothing, beside what the first one writes"

    @property
    def rows(self) -> tuple[int, int]:
        """How many claims and how many orders more there are."""
        return {"NOTHING": (0, 0), "WHOLE": (1, 1), "ANSWER": (1, 0), "FIRST": (1, 1)}[self.name]


@dataclass(frozen=True, slots=True)
class Situation:
    """A row.

    Args:
        name: the situation, in the words of the documents.
        answer: likewise; begins with the status, where that is the guard's own.
        status: what the last request gets.
        written: by that request.
        brought_about: makes the situation and returns a function that sends the request.
        is_retryable: whether the answer carries Retry-After.
    """

    name: str
    answer: str
    status: int
    written: Written
    brought_about: Callable[[MakeShop], "Sent"]
    is_retryable: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The situation, brought about.

    Args:
        shop: the service.
        send: sends the request that is judged.
        finish: lets go of whatever holds the situation up.
    """

    shop: Shop
    send: Callable[[], TestResponse]
    finish: Callable[[], object] = bool


class _Lost(Granted[SQLiteTransaction]):
    """A grant whose COMMIT succeeds or not, and nobody is told."""

    def __init__(self, granted: Granted[SQLiteTransaction], *, lands: bool) -> None:
        self._granted = granted
        self._lands = lands

    @property
    def tx(self) -> SQLiteTransaction:
        return self._granted.tx

    def settle(self, answer: StoredAnswer) -> None:
        if self._lands:
            self._granted.settle(answer)
        else:
            self._granted.abandon()
        raise CommitUnknown("the connection was lost")

    def abandon(self) -> None:
        self._granted.abandon()


class _LossyStore(SQLiteStore):
    """A store whose first COMMITs are lost: each of them lands or does not."""

    lost: list[bool]

    def take(self, claim: Claim, wait_s: float) -> Any:
        taken: Granted[SQLiteTransaction] | Record | Forgotten = super().take(claim, wait_s)
        if isinstance(taken, Granted) and self.lost:
            return _Lost(taken, lands=self.lost.pop(0))
        return taken


def _lossy(make_shop: MakeShop, *, lost: tuple[bool, ...]) -> Sent:
    store = _LossyStore(make_shop().path)
    store.lost = list(lost)
    shop = make_shop(store=store)
    return Sent(shop, shop.order)


def _order(make_shop: MakeShop, **options: Any) -> Sent:
    shop = make_shop(**options)
    shop.app.testing = False
    return Sent(shop, shop.order)


def _second(make_shop: MakeShop, **options: Any) -> Sent:
    sent = _order(make_shop, **options)
    sent.shop.order()
    return sent


def _too_large(make_shop: MakeShop) -> Sent:
    shop = make_shop(guard={"max_body_bytes": 100})
    return Sent(shop, lambda: shop.order(padding="x" * 100))


def _forged(make_shop: MakeShop) -> Sent:
    shop = make_shop()
    return Sent(shop, lambda: shop.post({"order_id": "17"}, secret=Secret(b"somebody else's secret")))


def _no_key(make_shop: MakeShop) -> Sent:
    shop = make_shop()
    return Sent(shop, lambda: shop.order(None))


def _mismatch(make_shop: MakeShop) -> Sent:
    sent = _second(make_shop)
    return Sent(sent.shop, lambda: sent.shop.order("17", more=1))


def _tombstone(make_shop: MakeShop) -> Sent:
    sent = _second(make_shop)
    sent.shop.clock.now += 8 * _DAY_S
    return sent


def _forgotten(make_shop: MakeShop) -> Sent:
    shop = make_shop(scheme=preset("stripe"), route={})
    body = b'{"id":"evt_1"}'
    captured = list(shop.signed(body))

    def send() -> TestResponse:
        return shop.app.test_client().post("/order", data=body, headers=captured)

    send()
    now = shop.clock.now
    shop.store.sweep(round((now + 40 * _DAY_S) * 1000))
    return Sent(shop, send)


def _superseded(make_shop: MakeShop) -> Sent:
    shop = make_shop(guard={"sequence": sequence(number=json_pointer("/version"))})
    shop.order("newer", version=2)
    return Sent(shop, lambda: shop.order("older", version=1))


def _running(make_shop: MakeShop, *, wait_s: float, waiting: int = 0) -> Sent:
    gate = Gate()
    shop = make_shop(handler=gate, guard={"wait_s": wait_s})
    pool = ThreadPoolExecutor(1 + waiting)
    pool.submit(shop.order)
    gate.entered.wait()
    for _ in range(waiting):
        pool.submit(shop.order)
    await_waiters(shop, waiting)

    def finish() -> None:
        gate.leave.set()
        pool.shutdown()

    return Sent(shop, shop.order, finish)


def _waits(make_shop: MakeShop) -> Sent:
    """A duplicate that waits; the first one ends when this one is seen to wait, and its rows are not this one's."""
    sent = _running(make_shop, wait_s=30)

    def send() -> TestResponse:
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(sent.shop.order)
            await_waiters(sent.shop, 1)
            sent.finish()
            return answer.result()

    return Sent(sent.shop, send)


def _locked(make_shop: MakeShop) -> Sent:
    shop = make_shop(guard={"wait_s": 0.01})

    def send() -> TestResponse:
        with closing(sqlite3.connect(shop.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            return shop.order()

    return Sent(shop, send)


def _aborts(_signed: Signed, tx: Transaction) -> Any:
    tx.execute("INSERT INTO orders VALUES ('undone')")
    abort(404)


def _unsendable(signed: Signed, tx: Transaction) -> Any:
    write_order(signed, tx)
    return "ok", 200, {"Content-Disposition": 'attachment; filename="\u20ac.txt"'}


def _raises(signed: Signed, tx: Transaction) -> Any:
    write_order(signed, tx)
    raise RuntimeError


def _commits(signed: Signed, tx: Transaction) -> Any:
    with suppress(Exception):
        tx.execute("COMMIT")
    return write_order(signed, tx)


def _unsettled(make_shop: MakeShop) -> Sent:
    sent = _second(make_shop)
    with closing(sqlite3.connect(sent.shop.path, isolation_level=None)) as db:
        db.execute("UPDATE tocsin_claims SET status = NULL, headers = NULL, body = NULL")
    return sent


SITUATIONS = (
    Situation("body over `max_body_bytes` (1 MiB)", "413, before it is hashed", 413, Written.NOTHING, _too_large),
    Situation(
        "signature missing, malformed, wrong, unknown key, outside tolerance",
        "401, the same bytes for all; the reason is logged",
        401,
        Written.NOTHING,
        _forged,
    ),
    Situation(
        "older than a claim that was let go: a clock has gone back", "401, likewise", 401, Written.NOTHING, _forgotten
    ),
    Situation("key missing, malformed or given twice", "400", 400, Written.NOTHING, _no_key),
    Situation("same key, another request (where that is compared)", "422", 422, Written.NOTHING, _mismatch),
    Situation("first time", "the handler's answer, after COMMIT", 200, Written.WHOLE, _order),
    Situation(
        "duplicate, later",
        "the stored status, headers and body with `Idempotent-Replayed: true`",
        200,
        Written.NOTHING,
        _second,
    ),
    Situation(
        "duplicate, when the answer has gone and the claim is kept",
        "the stored status with `Idempotent-Replayed: true`, no body",
        200,
        Written.NOTHING,
        _tombstone,
    ),
    Situation(
        "not newer than what its stream has applied, under `sequence`",
        "200 `superseded`, and duplicates get it again",
        200,
        Written.ANSWER,
        _superseded,
    ),
    Situation(
        "duplicate, while the first runs",
        "waits up to `wait_s` (2 s), then as above",
        200,
        Written.FIRST,
        _waits,
    ),
    Situation(
        "duplicate, the first still runs after `wait_s`",
        "409 with Retry-After",
        409,
        Written.NOTHING,
        partial(_running, wait_s=0.02),
        is_retryable=True,
    ),
    Situation(
        f"duplicate, while {MOST_WAITERS} others wait for the same key",
        "409 with Retry-After, at once",
        409,
        Written.NOTHING,
        partial(_running, wait_s=30, waiting=MOST_WAITERS),
        is_retryable=True,
    ),
    Situation(
        "the handler raises an HTTP error below 500, and its status is remembered",
        "that; its writes are undone, duplicates get it again",
        404,
        Written.ANSWER,
        partial(_order, handler=_aborts),
    ),
    Situation(
        "the handler raises an HTTP error below 500, and its status is not remembered",
        "that; all rolled back, so a retry runs",
        404,
        Written.NOTHING,
        partial(_order, handler=_aborts, route={"key": json_pointer("/order_id"), "remember": WEBHOOK_STATUSES}),
    ),
    Situation(
        "the handler returns a status that is not remembered, or 5xx",
        "that; all rolled back, so a retry runs",
        503,
        Written.NOTHING,
        partial(_order, handler=lambda signed, tx: (write_order(signed, tx), 503)),
    ),
    Situation(
        "the handler raises anything else",
        "the framework's 500; all rolled back, so a retry runs",
        500,
        Written.NOTHING,
        partial(_order, handler=_raises),
    ),
    Situation(
        "the handler answers a header field that no server can send: a line break, text beyond Latin-1, no name",
        "the framework's 500; all rolled back, so a retry runs",
        500,
        Written.NOTHING,
        partial(_order, handler=_unsendable),
    ),
    Situation(
        "the handler broke its transaction",
        "500, logged, never remembered",
        500,
        Written.NOTHING,
        partial(_order, handler=_commits),
    ),
    Situation(
        "answer over `max_answer_bytes` (1 MiB), or endless",
        "500 that names the option",
        500,
        Written.NOTHING,
        partial(_order, guard={"max_answer_bytes": 10}),
    ),
    Situation(
        "store locked by others for `wait_s`, full or down",
        "503 with Retry-After; the handler is never run unguarded",
        503,
        Written.NOTHING,
        _locked,
        is_retryable=True,
    ),
    Situation(
        "connection lost during COMMIT, which landed all the same",
        "the stored answer, found by taking the claim again",
        200,
        Written.WHOLE,
        partial(_lossy, lost=(True,)),
    ),
    Situation(
        "connection lost during COMMIT, which did not land",
        "the answer of a second run",
        200,
        Written.WHOLE,
        partial(_lossy, lost=(False,)),
    ),
    Situation(
        "connection lost during COMMIT, twice in a row",
        "503 with Retry-After",
        503,
        Written.NOTHING,
        partial(_lossy, lost=(False, False)),
        is_retryable=True,
    ),
    Situation(
        "claimed, and the answer is not known",
        "500 that says so; it never runs again by itself",
        500,
        Written.NOTHING,
        _unsettled,
    ),
)
