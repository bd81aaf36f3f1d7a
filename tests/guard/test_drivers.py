import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from tests.guard import task_shop
from tests.guard.line import Line
from tests.guard.shop import Shop, write_order
from tocsin.guard import Signed, Transaction, _fork
from tocsin.guard._async_driver import AsyncDriver
from tocsin.guard._flow import Ended
from tocsin.guard._steps import Flow, Held, Join, Look, Raised, Run, Take
from tocsin.guard._store import Record
from tocsin.guard._waiting import InFlight
from tocsin.guard.stores.sqlite import SQLiteStore, _group
from tocsin.guard.testing import claim

MakeShop = Callable[..., Shop]


class Torn:
    """A seal that fails."""

    def seal(self, plain: bytes, /) -> bytes:
        raise RuntimeError(f"cannot seal {len(plain)} bytes")

    def unseal(self, sealed: bytes, /) -> bytes:
        raise RuntimeError(f"cannot unseal {len(sealed)} bytes")


def test_what_fails_between_the_steps_leaves_no_transaction_and_no_key_behind(make_shop: MakeShop) -> None:
    """A hook of the developer's own: the handler has run, and its answer cannot be stored."""
    shop = make_shop(guard={"seal": Torn()})
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot seal"):
            shop.order()
    assert (shop.runs, shop.orders, shop.claims) == (2, [], 0)
    assert shop.guard._in_flight._entries == {}


class Interrupted:
    """A seal that is interrupted, once it is armed; and a handler that arms it and breaks its group's transaction."""

    def __init__(self) -> None:
        self.is_armed = False

    def __call__(self, signed: Signed, tx: Transaction) -> Any:
        answer = write_order(signed, tx)
        with suppress(sqlite3.Error):
            tx.executemany("INSERT OR ROLLBACK INTO orders (rowid, order_id) VALUES (?, '')", [(1,), (1,)])
        self.is_armed = True
        return answer

    def seal(self, plain: bytes, /) -> bytes:
        if self.is_armed:
            self.is_armed = False
            raise KeyboardInterrupt
        return plain

    def unseal(self, sealed: bytes, /) -> bytes:
        return sealed


def test_an_interrupt_in_a_broken_group_leaves_the_key(make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)
    seal = Interrupted()
    shop = make_shop(guard={"seal": seal, "wait_s": 30})
    with Line(shop, {"stopped": seal}) as line:
        line.add("before")
        line.add("stopped")
    with pytest.raises(KeyboardInterrupt):
        line.answers["stopped"].result()
    assert line.answers["before"].result().status_code == 200
    line.orders.handlers.clear()
    assert shop.order("stopped").status_code == 200
    assert sorted(shop.orders) == ["before", "first", "stopped"]


def test_a_task_that_is_given_up_in_a_broken_group_leaves_the_key(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)
    shop, in_flight, key = task_shop.Shop(tmp_path / "store.db"), InFlight(), claim("stopped").key

    def flow() -> Flow[Ended | Raised]:
        yield Join(key, None)
        granted: Held = yield Take(claim("stopped"))
        yield Run(granted, cast("Signed", None))
        raise AssertionError("resumed")

    async def stopped() -> None:
        driver = AsyncDriver(flow(), shop.store, in_flight, task_shop.LONG_S, asyncio.Future)
        assert isinstance(await driver.to_claim(), Take)
        run = await driver.to_handler()
        assert isinstance(run, Run)
        await task_shop.breaks(run.granted.tx)
        await driver.close()

    async def work() -> None:
        gate = task_shop.Gate()
        first, before = shop.line_up(("first", gate), ("before", None))
        await gate.entered.wait()
        await shop.queued(1)
        given_up = asyncio.create_task(stopped())
        await shop.queued(2)
        gate.leave.set()
        await asyncio.gather(first, before, given_up)
        assert shop.ran == ["first", "before", "before"]
        assert in_flight.join(key, None) is None

    task_shop.run(shop, work())


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys that a SQLite store was asked for."""
    asked: list[bytes] = []
    real = SQLiteStore.look

    def look(store: SQLiteStore, key: bytes) -> Record | None:
        asked.append(key)
        return real(store, key)

    monkeypatch.setattr(SQLiteStore, "look", look)
    return asked


def test_a_key_is_looked_for_before_it_is_taken_if_it_has_been_met(make_shop: MakeShop, looked: list[bytes]) -> None:
    shop = make_shop()
    first = shop.order()
    assert not looked
    assert shop.order().data == first.data
    assert (len(looked), shop.runs) == (1, 1)


def test_a_task_looks_for_a_key_before_it_takes_it_if_it_has_been_met(tmp_path: Path, looked: list[bytes]) -> None:
    store, in_flight = SQLiteStore(tmp_path / "store.db"), InFlight()
    key = claim("met").key

    def flow() -> Flow[Ended | Raised]:
        yield Look(key, is_hint=True)
        yield Join(key, None)
        yield Take(claim("met"))
        raise AssertionError("resumed")

    async def work() -> None:
        for met in ([], [key]):
            driver = AsyncDriver(flow(), store, in_flight, task_shop.LONG_S, asyncio.Future)
            assert isinstance(await driver.to_claim(), Take)
            await driver.close()
            assert looked == met

    asyncio.run(work())


def test_forked_children_renew_whatever_lives(tmp_path: Any) -> None:
    store = SQLiteStore(tmp_path / "store.db")
    store.look(bytes(32))
    assert store._readers._idle
    _fork._renew_all()
    assert not store._readers._idle


def test_the_signed_request_shows_what_was_verified(make_shop: MakeShop) -> None:
    shop = make_shop(handler=lambda signed, _: [signed.tenant, signed.body.decode(), signed.json()])
    assert json.loads(shop.order().data) == ["main", '{"order_id": "17"}', {"order_id": "17"}]
