"""What only Litestar has: models, controllers, guards, hooks, dependencies, middlewares of its own, an answer cache."""

import gzip
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from litestar import Controller, Litestar, Request, Response, Router, get, post
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.connection import ASGIConnection
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.openapi import OpenAPIConfig
from litestar.params import FromPath, JSONBody, MultipartBody
from litestar.types import ASGIApp

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.fastapi_shop import FORGED, KEY, NOW, TOCSIN, Shop
from tests.guard.adapters.service import Reply
from tests.guard.adapters.test_asgi import Meddled
from tests.guard.shop import HEX, SECRET
from tocsin.guard import GuardError, Signed, Transaction, sequence
from tocsin.guard._errors import TransactionConflict
from tocsin.signing import Message, json_pointer, sign

BODY = b'{"order_id":"17"}'
QUIET: dict[str, Any] = {"openapi_config": None, "logging_config": None}


@dataclass
class OrderIn:
    order_id: str
    amount: int = 1


@dataclass
class OrderOut:
    order_id: str
    number: int


@pytest.fixture
def shop(tmp_path: Path, loop: Loop) -> Iterator[Shop]:
    made = Shop(tmp_path / "orders.db", loop)
    yield made
    made.store.close()


def serve(shop: Shop, *handlers: Any, **options: Any) -> None:
    made: Any = Litestar(list(handlers), **(QUIET | options))
    shop.app = made


def selling(shop: Shop) -> Shop:
    """POST /order with a model each way."""

    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction, data: JSONBody[OrderIn]) -> OrderOut:
        return OrderOut(**shop.write(tx, data.order_id))

    serve(shop, order)
    return shop


def test_models_are_parsed_and_answers_made_as_without_the_guard(shop: Shop) -> None:
    first, again = (selling(shop).post() for _ in range(2))
    assert (first.status, first.json()) == (201, {"order_id": "17", "number": 1})
    assert (again.stored(), again.is_replay) == (first.stored(), True)
    assert shop.operations == ["/order"]


@pytest.mark.parametrize("body", [b"[", b'{"order_id":"17","amount":"many"}'])
def test_nothing_is_parsed_before_the_signature_has_passed(shop: Shop, body: bytes) -> None:
    """A stranger is not told what is wrong with a body; and what Litestar refuses is never remembered."""
    selling(shop)
    assert shop.post(body, secret=FORGED).status == 401
    assert [shop.post(body).status for _ in range(2)] == [400, 400]
    assert (shop.runs, shop.operations) == (0, [])
    assert shop.post().status == 201


def test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves(shop: Shop) -> None:
    """A constraint that is checked at COMMIT."""

    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> dict[str, Any]:
        tx.execute("INSERT INTO lines VALUES (404)")
        return shop.write(tx)

    serve(shop, order)
    assert shop.post(raises=False).status == 500
    assert (shop.orders, shop.operations) == ([], [])


def test_controllers_routers_and_path_parameters_name_the_operation(shop: Shop) -> None:
    class Orders(Controller):
        path = "/order"

        @post("/{item:int}")
        @shop.guard.litestar(key=KEY)
        def order(self, item: FromPath[int], tx: Transaction, signed: Signed) -> dict[str, Any]:
            assert isinstance(self, Orders)
            assert signed.json() == {"order_id": "17"}
            return shop.write(tx) | {"item": item}

    serve(shop, Router("/v1", route_handlers=[Orders]))
    first, again = (shop.post(target="/v1/order/5") for _ in range(2))
    assert (first.status, first.json()["item"]) == (201, 5)
    assert (again.stored(), shop.operations) == (first.stored(), ["/v1/order/{item}"])


def test_a_handler_under_two_paths_wants_a_name(shop: Shop) -> None:
    @post(["/a", "/b"])
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> None:
        shop.write(tx)

    raised: list[Exception] = []

    async def note(error: Exception, _scope: Any) -> None:
        raised.append(error)

    serve(shop, order, after_exception=[note])
    assert shop.post(target="/a").status == 500
    [error] = raised
    assert "registered under 2 paths (/a, /b); wanted a name=" in str(error)
    assert shop.runs == 0


def test_raised_http_errors_are_rendered_by_the_applications_own_handlers_and_remembered(shop: Shop) -> None:
    """By status and by type, with the hooks that hear of errors; from 500 on the whole request is undone instead."""
    heard: list[Exception] = []

    async def note(error: Exception, _scope: Any) -> None:
        heard.append(error)

    def by_status(_request: Request[Any, Any, Any], _error: HTTPException) -> Response[Any]:
        return Response("gone, says the shop", status_code=410)

    def by_type(_request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        return Response({"because": error.detail}, status_code=error.status_code, headers={"X-Shop": "1"})

    def raising(status: int) -> Any:
        @post(f"/{status}")
        @shop.guard.litestar(key=KEY)
        async def order(tx: Transaction) -> None:
            shop.write(tx)
            raise HTTPException("no", status_code=status)

        return order

    handlers: Any = {410: by_status, HTTPException: by_type}
    serve(shop, *map(raising, (410, 404, 503)), exception_handlers=handlers, after_exception=[note])
    answers = {status: [shop.post(target=f"/{status}") for _ in range(2)] for status in (410, 404, 503)}
    assert [answer.body for answer in answers[410]] == [b"gone, says the shop"] * 2
    assert [(answer.json(), answer.field("X-Shop")) for answer in answers[404]] == [({"because": "no"}, ["1"])] * 2
    assert [answer.is_replay for answer in (*answers[410], *answers[404])] == [False, True] * 2
    assert [answer.status for answer in answers[503]] == [503, 503]
    assert (shop.runs, shop.orders, len(shop.operations), len(heard)) == (4, [], 2, 4)


class DefectError(ValueError):
    """No HTTP error of Litestar's, though it looks like one."""

    status_code = 400


def test_a_defect_that_the_application_renders_as_400_is_still_rolled_back(shop: Shop) -> None:
    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> None:
        shop.write(tx)
        raise DefectError

    def rendered(_request: Request[Any, Any, Any], error: DefectError) -> Response[Any]:
        return Response("your fault", status_code=error.status_code)

    serve(shop, order, exception_handlers={DefectError: rendered})
    assert (shop.post().status, shop.orders, shop.operations) == (400, [], [])


def test_what_a_guard_of_litestars_refuses_is_not_remembered(shop: Shop) -> None:
    allowed = iter([False, True])

    def members(_connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        if not next(allowed):
            raise NotAuthorizedException

    @post("/order", guards=[members])
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> dict[str, Any]:
        return shop.write(tx)

    serve(shop, order)
    assert shop.post(secret=FORGED).status == 401, "the guard's own answer: the allowance is not asked for"
    assert [shop.post().status, shop.post().status] == [401, 201]
    assert shop.orders == ["17"]


def test_what_follows_an_answer_follows_its_commit_once(shop: Shop) -> None:
    seen: list[tuple[str, list[str]]] = []

    async def until_the_end() -> AsyncIterator[int]:
        yield 5
        seen.append(("the exit of a dependency", shop.orders))

    async def responded(_request: Request[Any, Any, Any]) -> None:
        seen.append(("after_response", shop.orders))

    def in_the_background() -> None:
        seen.append(("background", shop.orders))

    @post("/order", dependencies={"five": Provide(until_the_end)}, after_response=responded)
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction, five: NamedDependency[int]) -> Response[Any]:
        return Response(shop.write(tx) | {"five": five}, background=BackgroundTask(in_the_background))

    serve(shop, order)
    assert [shop.post().status, shop.post().status] == [201, 201]
    assert seen == [("the exit of a dependency", []), ("background", ["17"]), ("after_response", ["17"])]


def reading(sent: list[Exchange]) -> Callable[[ASGIApp], ASGIApp]:
    """A middleware that reads the body as Litestar lets it, after which the server has nothing more to give."""

    def middleware(app: ASGIApp) -> ASGIApp:
        async def read(scope: Any, receive: Any, send: Any) -> None:
            await Request(scope, receive).body()
            sent[-1].disconnected.set()
            await app(scope, receive, send)

        return read

    return middleware


def test_a_middleware_may_have_read_the_body(shop: Shop) -> None:
    """Litestar's own for logging does."""

    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction, data: JSONBody[OrderIn]) -> OrderOut:
        return OrderOut(**shop.write(tx, data.order_id))

    sent: list[Exchange] = []
    serve(shop, order, middleware=[reading(sent)])
    headers = (("Content-Type", "application/json"), *sign(Message("POST", "/order", (), BODY), HEX, SECRET, now=NOW))
    sent.append(Exchange("/order", headers, BODY))
    assert shop.loop.run(sent[0].call(shop.app)).status == 201
    assert shop.orders == ["17"]


def test_compression_is_the_clients_and_not_the_stored_answers(shop: Shop) -> None:
    """The guard holds inside of it: a duplicate that does not understand gzip gets none."""

    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> dict[str, Any]:
        return shop.write(tx) | {"padding": "x" * 1000}

    serve(shop, order, compression_config=CompressionConfig(backend="gzip", minimum_size=100))
    zipped, plain = shop.post(headers=(("Accept-Encoding", "gzip"),)), shop.post()
    assert (zipped.field("Content-Encoding"), plain.field("Content-Encoding")) == (["gzip"], [])
    assert gzip.decompress(zipped.body) == plain.body
    assert (plain.is_replay, shop.runs) == (True, 1)


def test_a_session_that_the_handler_sets_reaches_litestars_middleware(shop: Shop) -> None:
    @post("/order")
    @shop.guard.litestar(key=KEY)
    async def order(request: Request[Any, Any, Any], tx: Transaction) -> dict[str, Any]:
        request.set_session({"order": "17"})
        return shop.write(tx)

    @get("/last")
    async def last(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return request.session

    serve(shop, order, last, middleware=[ServerSideSessionConfig().middleware])

    def session_of(answer: Reply) -> Any:
        [cookie] = answer.field("Set-Cookie")
        asked = Exchange("/last", (("Cookie", cookie.partition(";")[0]),), method="GET")
        return shop.loop.run(asked.call(shop.app)).json()

    assert session_of(shop.post()) == {"order": "17"}
    assert session_of(shop.post()) == {}, "it is of whoever began it, and no part of the stored answer"


def test_a_transaction_that_was_undone_for_another_one_runs_again_with_its_form(shop: Shop) -> None:
    """Litestar closes the files of a form, and keeps them, when its handler has ended."""
    conflicts = iter([True, False])

    async def before() -> None:
        if next(conflicts):
            raise TransactionConflict("undone")

    guard = shop.guarded(TOCSIN, clock=lambda: NOW)
    guard._store = Meddled(shop.store, before)
    texts: list[bytes] = []

    @post("/order")
    @guard.litestar()
    async def order(tx: Transaction, data: MultipartBody[UploadFile]) -> None:
        shop.write(tx)
        texts.append(await data.read())

    serve(shop, order)
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\ntext\r\n--b--\r\n'
    plain = (("Content-Type", "multipart/form-data; boundary=b"), ("Idempotency-Key", "a"))
    headers = (*plain, *sign(Message("POST", "/order", plain, body), TOCSIN, SECRET, now=NOW))
    reply = shop.loop.run(Exchange("/order", headers, body).call(shop.app))
    assert (reply.status, texts, shop.orders) == (201, [b"text", b"text"], ["17"])


@pytest.mark.parametrize("most", [10, None])
def test_the_smaller_limit_of_the_body_counts(shop: Shop, most: int | None) -> None:
    @post("/order", request_max_body_size=most)
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> dict[str, Any]:
        return shop.write(tx)

    serve(shop, order)
    assert shop.post().status == (201 if most is None else 413)
    assert shop.post(b"x" * 2_000_000).status == 413


def test_the_target_is_verified_as_it_was_spelled(shop: Shop) -> None:
    """Litestar routes by a path that it has put in order."""

    @post("/order/{item:str}")
    @shop.guarded(TOCSIN, clock=lambda: NOW).litestar()
    async def order(tx: Transaction, item: FromPath[str]) -> str:
        shop.write(tx)
        return item

    serve(shop, order)

    def signed(target: str, key: str, signed_target: str) -> Reply:
        plain = (("Idempotency-Key", key), ("Content-Type", "application/json"))
        headers = (*plain, *sign(Message("POST", signed_target, plain, BODY), TOCSIN, SECRET, now=NOW))
        path = target.partition("?")[0].replace("%20", " ")
        return shop.loop.run(Exchange(target, headers, BODY, path=path).call(shop.app))

    target = "/order/a%20b/?x=%7E&y"
    assert signed(target, "1", target).status == 201
    assert signed(target, "2", "/order/a%20b?x=%7E&y").status == 401


def test_other_handlers_stay_as_they_are_and_a_guarded_one_is_only_reached_through_its_route(shop: Shop) -> None:
    @shop.guard.litestar(key=KEY, name="order", writes=False)
    async def order(signed: Signed) -> str:
        return signed.body.decode()

    @get("/past-it")
    async def past_it() -> str:
        return await order()  # type: ignore[call-arg]

    @get("/free")
    async def free() -> str:
        return "free"

    serve(shop, past_it, free, post("/order")(order))
    assert shop.loop.run(Exchange("/free", method="GET").call(shop.app)).body == b"free"
    assert shop.loop.run(Exchange("/past-it", method="GET").call(shop.app)).status == 500
    assert shop.post(BODY).body == BODY
    assert shop.operations == ["order"]


def test_an_answer_cache_is_refused_when_the_application_starts(shop: Shop) -> None:
    """It answers every order with the first one's answer, by the URL alone."""

    @post("/order", cache=True)
    @shop.guard.litestar(key=KEY)
    async def order(tx: Transaction) -> None:
        shop.write(tx)

    with pytest.raises(GuardError, match=r"has cache=True, .*; wanted no cache"):
        serve(shop, order)


async def pieces(tx: Transaction) -> AsyncIterator[bytes]:
    del tx
    yield b""


async def without_tx(signed: Signed) -> None:
    del signed


@pytest.mark.parametrize(
    ("handler", "writes", "wanted"),
    [
        (OrderIn, True, "is no plain function"),
        (post("/order")(without_tx), True, "stands below @post"),
        (pieces, True, "wanted one that returns it"),
        (without_tx, True, "wanted a parameter tx, or writes=False"),
        (selling, False, None),
    ],
)
def test_what_cannot_be_guarded_is_refused_at_the_start(
    shop: Shop, handler: Any, wanted: str | None, *, writes: bool
) -> None:
    if wanted is None:

        async def handler(tx: Transaction) -> None:
            del tx

        wanted = "takes tx and is declared with writes=False"
    with pytest.raises(GuardError, match=wanted):
        shop.guard.litestar(key=KEY, name="a", writes=writes)(handler)


def test_the_openapi_document_says_what_the_guard_does(shop: Shop) -> None:
    @post("/order")
    @shop.guarded(TOCSIN).litestar(sequence=sequence(number=json_pointer("/version")))
    async def order(tx: Transaction, data: JSONBody[OrderIn]) -> OrderOut:
        return OrderOut(**shop.write(tx, data.order_id))

    @get("/orders")
    async def orders() -> int:
        return shop.runs

    serve(shop, order, orders, openapi_config=OpenAPIConfig("Orders", "1"))
    app: Any = shop.app
    paths = app.openapi_schema.to_schema()["paths"]
    said = paths["/order"]["post"]
    assert {"Idempotency-Key", *TOCSIN.written_headers} <= {field["name"] for field in said["parameters"]}
    assert {"200", "201", "400", "401", "409", "413", "422", "503"} <= said["responses"].keys()
    assert "was applied before" in said["responses"]["200"]["description"]
    assert "Idempotent-Replayed" in said["responses"]["201"]["headers"]
    assert sorted(said["responses"]["400"]["content"]) == ["application/json", "application/problem+json"]
    assert "$ref" in said["requestBody"]["content"]["application/json"]["schema"]
    assert "401" not in paths["/orders"]["get"]["responses"]
