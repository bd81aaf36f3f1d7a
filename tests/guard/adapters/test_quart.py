"""What only Quart has: two kinds of views, blueprints, hooks, error handlers, streams, bodies that come meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from quart import Blueprint, Quart, Response, abort, after_this_request, g, request, session
from quart.views import MethodView
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.fastapi_shop import FORGED, KEY, NOW, TOCSIN, Shop
from tests.guard.adapters.test_asgi import Meddled
from tests.guard.shop import HEX, SECRET
from tocsin.guard import GuardError, Signed, Transaction, TransactionConflict
from tocsin.signing import Message, sign

BODY = b'{"order_id":"17"}'


@pytest.fixture
def shop(tmp_path: Path, loop: Loop) -> Iterator[Shop]:
    made = Shop(tmp_path / "orders.db", loop)
    yield made
    made.store.close()


def quart(shop: Shop) -> Quart:
    """Its application, from now on."""
    app: Any = Quart("shop")
    app.secret_key = "a secret of the tests"
    shop.app = app
    return app  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["async def", "def"])
def test_the_view_has_the_request_and_its_body(shop: Shop, kind: str) -> None:
    """Quart's own request, g and route arguments, in both kinds of views."""
    app = quart(shop)
    read: list[bool] = []

    @app.before_request
    async def before() -> None:
        g.found = await request.get_json()

    if kind == "def":

        @app.post("/order/<item>")
        @shop.guard.quart(key=KEY)
        def order(signed: Signed, tx: Transaction, item: str) -> Any:
            assert g.found == signed.json()
            return shop.write(tx) | {"item": item, "query": request.args["q"]}

    else:

        @app.post("/order/<item>")
        @shop.guard.quart(key=KEY)
        async def order_async(signed: Signed, tx: Transaction, item: str) -> Any:
            assert g.found == signed.json()
            read.append(await request.get_data() == signed.body)
            return shop.write(tx) | {"item": item, "query": request.args["q"]}

    first, again = (shop.post(target="/order/a%20b?q=1", path="/order/a b") for _ in range(2))
    assert (first.status, first.json()["item"], first.json()["query"]) == (200, "a b", "1")
    assert (again.stored(), again.is_replay, shop.operations) == (first.stored(), True, ["/order/<item>"])
    assert all(read)


def test_the_target_is_verified_as_it_was_spelled(shop: Shop) -> None:
    app = quart(shop)

    @app.post("/order/<item>")
    @shop.guarded(TOCSIN, clock=lambda: NOW).quart()
    async def order(_signed: Signed, tx: Transaction, item: str) -> str:
        shop.write(tx)
        return item

    def status(target: str, key: str, signed_target: str) -> int:
        plain = (("Idempotency-Key", key), ("Content-Type", "application/json"))
        headers = (*plain, *sign(Message("POST", signed_target, plain, BODY), TOCSIN, SECRET, now=NOW))
        return shop.loop.run(Exchange(target, headers, BODY, path="/order/a b").call(app)).status

    assert status("/order/a%20b?x=%7E&y", "1", "/order/a%20b?x=%7E&y") == 200
    assert status("/order/a%20b?x=~&y", "2", "/order/a%20b?x=%7E&y") == 401


def test_blueprints_name_the_operation_and_two_paths_want_a_name(shop: Shop) -> None:
    app, blueprint = quart(shop), Blueprint("v1", "v1", url_prefix="/v1")
    app.config["PROPAGATE_EXCEPTIONS"] = True

    @blueprint.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        return shop.write(tx)

    @app.post("/a")
    @app.post("/b")
    @shop.guard.quart(key=KEY)
    async def either(_signed: Signed, _tx: Transaction) -> Any:
        raise AssertionError

    app.register_blueprint(blueprint)
    assert shop.post(target="/v1/order").status == 200
    assert shop.operations == ["/v1/order"]
    with pytest.raises(GuardError, match=r"registered under 2 paths \(/a, /b\); wanted a name="):
        shop.post(target="/a")


def test_a_class_that_is_guarded_as_a_whole_is_refused(shop: Shop) -> None:
    class Orders(MethodView):
        decorators: ClassVar = [shop.guard.quart(key=KEY)]

        async def post(self, _signed: Signed, tx: Transaction) -> Any:
            return shop.write(tx)

    with pytest.raises(GuardError, match=r"test_quart\.orders is the view of a whole class"):
        Orders.as_view("orders")


def test_raised_http_errors_are_rendered_by_the_applications_own_handlers_and_remembered(shop: Shop) -> None:
    """By status and by type; a whole response too; from 500 on the request is undone instead."""
    app = quart(shop)

    @app.errorhandler(410)
    async def gone(_error: HTTPException) -> Any:
        return "gone, says the shop", 410

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Any:
        return {"because": error.description}, error.code, {"X-Shop": "1"}

    @app.post("/<int:status>")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction, status: int) -> Any:
        shop.write(tx)
        abort(Response("whole", 418) if status == 418 else status, *(["no"] if status != 418 else []))

    answers = {
        status: [shop.post({"order_id": f"{status}"}, target=f"/{status}") for _ in range(2)]
        for status in (410, 404, 418, 503)
    }
    assert [answer.body for answer in answers[410]] == [b"gone, says the shop"] * 2
    assert [(answer.json(), answer.field("X-Shop")) for answer in answers[404]] == [({"because": "no"}, ["1"])] * 2
    assert [(answer.status, answer.body) for answer in answers[418]] == [(418, b"whole")] * 2
    assert [answer.is_replay for status in (410, 404, 418) for answer in answers[status]] == [False, True] * 3
    assert [answer.status for answer in answers[503]] == [503, 503]
    assert (shop.runs, shop.orders, len(shop.operations)) == (5, [], 3)


def test_a_defect_that_the_application_renders_as_400_is_still_rolled_back(shop: Shop) -> None:
    app = quart(shop)

    @app.errorhandler(ValueError)
    async def rendered(_error: ValueError) -> Any:
        return "your fault", 400

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        shop.write(tx)
        raise ValueError("a defect")

    assert (shop.post().status, shop.orders, shop.operations) == (400, [], [])


def test_a_commit_that_fails_is_answered_as_such(shop: Shop) -> None:
    """A constraint that is checked at COMMIT, and after_request functions that see no other answer."""
    app = quart(shop)
    seen: list[int] = []

    @app.after_request
    async def after(made: Response) -> Response:
        seen.append(made.status_code)
        return made

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        tx.execute("INSERT INTO lines VALUES (404)")
        return shop.write(tx)

    assert (shop.post().status, seen) == (500, [500])
    assert (shop.orders, shop.operations) == ([], [])


def test_what_quart_adds_comes_after_commit_and_is_not_stored(shop: Shop) -> None:
    app = quart(shop)
    seen: list[list[str]] = []

    @app.after_request
    async def after(made: Response) -> Response:
        seen.append(shop.orders)
        made.headers["X-Count"] = str(len(seen))
        return made

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        session["order"] = "17"

        @after_this_request
        async def once(made: Any) -> Any:
            made.headers["X-Once"] = "1"
            return made

        return shop.write(tx), 201

    first, again = shop.post(), shop.post()
    assert seen == [["17"], ["17"]]
    assert (first.field("X-Count"), first.field("X-Once"), len(first.field("Set-Cookie"))) == (["1"], ["1"], 1)
    assert (again.field("X-Count"), again.field("X-Once"), again.field("Set-Cookie")) == (["2"], [], [])
    assert (again.status, again.body) == (201, first.body)


def test_a_stream_over_the_cap_is_rolled_back(shop: Shop) -> None:
    app = quart(shop)
    parts: list[int] = []

    async def many() -> AsyncIterator[bytes]:
        for number in range(100):
            parts.append(number)
            yield b"x" * 100_000

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        shop.write(tx)
        return Response(many())

    answer = shop.post()
    assert (answer.status, shop.orders) == (500, [])
    assert "max_answer_bytes = 1048576" in answer.json()["detail"]
    assert len(parts) == 11


def test_a_response_of_werkzeugs_is_stored_too(shop: Shop) -> None:
    app = quart(shop)

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        shop.write(tx)
        return WerkzeugResponse([b"in ", b"parts"], 202)

    assert [(answer.status, answer.body) for answer in (shop.post(), shop.post())] == [(202, b"in parts")] * 2


@pytest.mark.parametrize("declared", [b"2000000", None], ids=["by its length", "by what has come"])
def test_a_body_over_the_cap_is_not_waited_for(shop: Shop, declared: bytes | None) -> None:
    """The sender says no more after a megabyte and a bit, and goes after a while: to wait for its end is too late."""
    app = quart(shop)

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, _tx: Transaction) -> Any:
        raise AssertionError

    async def said() -> list[Any]:
        exchange = Exchange("/order", (), [])
        if declared is not None:
            exchange.scope["headers"] = [(b"content-length", declared)]
        parts = [b"x" * 600_000] * (0 if declared else 2)

        async def receive() -> Any:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": True}
            # Turns of the event loop and no time: others have more of them than they need.
            for _ in range(1000):
                await asyncio.sleep(0)
            return {"type": "http.disconnect"}

        await app(exchange.scope, receive, exchange.send)  # type: ignore[arg-type]
        return [event["status"] for event in exchange.said if "status" in event]

    assert shop.loop.run(said()) == [413]
    assert shop.operations == []


def test_a_body_that_does_not_come_is_told_as_quart_does(shop: Shop) -> None:
    app = quart(shop)
    app.config["BODY_TIMEOUT"] = 0.01

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, _tx: Transaction) -> Any:
        raise AssertionError

    async def sent() -> int:
        exchange = Exchange("/order", (("Content-Length", "5"),), [])
        await app(exchange.scope, asyncio.Event().wait, exchange.send)  # type: ignore[arg-type]
        return exchange.reply().status

    assert shop.loop.run(sent()) == 408


def test_a_transaction_that_was_undone_for_another_one_runs_again(shop: Shop) -> None:
    conflicts = iter([True, False])

    async def before() -> None:
        if next(conflicts):
            raise TransactionConflict("undone")

    app, guard = quart(shop), shop.guarded()
    guard._store = Meddled(shop.store, before)

    @app.post("/order")
    @guard.quart(key=KEY)
    async def order(signed: Signed, tx: Transaction) -> Any:
        assert json.loads(await request.get_data()) == signed.json()
        return shop.write(tx)

    assert (shop.post().json()["number"], shop.orders) == (2, ["17"])


def test_a_client_that_goes_while_its_request_runs_leaves_nothing(shop: Shop) -> None:
    """Quart cancels the view; a retry runs."""
    app = quart(shop)
    headers = (("Content-Type", "application/json"), *sign(Message("POST", "/order", (), BODY), HEX, SECRET, now=NOW))
    exchange = Exchange("/order", headers, BODY)
    goes = iter([True, False])

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, tx: Transaction) -> Any:
        written = shop.write(tx)
        if next(goes):
            exchange.disconnected.set()
            await asyncio.Event().wait()
        return written

    async def gone() -> list[Any]:
        await app(exchange.scope, exchange.receive, exchange.send)  # type: ignore[arg-type]
        return exchange.said

    assert shop.loop.run(gone()) == []
    assert (shop.orders, shop.guard._in_flight._entries) == ([], {})
    assert (shop.post().status, shop.orders) == (200, ["17"])


def test_a_stranger_learns_nothing_and_other_views_stay_as_they_are(shop: Shop) -> None:
    app = quart(shop)

    @app.post("/order")
    @shop.guard.quart(key=KEY)
    async def order(_signed: Signed, _tx: Transaction) -> Any:
        raise AssertionError

    @app.get("/free")
    async def free() -> str:
        return "free"

    assert shop.post(b"[", secret=FORGED).status == 401
    assert shop.loop.run(Exchange("/free", method="GET").call(app)).body == b"free"


class Orders:
    async def order(self, _signed: Signed, _tx: Transaction) -> Any:
        raise AssertionError


async def pieces(_signed: Signed, _tx: Transaction) -> AsyncIterator[bytes]:
    yield b""


@pytest.mark.parametrize("handler", [Orders, Orders.order, pieces])
def test_what_is_no_plain_function_is_refused_at_the_start(shop: Shop, handler: Any) -> None:
    with pytest.raises(GuardError, match=r"wanted one that|is no plain function"):
        shop.guard.quart(key=KEY, name="a")(handler)
