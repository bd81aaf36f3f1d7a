"""What a guarded endpoint has of Starlette, and what it has not."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.on_starlette import OnStarlette
from tests.guard.adapters.service import Reply
from tocsin.guard import GuardError, Signed, Transaction, json_pointer
from tocsin.guard.adapters.starlette import GuardedRoute

BODY = b'{"order_id":"17"}'
KEY = json_pointer("/order_id")


@pytest.fixture
def service(tmp_path: Path, loop: Loop) -> Iterator[OnStarlette]:
    OnStarlette.loop = loop
    made = OnStarlette(tmp_path / "orders.db", shared_secret=True)
    yield made
    made.close()


def routed(service: OnStarlette, app: Any, path: str, method: str = "POST") -> Reply:
    sent = Exchange(path, service.signed(BODY, target=path), BODY, method=method)
    return service.loop.run(sent.call(app))


def write(tx: Transaction) -> None:
    tx.execute("INSERT INTO orders VALUES ('17')")


def test_the_operations_name_is_the_whole_path_template(service: OnStarlette) -> None:
    @service.guard.starlette(key=KEY)
    async def order(request: Request, _signed: Signed, tx: Transaction) -> Response:
        write(tx)
        return PlainTextResponse(request.path_params["shop"])

    inner = Starlette(routes=[Mount("/{shop}", routes=[Route("/order", order, methods=["POST"])])])
    app = Starlette(routes=[Mount("/v1", inner)])
    assert [routed(service, app, "/v1/north/order").body for _ in range(2)] == [b"north"] * 2
    assert service.query("SELECT operation FROM tocsin_claims") == [("/v1/{shop}/order",)]


def test_an_endpoint_under_two_paths_wants_a_name(service: OnStarlette) -> None:
    @service.guard.starlette(key=KEY)
    async def order(_request: Request, _signed: Signed, _tx: Transaction) -> Response:
        raise AssertionError

    app = Starlette(routes=[Route("/a", order, methods=["POST"]), Route("/b", order, methods=["POST"])])
    with pytest.raises(GuardError, match=r"registered under 2 paths \(/a, /b\); wanted a name="):
        routed(service, app, "/a")
    with pytest.raises(GuardError, match=r"registered under 0 paths \(none\); wanted a name="):
        routed(service, order, "/a")


def test_the_applications_own_handlers_render_what_is_remembered(service: OnStarlette) -> None:
    """By status and by type, `async def` and `def`; from 500 on the whole request is undone instead."""

    async def by_status(_request: Request, _error: Exception) -> Response:
        return PlainTextResponse("gone, says the shop", 410)

    def by_type(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"because": error.detail}, error.status_code)

    def raising(status: int) -> GuardedRoute[Any]:
        @service.guard.starlette(key=KEY, name=f"{status}")
        async def order(_request: Request, _signed: Signed, tx: Transaction) -> Response:
            write(tx)
            service.runs += 1
            raise HTTPException(status, "no")

        return order

    handlers: Any = {410: by_status, HTTPException: by_type}
    routes = [Route(f"/{status}", raising(status), methods=["POST"]) for status in (410, 404, 503)]
    app = Starlette(routes=routes, exception_handlers=handlers)
    answers = {status: [routed(service, app, f"/{status}") for _ in range(2)] for status in (410, 404, 503)}
    assert {answer.body for answer in answers[410]} == {b"gone, says the shop"}
    assert {answer.body for answer in answers[404]} == {b'{"because":"no"}'}
    assert [answer.is_replay for answer in (*answers[410], *answers[404])] == [False, True] * 2
    assert [answer.status for answer in answers[503]] == [503, 503]
    assert (service.runs, service.orders, service.claims) == (4, [], 2)


def test_a_defect_that_the_application_renders_as_400_is_still_rolled_back(service: OnStarlette) -> None:
    @service.guard.starlette(key=KEY)
    def order(_request: Request, _signed: Signed, tx: Transaction) -> Response:
        write(tx)
        raise ValueError("a defect")

    handlers: Any = {ValueError: lambda _request, _error: PlainTextResponse("your fault", 400)}
    app = Starlette(routes=[Route("/order", order, methods=["POST"])], exception_handlers=handlers)
    assert (routed(service, app, "/order").status, service.orders, service.claims) == (400, [], 0)


def test_other_methods_are_the_routes_affair(service: OnStarlette) -> None:
    assert routed(service, service.app, "/order", method="GET").status == 405
    assert service.claims == 0


class Shop:
    async def order(self, _request: Request, _signed: Signed, _tx: Transaction) -> Response:
        raise AssertionError


async def pieces(_request: Request, _signed: Signed, _tx: Transaction) -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("handler", [Shop, Shop.order, pieces])
def test_what_is_no_plain_function_is_refused_at_the_start(service: OnStarlette, handler: Any) -> None:
    with pytest.raises(GuardError, match=r"wanted one that|is no plain function"):
        service.guard.starlette(key=KEY, name="a")(handler)
