"""One handler on two applications of a process: which of them is asked first differs between processes."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from flask import Blueprint, Flask
from litestar import Litestar, Router
from litestar import post as litestar_post
from quart import Blueprint as QuartBlueprint
from quart import Quart
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.guard.adapters.asgi_client import Exchange
from tests.guard.adapters.fastapi_shop import KEY, NOW, Shop
from tests.guard.shop import HEX, SECRET
from tocsin.guard import GuardError, Signed, Transaction
from tocsin.signing import Message, sign

BODY = b'{"order_id":"17"}'
Post = Callable[[str], int]
Serve = Callable[..., list[Post]]


def over_asgi(shop: Shop, app: Any) -> Post:
    def post(path: str) -> int:
        headers = (("Content-Type", "application/json"), *sign(Message("POST", path, (), BODY), HEX, SECRET, now=NOW))
        return shop.loop.run(Exchange(path, headers, BODY).call(app)).status

    return post


def on_flask(shop: Shop, *prefixes: str, **route: Any) -> list[Post]:
    blueprint = Blueprint("orders", __name__)

    @blueprint.post("/order")
    @shop.guard.flask(key=KEY, **route)
    def order(_signed: Signed, tx: Transaction) -> Any:
        return shop.write(tx)

    def served(prefix: str) -> Post:
        app = Flask(prefix)
        app.testing = True
        app.register_blueprint(blueprint, url_prefix=prefix)
        headers = list(sign(Message("POST", "/", (), BODY), HEX, SECRET, now=NOW))
        return lambda path: app.test_client().post(path, data=BODY, headers=headers).status_code

    return [served(prefix) for prefix in prefixes]


def on_quart(shop: Shop, *prefixes: str, **route: Any) -> list[Post]:
    blueprint = QuartBlueprint("orders", __name__)

    @blueprint.post("/order")
    @shop.guard.quart(key=KEY, **route)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        return shop.write(tx)

    def served(prefix: str) -> Post:
        app = Quart(prefix)
        app.config["PROPAGATE_EXCEPTIONS"] = True
        app.register_blueprint(blueprint, url_prefix=prefix)
        return over_asgi(shop, app)

    return [served(prefix) for prefix in prefixes]


def on_fastapi(shop: Shop, *prefixes: str, **route: Any) -> list[Post]:
    router = APIRouter()

    @router.post("/order")
    @shop.guard.fastapi(key=KEY, **route)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    def served(prefix: str) -> Post:
        app = FastAPI()
        app.include_router(router, prefix=prefix)
        return over_asgi(shop, app)

    return [served(prefix) for prefix in prefixes]


def on_starlette(shop: Shop, *prefixes: str, **route: Any) -> list[Post]:
    @shop.guard.starlette(key=KEY, **route)
    async def order(_request: Request, _signed: Signed, tx: Transaction) -> Response:
        return PlainTextResponse(str(shop.write(tx)))

    routes = [Route("/order", order, methods=["POST"])]
    return [over_asgi(shop, Starlette(routes=[Mount(prefix, routes=routes)])) for prefix in prefixes]


def on_litestar(shop: Shop, *prefixes: str, **route: Any) -> list[Post]:
    raised: list[Exception] = []

    @litestar_post("/order", status_code=200)
    @shop.guard.litestar(key=KEY, **route)
    async def order(tx: Transaction) -> dict[str, Any]:
        return shop.write(tx)

    async def note(error: Exception, _scope: Any) -> None:
        raised.append(error)

    def served(prefix: str) -> Post:
        router = Router(prefix, route_handlers=[order])
        post = over_asgi(shop, Litestar([router], openapi_config=None, logging_config=None, after_exception=[note]))

        def raising(path: str) -> int:
            status = post(path)
            if raised:
                raise raised.pop()
            return status

        return raising

    return [served(prefix) for prefix in prefixes]


@pytest.fixture(params=[on_flask, on_quart, on_fastapi, on_starlette, on_litestar])
def serve(request: pytest.FixtureRequest) -> Serve:
    made: Serve = request.param
    return made


def test_a_handler_under_another_path_of_another_application_wants_a_name(shop: Shop, serve: Serve) -> None:
    """Its name is part of every key: a retry that meets a process with another name would take effect again."""
    first, second = serve(shop, "/v1", "/v2")
    assert first("/v1/order") == 200
    for _ in range(2):
        with pytest.raises(GuardError, match=r"under 2 paths \(/v1/order, /v2/order\).*wanted a name="):
            second("/v2/order")
    assert first("/v1/order") == 200
    assert (shop.orders, shop.operations) == (["17"], ["/v1/order"])


def test_a_name_of_its_own_makes_it_one_operation_of_both(shop: Shop, serve: Serve) -> None:
    first, second = serve(shop, "/v1", "/v2", name="order", fingerprint="body")
    assert [first("/v1/order"), second("/v2/order"), first("/v1/order")] == [200] * 3
    assert (shop.orders, shop.operations) == (["17"], ["order"])


def test_under_one_path_of_both_it_needs_none(shop: Shop, serve: Serve) -> None:
    posts = serve(shop, "/v1", "/v1")
    assert [post("/v1/order") for post in posts * 2] == [200] * 4
    assert (shop.orders, shop.operations) == (["17"], ["/v1/order"])
