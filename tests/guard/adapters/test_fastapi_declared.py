"""What is said of a guarded endpoint of FastAPI when it is declared, and in the OpenAPI document."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from tests.guard.adapters.asgi_client import Exchange
from tests.guard.adapters.fastapi_shop import KEY, TOCSIN, OrderIn, OrderOut, Shop
from tests.guard.shop import HEX, SECRET
from tocsin.guard import Guard, GuardError, Signed, Transaction, json_pointer, sequence
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing


def test_a_handler_that_writes_nothing_says_so(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY, writes=False)
    async def order(body: OrderIn) -> Any:
        shop.runs += 1
        return body.order_id

    assert [shop.post().json(), shop.post().json()] == ["17", "17"]
    assert shop.runs == 1


def test_annotations_may_be_text(shop: Shop) -> None:
    """As `from __future__ import annotations` leaves them: read where the handler is, not where the guard is."""

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(signed: "Signed", tx: "Transaction", body: "OrderIn") -> "OrderOut":
        assert signed.json() == body.model_dump(exclude_unset=True)
        return OrderOut(**shop.write(tx, body.order_id))

    assert shop.post().json() == {"order_id": "17", "number": 1}


async def without_tx(body: OrderIn) -> Any:
    return body


async def with_tx(tx: Transaction) -> Any:
    return tx


async def yields(tx: Transaction) -> AsyncIterator[Any]:
    yield tx


def yields_too(tx: Transaction) -> Iterator[Any]:
    yield tx


async def nameless(tx: Transaction, item: int, /) -> Any:
    return tx, item


class Orders:
    async def post(self, tx: Transaction) -> Any:
        return tx


@pytest.mark.parametrize(
    ("handler", "options", "said"),
    [
        (without_tx, {}, r"without_tx does not take tx: .*Depends\(get_db\).*writes=False"),
        (with_tx, {"writes": False}, "with_tx takes tx and is declared with writes=False"),
        (yields, {}, "yields yields its answer piece by piece"),
        (yields_too, {}, "yields_too yields its answer piece by piece"),
        (nameless, {}, "nameless has parameters that have no name"),
        (Orders.post, {}, r"Orders\.post is no plain function"),
        (Orders().post, {}, r"Orders\.post is no plain function"),
    ],
)
def test_an_endpoint_that_cannot_be_guarded_is_refused_when_it_is_declared(
    shop: Shop, handler: Any, options: Any, said: str
) -> None:
    with pytest.raises(GuardError, match=said):
        shop.guard.fastapi(key=KEY, **options)(handler)


class Only:
    """One half of SQLiteStore."""

    def __init__(self, store: SQLiteStore, take: str) -> None:
        setattr(self, take, getattr(store, take))


@pytest.mark.parametrize(
    ("half", "said"),
    [
        ("take", "with_tx, guarded by guard.fastapi, runs on an event loop, and Only is for threads"),
        ("take_async", "plain, guarded by guard.fastapi, runs on a thread, and Only is for tasks of an event loop"),
    ],
)
def test_a_store_of_the_other_kind_is_refused_when_the_endpoint_is_declared(shop: Shop, half: str, said: str) -> None:
    def plain(tx: Transaction) -> Any:
        return tx

    guard: Guard[Any] = Guard(HEX, KeyRing.of(SECRET), Only(shop.store, half))  # type: ignore[arg-type]
    handler: Any = with_tx if half == "take" else plain
    with pytest.raises(GuardError, match=said):
        guard.fastapi(key=KEY)(handler)


def test_the_openapi_document_says_what_the_guard_does(shop: Shop) -> None:
    """Whole, so that a change of it is seen."""
    guard = shop.guarded(TOCSIN)
    router = APIRouter(prefix="/v1")

    @router.post("/order", status_code=201, response_model=OrderOut, responses={409: {"description": "Sold out"}})
    @guard.fastapi()
    async def order(signed: Signed, tx: Transaction, body: OrderIn) -> Any:
        return shop.write(tx, body.order_id) | {"tenant": signed.tenant}

    shop.app.include_router(router)
    document = json.loads(shop.loop.run(Exchange("/openapi.json", method="GET").call(shop.app)).body)
    written = json.dumps(document["paths"]["/v1/order"], indent=1) + "\n"
    snapshot = Path(__file__).with_name("openapi.json")
    assert written == snapshot.read_text(encoding="utf-8")


def test_the_openapi_document_says_how_an_older_message_is_answered(shop: Shop) -> None:
    @shop.app.post("/order", status_code=201)
    @shop.guard.fastapi(key=KEY, sequence=sequence(number=json_pointer("/version")))
    async def order(tx: Transaction, body: OrderIn) -> Any:
        return shop.write(tx, body.order_id)

    document = json.loads(shop.loop.run(Exchange("/openapi.json", method="GET").call(shop.app)).body)
    assert "was applied before" in document["paths"]["/order"]["post"]["responses"]["200"]["description"]
