"""Under which name a guarded endpoint of FastAPI is reached, and that nothing reaches it past its guard."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.routing import Mount

from tests.guard.adapters.asgi_client import Exchange
from tests.guard.adapters.fastapi_shop import FORGED, KEY, NOW, TOCSIN, OrderIn, Shop
from tests.guard.shop import HEX, SECRET
from tocsin.guard import GuardError, Signed, Transaction
from tocsin.signing import Message, sign


def test_the_operations_name_is_the_whole_path_template(shop: Shop) -> None:
    inner, outer, mounted = APIRouter(prefix="/items"), APIRouter(prefix="/v1"), FastAPI()

    @inner.post("/{item}/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction, item: int) -> Any:
        return shop.write(tx) | {"item": item}

    @mounted.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def mounted_order(tx: Transaction) -> Any:
        return shop.write(tx)

    outer.include_router(inner, prefix="/shops/{shop}")
    shop.app.include_router(outer, prefix="/api")
    shop.app.mount("/tenants/{tenant}", mounted)
    assert shop.post(target="/api/v1/shops/a/items/5/order").json()["item"] == 5
    assert shop.post(target="/tenants/a/order").status == 200
    assert shop.operations == ["/api/v1/shops/{shop}/items/{item}/order", "/tenants/{tenant}/order"]


def test_an_endpoint_under_two_paths_wants_a_name(shop: Shop) -> None:
    @shop.app.post("/a")
    @shop.app.post("/b")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    with pytest.raises(GuardError, match=r"registered under 2 paths \(/a, /b\); wanted a name="):
        shop.post(target="/a")


def test_an_endpoint_that_no_router_shows_wants_a_name(shop: Shop) -> None:
    hidden = FastAPI()

    @hidden.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    async def opaque(scope: Any, receive: Any, send: Any) -> None:
        await hidden(scope, receive, send)

    shop.app.router.routes.append(Mount("/x", opaque))
    with pytest.raises(GuardError, match=r"registered under 0 paths \(none\); wanted a name="):
        shop.post(target="/x/order")


def test_a_name_makes_two_paths_one_operation(shop: Shop) -> None:
    guard = shop.guarded(fingerprint="body")

    @shop.app.post("/a")
    @shop.app.post("/b")
    @guard.fastapi(key=KEY, name="order")
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    assert shop.post(target="/a").body == shop.post(target="/b").body
    assert shop.operations == ["order"]


@pytest.mark.parametrize("root_path", ["", "/shop"])
def test_a_path_that_is_signed_is_the_public_one(shop: Shop, root_path: str) -> None:
    """uvicorn --root-path puts back what the proxy in front took away."""
    guard = shop.guarded(TOCSIN, clock=lambda: NOW)

    @shop.app.post("/order")
    @guard.fastapi()
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    headers = (("Idempotency-Key", "a"),)
    answer = shop.post(target=f"{root_path}/order?x=1", headers=headers, scheme=TOCSIN, root_path=root_path)
    assert (answer.status, shop.operations) == (200, ["/order"])


def test_a_route_class_of_the_applications_own_stays_in_use(shop: Shop) -> None:
    handled: list[str] = []

    class Timed(APIRoute):
        def get_route_handler(self) -> Any:
            inner = super().get_route_handler()

            async def timed(request: Request) -> Any:
                handled.append(request.url.path)
                return await inner(request)

            return timed

    router = APIRouter(route_class=Timed)

    @router.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    shop.app.include_router(router)
    assert shop.post().body == shop.post().body
    assert handled == ["/order"]


def test_routes_that_are_not_guarded_stay_as_they_are(shop: Shop) -> None:
    @shop.app.post("/free")
    async def free(body: OrderIn) -> str:
        return body.order_id

    assert shop.post(target="/free", secret=FORGED).json() == "17"
    route = next(route for route in shop.app.routes if getattr(route, "path", "") == "/free")
    assert "handle" not in vars(route)
    assert route.openapi_extra is None  # type: ignore[attr-defined]


def test_another_method_of_the_path_is_not_the_guards(sells: Shop) -> None:
    answer = sells.post(secret=FORGED, method="PUT")
    assert (answer.status, answer.field("Allow")) == (405, ["POST"])


def test_an_endpoint_cannot_be_called_past_its_guard(shop: Shop) -> None:
    """Not from a test, not from another guarded endpoint, and not through a route that nobody has looked at."""

    @shop.guard.fastapi(key=KEY, name="inner")
    async def inner(tx: Transaction) -> Any:
        return shop.write(tx)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        return await inner()  # type: ignore[call-arg]

    with pytest.raises(GuardError, match=r"inner was called past its guard"):
        shop.loop.run(inner())  # type: ignore[call-arg]
    with pytest.raises(GuardError, match=r"inner was called past its guard"):
        shop.post()
    assert shop.orders == []


def test_a_guarded_request_inside_of_another_one_joins_its_commit(shop: Shop) -> None:
    @shop.app.post("/inner")
    @shop.guard.fastapi(key=KEY)
    async def inner(tx: Transaction) -> Any:
        return shop.write(tx, "inner")

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(signed: Signed, tx: Transaction) -> Any:
        headers = sign(Message("POST", "/inner", (), signed.body), HEX, SECRET, now=NOW)
        assert (await Exchange("/inner", headers, signed.body).call(shop.app)).status == 200
        assert shop.orders == []
        return shop.write(tx, "outer")

    assert shop.post().status == 200
    assert shop.orders == ["inner", "outer"]


def test_the_routes_own_lower_limit_holds(shop: Shop) -> None:
    @shop.app.post("/order", max_body_size=10)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    assert shop.post(secret=FORGED).status == 413
