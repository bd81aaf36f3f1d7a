"""A guarded endpoint of FastAPI: its model, its dependencies, its answer, its thread."""

import asyncio
import contextvars
import gc
import json
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import anyio.from_thread
import pytest
from fastapi import Depends, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from tests.guard.adapters.asgi_client import Exchange
from tests.guard.adapters.fastapi_shop import (
    FORGED,
    KEY,
    NOW,
    OrderIn,
    OrderOut,
    Shop,
    seen_by_tasks,
)
from tests.guard.shop import HEX, SECRET
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Signed, Transaction
from tocsin.guard import _asgi as guard_asgi
from tocsin.signing import Message, sign


def test_the_shortest_form_is_that_of_flask(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(signed: Signed, tx: Transaction, body: OrderIn) -> OrderOut:
        assert signed.tenant == "main"
        return OrderOut.model_validate(shop.write(tx, body.order_id))

    first, again = shop.post(), shop.post()
    assert first.json() == again.json() == {"order_id": "17", "number": 1}
    assert again.is_replay


def test_a_duplicate_gets_what_the_response_model_let_through(sells: Shop) -> None:
    """Elsewhere the replay holds the password's hash."""
    first, again = sells.post(), sells.post()
    assert first.json() == {"order_id": "17", "number": 1}
    assert (first.status, again.stored()) == (201, first.stored())
    assert sells.orders == ["17"]


def test_background_tasks_run_after_commit_and_once(sells: Shop) -> None:
    seen_by_tasks.clear()
    sells.post()
    sells.post()
    assert seen_by_tasks == [("17", 1)]


def test_nothing_is_parsed_before_the_signature_has_passed(sells: Shop) -> None:
    """A body that FastAPI would refuse is 401 as long as nobody has signed it."""
    for body in (b"[", b'{"order_id":7}', b"\xff"):
        assert sells.post(body, secret=FORGED).status == 401


def test_what_fastapi_refuses_is_never_remembered_and_takes_no_claim(sells: Shop) -> None:
    refused = sells.post({"order_id": "17", "amount": "many"})
    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["body", "amount"]
    assert (sells.runs, sells.operations) == (0, [])
    assert sells.post({"order_id": "17", "amount": 2}).status == 201


def test_what_a_dependency_refuses_is_never_remembered_and_takes_no_claim(shop: Shop) -> None:
    known = {"bob": False}

    def authenticated(x_user: Annotated[str, Header()]) -> str:
        if not known[x_user]:
            raise HTTPException(403, "who are you")
        return x_user

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction, user: Annotated[str, Depends(authenticated)]) -> Any:
        return shop.write(tx) | {"user": user}

    headers = (("X-User", "bob"),)
    assert shop.post(headers=headers).status == 403
    assert shop.operations == []
    known["bob"] = True
    assert shop.post(headers=headers).json()["user"] == "bob"


def test_a_dependency_is_overridden_as_usual(shop: Shop) -> None:
    def price() -> int:
        raise AssertionError("overridden")

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction, price: Annotated[int, Depends(price)]) -> Any:
        return shop.write(tx) | {"price": price}

    shop.app.dependency_overrides[price] = lambda: 3
    assert shop.post().json()["price"] == 3


@pytest.mark.parametrize("status", [201, 503], ids=["applied", "rolled back"])
def test_a_yield_dependency_ends_after_commit_and_is_told_where_nothing_was_applied(shop: Shop, status: int) -> None:
    seen: list[Any] = []

    async def session() -> AsyncIterator[str]:
        try:
            yield "session"
        except BaseException:
            seen.append("undone")
            raise
        seen.append(shop.orders)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction, _session: Annotated[str, Depends(session)], response: Response) -> Any:
        response.status_code = status
        return shop.write(tx)

    assert shop.post().status == status
    assert seen == ([["17"]] if status == 201 else ["undone"])
    assert len(shop.orders) == (status == 201)


def test_cookies_and_status_of_an_injected_response_are_replayed(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction, response: Response) -> Any:
        response.status_code = 202
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return shop.write(tx)

    first, again = shop.post(), shop.post()
    assert (first.status, len(first.field("Set-Cookie"))) == (202, 2)
    assert again.stored() == first.stored()


label: contextvars.ContextVar[str] = contextvars.ContextVar("label", default="")


def test_a_plain_function_runs_on_a_thread_with_the_context_of_its_request(shop: Shop) -> None:
    async def labelled() -> None:
        label.set("of the request")

    threads: set[int] = set()

    @shop.app.post("/order", dependencies=[Depends(labelled)])
    @shop.guard.fastapi(key=KEY)
    def order(tx: Transaction) -> Any:
        threads.add(threading.get_ident())
        threads.add(anyio.from_thread.run_sync(threading.get_ident))
        return shop.write(tx) | {"label": label.get()}

    assert shop.post().json()["label"] == "of the request"
    assert len(threads) == 2


def test_handlers_that_wait_for_the_writer_leave_the_framework_its_threads(shop: Shop) -> None:
    """Whoever has the turn may need one of them to come to its end."""

    @shop.app.exception_handler(404)
    def not_there(_request: Request, _error: HTTPException) -> Response:
        return JSONResponse("gone", 410)

    guard = shop.guarded(wait_s=20)

    @shop.app.post("/order")
    @guard.fastapi(key=KEY)
    def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise HTTPException(404)

    numbers = iter(range(64))
    replies = together(64, lambda: shop.post({"order_id": str(next(numbers))}))
    assert {reply.status for reply in replies} == {410}


def test_the_request_object_holds_the_bytes_that_were_verified(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(signed: Signed, tx: Transaction, request: Request) -> Any:
        shop.write(tx)
        return [await request.body() == signed.body, await request.json()]

    assert shop.post().json() == [True, {"order_id": "17"}]


def test_a_request_leaves_nothing_to_the_garbage_collector(sells: Shop) -> None:
    """What refers to itself waits for it: under load that was a quarter of the processor's time."""

    def alive() -> int:
        return sum(issubclass(type(one), guard_asgi.Exchange) for one in gc.get_objects())

    async def go() -> int:
        before = alive()
        for number in (1, 2, 3, 3):
            body = json.dumps({"order_id": str(number)}).encode()
            signed = sign(Message("POST", "/order", (), body), HEX, SECRET, now=NOW)
            headers = (("Content-Type", "application/json"), *signed)
            assert (await Exchange("/order", headers, body).call(sells.app)).status == 201
        for _ in range(500):
            # Another thread may not have returned yet from what it did for the last one.
            if alive() == before:
                break
            await asyncio.sleep(0.01)
        return alive() - before

    gc.collect()
    gc.disable()
    try:
        assert sells.loop.run(go()) == 0
    finally:
        gc.enable()
