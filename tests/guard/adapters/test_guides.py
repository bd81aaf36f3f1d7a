"""The guides of these adapters say what is so: their code runs today and guarded, and guarded it does what they say."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.on_robyn import request_of
from tests.guard.adapters.on_wsgi import call, environ_of
from tests.guard.shop import HEX, SECRET
from tocsin.signing import Message, sign

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
BODY = b'{"order_id":"17"}'
MOST_CHANGED_LINES = 10
Send = Callable[[dict[str, Any], Loop], tuple[int, bytes]]


def blocks(guide: str) -> list[str]:
    text = (GUIDES / f"{guide}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def headers() -> tuple[tuple[str, str], ...]:
    return ("Content-Type", "application/json"), *sign(Message("POST", "/order", (), BODY), HEX, SECRET, now=0)


def over_wsgi(page: dict[str, Any], _loop: Loop, app: str = "app", path: str = "/order") -> tuple[int, bytes]:
    reply = call(page[app], environ_of(path, headers(), BODY))
    return reply.status, reply.body


def over_asgi(page: dict[str, Any], loop: Loop) -> tuple[int, bytes]:
    reply = loop.run(Exchange("/order", headers(), BODY).call(page["app"]))
    return reply.status, reply.body


def over_robyn(page: dict[str, Any], _loop: Loop) -> tuple[int, bytes]:
    [route] = [route for route in page["app"].router.get_routes() if route.route == "/order"]
    answer = route.function.handler(request_of("/order", headers(), BODY))
    if isinstance(answer, dict):
        # Robyn itself makes JSON of it, in Rust.
        return 200, json.dumps(answer).encode()
    return answer.status_code, bytes(answer.description)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code of every guide finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", "a secret of the tests, 32 octets")
    with closing(sqlite3.connect("orders.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")
    return {"__file__": __file__}


def orders() -> int:
    with closing(sqlite3.connect("orders.db")) as db:
        return len(db.execute("SELECT * FROM orders").fetchall())


CASES = [("wsgi", over_wsgi), ("starlette", over_asgi), ("robyn", over_robyn)]


@pytest.mark.parametrize(("guide", "send"), CASES, ids=[name for name, _ in CASES])
def test_today_a_retry_is_applied_twice_and_guarded_once(
    guide: str, send: Send, page: dict[str, Any], loop: Loop
) -> None:
    today, guarded, *_ = blocks(guide)
    exec(today, page)
    first, _ = (send(page, loop) for _ in range(2))
    assert orders() == 2
    exec(guarded, page)
    answers = [send(page, loop) for _ in range(2)]
    assert orders() == 3
    assert answers[0] == answers[1]
    assert answers[0][0] == first[0]
    page["store"].close()


@pytest.mark.parametrize("guide", [name for name, _ in CASES])
def test_a_guarded_endpoint_differs_in_ten_lines_at_most(guide: str) -> None:
    today, guarded, *_ = blocks(guide)
    changed = set(guarded.splitlines()) - set(today.splitlines())
    assert 0 < len([line for line in changed if " import " not in line]) <= MOST_CHANGED_LINES


def not_found(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [])
    return [b"elsewhere"]


def test_around_a_framework_other_requests_go_through(page: dict[str, Any], loop: Loop) -> None:
    _, guarded, around = blocks("wsgi")
    exec(guarded, page)
    page["framework"] = not_found
    exec(around, page)
    assert over_wsgi(page, loop, "application", "/elsewhere")[0] == 404
    assert page["is_order"](environ_of("/order")) is True
    page["store"].close()
