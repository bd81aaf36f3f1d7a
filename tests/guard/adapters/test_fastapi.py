"""What only FastAPI has: models, dependencies, exception handlers, routers, middlewares, two kinds of functions."""

import asyncio
import builtins
import contextvars
import gc
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import anyio
import anyio.from_thread
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Mount

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.service import Reply
from tests.guard.shop import HEX, SECRET
from tests.guard.test_flask_concurrency import together
from tocsin.guard import Guard, GuardError, Signed, Transaction, json_pointer
from tocsin.guard import _asgi as guard_asgi
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Header as Field
from tocsin.signing import KeyRing, Message, Scheme, Secret, preset, sign

KEY = json_pointer("/order_id")
TOCSIN = preset("tocsin-v1")
FORGED = Secret(b"somebody else's secret", key_id="k1")


class OrderIn(BaseModel):
    order_id: str
    amount: int = 1


class OrderOut(BaseModel):
    order_id: str
    number: int


class Shop:
    """A FastAPI application of a test's own, over one file."""

    def __init__(self, path: Path, loop: Loop) -> None:
        self.path = path
        self.loop = loop
        self.store = SQLiteStore(path, on_connect=lambda connection: connection.execute("PRAGMA foreign_keys = ON"))
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")
            db.execute("CREATE TABLE items (id INTEGER PRIMARY KEY)")
            db.execute("CREATE TABLE lines (item INTEGER REFERENCES items DEFERRABLE INITIALLY DEFERRED)")
        self.guard = self.guarded()
        self.app = FastAPI()
        self.runs = 0

    def guarded(self, scheme: Scheme = HEX, **options: Any) -> Guard[Any]:
        return Guard(scheme, KeyRing.of(SECRET), self.store, **({"wait_s": 30, "shared_secret": True} | options))

    def write(self, tx: Transaction, order_id: str = "17") -> dict[str, Any]:
        self.runs += 1
        tx.execute("INSERT INTO orders VALUES (?)", (order_id,))
        return {"order_id": order_id, "number": self.runs}

    def post(
        self,
        document: object = None,
        *,
        target: str = "/order",
        headers: tuple[Field, ...] = (),
        scheme: Scheme = HEX,
        secret: Secret = SECRET,
        raises: bool = True,
        **scope: Any,
    ) -> Reply:
        """Send a signed order; what the application raises is raised, or what the client hears is returned."""
        body = document if isinstance(document, bytes) else json.dumps(document or {"order_id": "17"}).encode()
        plain = (*headers, ("Content-Type", "application/json"))
        signed = sign(Message("POST", target, plain, body), scheme, secret, now=NOW)
        exchange = Exchange(target, (*plain, *signed), body, **scope)
        return self.loop.run(exchange.call(self.app) if raises else exchange.heard(self.app))

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as db:
            return [value for (value,) in db.execute(sql)]

    @property
    def orders(self) -> list[str]:
        return self.query("SELECT order_id FROM orders ORDER BY rowid")

    @property
    def operations(self) -> list[str]:
        """What is claimed."""
        return self.query("SELECT operation FROM tocsin_claims ORDER BY id")


NOW = 1_790_000_000


@pytest.fixture
def shop(tmp_path: Path, loop: Loop) -> Iterator[Shop]:
    made = Shop(tmp_path / "orders.db", loop)
    yield made
    made.store.close()


def selling(shop: Shop, kind: str) -> Shop:
    """A shop whose POST /order has a model each way."""
    if kind == "def":

        @shop.app.post("/order", status_code=201, response_model=OrderOut)
        @shop.guard.fastapi(key=KEY)
        def order(signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
            return sell(shop, signed, tx, body, tasks)

    else:

        @shop.app.post("/order", status_code=201, response_model=OrderOut)
        @shop.guard.fastapi(key=KEY)
        async def order_async(signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
            return sell(shop, signed, tx, body, tasks)

    return shop


@pytest.fixture(params=["async def", "def"])
def sells(request: pytest.FixtureRequest, shop: Shop) -> Shop:
    """That, in both kinds of functions."""
    return selling(shop, request.param)


seen_by_tasks: list[tuple[str, int]] = []


def sell(shop: Shop, signed: Signed, tx: Transaction, body: OrderIn, tasks: BackgroundTasks) -> Any:
    assert json.loads(signed.body)["order_id"] == body.order_id
    tasks.add_task(lambda: seen_by_tasks.append((body.order_id, len(shop.orders))))
    return shop.write(tx, body.order_id) | {"password_hash": "s3cret"}


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


def test_a_response_that_breaks_its_model_is_rolled_back(shop: Shop) -> None:
    """The handler had returned; the answer could not be made."""

    @shop.app.post("/order", response_model=OrderOut)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        return {"number": "none"}

    with pytest.raises(ResponseValidationError):
        shop.post()
    assert (shop.orders, shop.operations) == ([], [])


def test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves(shop: Shop) -> None:
    """A constraint that is checked at COMMIT: dependencies with yield have sent their 200 by then."""

    @shop.app.post("/order", status_code=201)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        tx.execute("INSERT INTO lines VALUES (404)")
        return shop.write(tx)

    assert shop.post(raises=False).status == 500
    assert (shop.orders, shop.operations) == ([], [])


def test_raised_http_errors_are_rendered_by_the_applications_own_handlers_and_remembered(shop: Shop) -> None:
    rendered: list[int] = []

    @shop.app.exception_handler(404)
    async def not_there(_request: Request, error: HTTPException) -> Response:
        rendered.append(error.status_code)
        return JSONResponse({"error": error.detail}, 404, {"X-Shop": "1"})

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise HTTPException(404, "no such item")

    first, again = shop.post(), shop.post()
    assert (first.status, first.json(), first.field("X-Shop")) == (404, {"error": "no such item"}, ["1"])
    assert again.stored() == first.stored()
    assert (rendered, shop.orders, len(shop.operations)) == ([404], [], 1)


class OutOfStock(HTTPException):
    pass


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_a_handler_for_an_http_error_of_the_applications_own_is_found(shop: Shop, kind: str) -> None:
    def render(_request: Request, _error: Exception) -> Response:
        return JSONResponse("sold out", 410)

    async def render_async(request: Request, error: Exception) -> Response:
        return render(request, error)

    shop.app.add_exception_handler(OutOfStock, render if kind == "def" else render_async)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise OutOfStock(404)

    assert [shop.post().status, shop.post().status] == [410, 410]
    assert (shop.runs, shop.orders) == (1, [])


def test_a_validation_error_raised_inside_is_a_refusal_of_the_handlers(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        raise RequestValidationError([{"loc": ("body", "amount"), "msg": "too much", "type": "value_error"}])

    first, again = shop.post(), shop.post()
    assert (first.status, again.is_replay, again.body) == (422, True, first.body)
    assert (shop.runs, shop.orders) == (1, [])


class BrokenInvariantError(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "status"), [(BrokenInvariantError(), 400), (HTTPException(503, "later"), 503)], ids=["own", "503"]
)
def test_an_exceptions_type_decides_and_not_what_its_handler_makes_of_it(
    shop: Shop, error: Exception, status: int
) -> None:
    """A defect that is rendered as 400 is still a defect: rolled back, rendered once, and a retry runs."""
    rendered: list[Exception] = []

    @shop.app.exception_handler(BrokenInvariantError)
    def sorry(_request: Request, error: Exception) -> Response:
        rendered.append(error)
        return JSONResponse("sorry", 400)

    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        shop.write(tx)
        if shop.runs == 1:
            raise error
        return "done"

    assert shop.post().status == status
    assert len(rendered) == (status == 400)
    assert (shop.orders, shop.operations) == ([], [])
    assert shop.post().status == 200


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


async def passes(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers["X-Middleware"] = "1"
    return response


async def reads_ahead(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    await request.body()
    return await call_next(request)


@pytest.mark.parametrize(
    ("middleware", "options"),
    [
        (BaseHTTPMiddleware, {"dispatch": passes}),
        (BaseHTTPMiddleware, {"dispatch": reads_ahead}),
        (GZipMiddleware, {"minimum_size": 1}),
        (CORSMiddleware, {"allow_origins": ["*"]}),
    ],
    ids=["base", "base that reads the body", "gzip", "CORS"],
)
def test_a_middleware_around_it_does_not_turn_the_guard_off(sells: Shop, middleware: Any, options: Any) -> None:
    """Elsewhere it makes every answer a stream, which is not remembered: 2 effects."""
    sells.app.add_middleware(middleware, **options)
    headers = (("Accept-Encoding", "gzip"), ("Origin", "https://shop.example"))
    first, again = sells.post(headers=headers), sells.post(headers=headers)
    assert (first.status, again.is_replay) == (201, True)
    assert again.body == first.body
    assert again.field("Content-Encoding") == first.field("Content-Encoding")
    assert sells.orders == ["17"]


def test_a_middleware_that_cancels_the_request_leaves_nothing(sells: Shop) -> None:
    """Its scope goes on cancelling until the endpoint has gone: the roll-back has to stand that."""
    scopes: list[anyio.CancelScope] = []

    class Impatient:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            with anyio.CancelScope() as cancelling:
                scopes.append(cancelling)
                await self.app(scope, receive, send)
            if cancelling.cancelled_caught:
                await Response(status_code=504)(scope, receive, send)

    async def cancelled_while_the_endpoint_runs(tx: Transaction) -> Any:
        sells.write(tx)
        if sells.runs == 1:
            scopes[-1].cancel()
            await asyncio.Event().wait()
        return "done"

    def cancelled_from_a_thread(tx: Transaction) -> Any:
        sells.write(tx)
        if sells.runs == 2:
            anyio.from_thread.run_sync(scopes[-1].cancel)
        return "done"

    sells.app.add_middleware(Impatient)
    for path, handler in (("/a", cancelled_while_the_endpoint_runs), ("/b", cancelled_from_a_thread)):
        sells.runs = len(sells.orders)
        sells.app.post(path)(sells.guard.fastapi(key=KEY)(handler))
        assert sells.post(target=path).status == 504
        assert (len(sells.orders), sells.guard._in_flight._entries) == (path == "/b", {})
        assert sells.post(target=path).status == 200
    assert sells.orders == ["17", "17"]


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


def test_the_routes_own_lower_limit_holds(shop: Shop) -> None:
    @shop.app.post("/order", max_body_size=10)
    @shop.guard.fastapi(key=KEY)
    async def order(tx: Transaction) -> Any:
        return shop.write(tx)

    assert shop.post(secret=FORGED).status == 413


def test_a_handler_that_writes_nothing_says_so(shop: Shop) -> None:
    @shop.app.post("/order")
    @shop.guard.fastapi(key=KEY, writes=False)
    async def order(body: OrderIn) -> Any:
        shop.runs += 1
        return body.order_id

    assert [shop.post().json(), shop.post().json()] == ["17", "17"]
    assert shop.runs == 1


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


def test_a_missing_fastapi_names_the_extra(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_fastapi(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith(("fastapi", "tocsin.guard.adapters")):
            raise ModuleNotFoundError("No module named 'fastapi'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_fastapi)
    with pytest.raises(GuardError, match=r"pip install 'tocsin\[fastapi\]'"):
        shop.guard.fastapi(key=KEY)


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
