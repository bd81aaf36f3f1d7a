"""docs/guard-fastapi.md says what is so: its code runs, and does what it says."""

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.shop import SECRET
from tocsin.signing import Message, preset, sign

PAGE = (Path(__file__).parents[3] / "docs" / "guard-fastapi.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


class OrderIn(BaseModel):
    order_id: str


class OrderOut(BaseModel):
    order_id: str


class RefundIn(BaseModel):
    refund_id: str
    order_id: str


def get_db() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect("orders.db", check_same_thread=False)) as db:
        yield db


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's code finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", "a secret of the tests, 32 octets")
    with closing(sqlite3.connect("orders.db", isolation_level=None)) as db:
        for table in ("orders", "shipped"):
            db.execute(f"CREATE TABLE {table} (order_id TEXT NOT NULL)")
    return {
        "OrderIn": OrderIn,
        "OrderOut": OrderOut,
        "RefundIn": RefundIn,
        "Session": sqlite3.Connection,
        "get_db": get_db,
    }


def post(loop: Loop, app: Any, path: str, body: bytes) -> tuple[int, bytes]:
    plain = (("Content-Type", "application/json"), ("Idempotency-Key", "k-1"))
    headers = *plain, *sign(Message("POST", path, plain, body), preset("tocsin-v1"), SECRET, now=time.time())
    reply = loop.run(Exchange(path, headers, body).call(app))
    return reply.status, reply.body


def rows(table: str) -> int:
    with closing(sqlite3.connect("orders.db")) as db:
        return len(db.execute(f"SELECT * FROM {table}").fetchall())


def test_every_block_of_the_page_runs_and_does_what_it_says(page: dict[str, Any], loop: Loop) -> None:
    today, guarded, refund, ship = BLOCKS
    order = b'{"order_id":"17"}'
    exec(today, page)
    assert [post(loop, page["app"], "/order", order)[0] for _ in range(2)] == [201, 201]
    assert rows("orders") == 2
    exec(guarded, page)
    exec(refund, page)
    exec(ship, page)
    first, again = (post(loop, page["app"], "/order", order) for _ in range(2))
    assert first == again == (201, b'{"order_id":"17"}')
    assert rows("orders") == 3
    for _ in range(2):
        assert post(loop, page["app"], "/refund", b'{"refund_id":"1","order_id":"17"}')[0] == 200
        assert post(loop, page["ship"], "/ship", order)[0] == 204
    assert (rows("orders"), rows("shipped")) == (0, 1)
    page["store"].close()
