"""What only ASGI has: scopes that are no requests, clients that go, events out of order, tasks that are cancelled."""

import asyncio
import json
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, post
from quart import Quart

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.on_asgi import OnASGI
from tests.guard.shop import HEX, SECRET
from tests.guard.xor import Xor
from tocsin.guard import Guard, GuardError, Transaction, TransactionConflict, json_pointer
from tocsin.guard.adapters.asgi import SIGNED, TX
from tocsin.guard.stores import Store
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import KeyRing, Message, sign

BODY = b'{"order_id":"17"}'
OK: tuple[dict[str, Any], ...] = (
    {"type": "http.response.start", "status": 201, "headers": []},
    {"type": "http.response.body", "body": b"done"},
)


@pytest.fixture
def service(tmp_path: Path, loop: Loop) -> Iterator[OnASGI]:
    OnASGI.loop = loop
    made = OnASGI(tmp_path / "orders.db")
    yield made
    made.close()


def exchange(body: bytes = BODY, **scope: Any) -> Exchange:
    return Exchange("/order", sign(Message("POST", "/order", (), body), HEX, SECRET, now=0), body, **scope)


def guarded(service: OnASGI, app: Callable[..., Awaitable[None]], store: Any = None, **options: Any) -> Any:
    """An application of a test's own, under a guard of its own over the same file."""
    guard = Guard(HEX, KeyRing.of(SECRET), service.store if store is None else store, **({"wait_s": 30} | options))
    service.guard = guard
    return guard.asgi(name="/order", key=json_pointer("/order_id"))(app)


def insert(scope: Any) -> None:
    scope[TX].execute("INSERT INTO orders VALUES (?)", (scope[SIGNED].json()["order_id"],))


async def says(send: Any, *events: dict[str, Any]) -> None:
    for event in events:
        await send(event)


async def order(scope: Any, receive: Any, send: Any) -> None:
    del receive
    insert(scope)
    await says(send, *OK)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until it has got there; ordering by state, not by time."""
    while not condition():  # noqa: ASYNC110  what is waited for tells nobody
        await asyncio.sleep(0)


def waiters(service: OnASGI) -> int:
    return sum(entry.waiters for entry in service.guard._in_flight._entries.values())


def test_a_whole_application_of_another_framework_is_guarded_as_it_is(service: OnASGI) -> None:
    """Its type too: Litestar and Quart have words of their own for a scope."""

    @post("/order")
    async def taken(request: Request[Any, Any, Any]) -> None:
        insert(request.scope)

    litestar = Litestar([taken], openapi_config=None, logging_config=None)
    guard = Guard(HEX, KeyRing.of(SECRET), service.store, wait_s=30)
    app = guard.asgi(name="/order", key=json_pointer("/order_id"))(litestar)
    replies = [service.loop.run(exchange().call(app)) for _ in range(2)]
    assert [(reply.status, reply.is_replay) for reply in replies] == [(201, False), (201, True)]
    assert service.orders == ["17"]
    guard.asgi(name="/order", key=json_pointer("/order_id"))(Quart("shop"))


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_scopes_go_through_untouched(service: OnASGI, kind: str) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    given = ({"type": kind}, object(), object())
    service.loop.run(guarded(service, app)(*given))
    assert all(one is other for one, other in zip(seen, given, strict=True))


def test_the_application_gets_what_was_verified_and_the_body_once_more(service: OnASGI) -> None:
    events: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (scope[SIGNED].body, scope[SIGNED].tenant) == (BODY, "main")
        events.append(await receive())
        await order(scope, receive, send)

    service.loop.run(exchange().call(guarded(service, app)))
    assert events == [{"type": "http.request", "body": BODY, "more_body": False}]


def test_a_client_that_goes_before_its_body_has_come_is_nobody(service: OnASGI) -> None:
    async def go() -> int:
        sent = exchange()
        sent.disconnected.set()
        return (await sent.call(service.app)).status

    assert service.loop.run(go()) == 400
    assert (service.runs, service.claims) == (0, 0)


@pytest.mark.parametrize("octets", [0, 2])
def test_a_body_in_many_parts_takes_no_more_memory_than_its_octets(service: OnASGI, octets: int) -> None:
    """Nobody has to sign it, and in HTTP/2 an empty part costs a stranger nine octets."""
    parts = 100_000
    sent, held = exchange(), []

    async def receive() -> Any:
        nonlocal parts
        parts -= 1
        if not parts:
            held.append(tracemalloc.get_traced_memory()[0])
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(bytearray(octets)), "more_body": True}

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        service.loop.run(service.app({**sent.scope, "headers": []}, receive, sent.send))
    finally:
        tracemalloc.stop()
    assert sent.reply().status == 400
    assert held[0] - before < 2 * 100_000 * octets + 100_000


def test_a_client_that_goes_while_it_waits_for_the_first_request_frees_its_place(service: OnASGI) -> None:
    async def go() -> int:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await leave.wait()
            await order(scope, receive, send)

        guarded_app = guarded(service, app)
        first = asyncio.ensure_future(exchange().call(guarded_app))
        await entered.wait()
        waits = exchange()
        waiting = asyncio.ensure_future(waits.call(guarded_app))
        await until(lambda: waiters(service) == 1)
        waits.disconnected.set()
        status = (await waiting).status
        assert waiters(service) == 0
        leave.set()
        await first
        return status

    assert service.loop.run(go()) == 409
    assert service.orders == ["17"]


def test_a_client_that_goes_while_its_request_runs_finds_the_answer_later(service: OnASGI) -> None:
    """The work is done, and once; only the answer was not heard."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        heard.append((await receive())["type"])
        await order(scope, receive, send)

    async def go() -> None:
        guarded_app = guarded(service, app)
        sent = exchange()

        async def broken(_event: Any) -> None:
            raise BrokenPipeError

        async def receive() -> Any:
            event = await sent.receive()
            sent.disconnected.set()
            return event

        await guarded_app(sent.scope, receive, broken)
        assert heard == ["http.disconnect"]
        again = await exchange().call(guarded_app)
        assert (again.status, again.is_replay) == (201, True)

    service.loop.run(go())
    assert service.orders == ["17"]


def test_extensions_that_go_round_the_events_of_an_answer_are_not_offered(service: OnASGI) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend((scope["extensions"], scope["asgi"]))
        await order(scope, receive, send)

    offered = {"http.response.pathsend": {}, "http.response.trailers": {}, "tls": {"version": 1}}
    service.loop.run(exchange(extensions=offered).call(guarded(service, app)))
    assert seen == [{"tls": {"version": 1}}, {"version": "3.0", "spec_version": "2.4"}]


@pytest.mark.parametrize(
    "events",
    [
        [{"type": "http.response.start", "status": 200, "trailers": True}],
        [OK[0], {"type": "http.response.pathsend", "path": "/etc/hosts"}],
        [{"type": "http.response.body", "body": b"no start"}],
        [OK[0], OK[0]],
    ],
    ids=["trailers", "pathsend", "no start", "two starts"],
)
def test_an_answer_that_cannot_be_stored_is_rolled_back_and_raised(service: OnASGI, events: list[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        insert(scope)
        await says(send, *events)

    with pytest.raises(GuardError, match="of which no duplicate could be given the same"):
        service.loop.run(exchange().call(guarded(service, app)))
    assert (service.orders, service.claims) == ([], 0)


def test_an_application_that_swallows_that_it_said_too_much_is_rolled_back_nonetheless(service: OnASGI) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        insert(scope)
        await send(OK[0])
        with pytest.raises(Exception, match="max_answer_bytes"):
            await send({"type": "http.response.body", "body": b"x" * 101})

    answer = service.loop.run(exchange().call(guarded(service, app, max_answer_bytes=100)))
    assert (answer.status, service.orders, service.claims) == (500, [], 0)


@pytest.mark.parametrize("events", [[], [OK[0]], [OK[0], {**OK[1], "more_body": True}]])
def test_an_application_that_does_not_end_its_answer_is_rolled_back(service: OnASGI, events: list[Any]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        insert(scope)
        await says(send, *events)

    with pytest.raises(GuardError, match="ended before its answer did"):
        service.loop.run(exchange().call(guarded(service, app)))
    assert (service.orders, service.claims) == ([], 0)


def test_what_is_sent_after_the_end_is_refused_and_undoes_nothing(service: OnASGI) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await order(scope, receive, send)
        await send(OK[1])

    with pytest.raises(GuardError, match="after the end of the answer"):
        service.loop.run(exchange().call(guarded(service, app)))
    assert service.orders == ["17"]


def test_what_follows_the_answer_holds_no_key(service: OnASGI) -> None:
    """A background task may take its time: duplicates that wait are answered meanwhile."""

    async def go() -> None:
        waiting: list[asyncio.Future[Any]] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            waiting.append(asyncio.ensure_future(exchange().call(guarded_app)))
            await until(lambda: waiters(service) == 1)
            await order(scope, receive, send)
            assert (await waiting[0]).is_replay

        guarded_app = guarded(service, app, wait_s=1)
        assert (await exchange().call(guarded_app)).status == 201

    service.loop.run(go())
    assert service.orders == ["17"]


def test_what_follows_the_answer_happens_only_if_it_was_applied(service: OnASGI) -> None:
    statuses = iter([503, 201])
    followed: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        del receive
        insert(scope)
        status = next(statuses)
        await says(send, {**OK[0], "status": status}, OK[1])
        followed.append(status)

    guarded_app = guarded(service, app)
    assert [service.loop.run(exchange().call(guarded_app)).status for _ in range(3)] == [503, 201, 201]
    assert followed == [201]
    assert service.orders == ["17"]


def test_over_http_2_no_answer_has_a_connection_field(service: OnASGI) -> None:
    """RFC 9113 section 8.2.2."""
    for version, fields in (("1.1", ["close"]), ("2", [])):
        answer = service.loop.run(exchange(b"x" * (1 << 20) + b"x", http_version=version).call(service.app))
        assert (answer.status, answer.field("Connection")) == (413, fields)


@pytest.mark.parametrize("length", [b"9" * 5000, b"1048577"])
def test_a_length_over_the_cap_is_413_before_a_byte_is_read(service: OnASGI, length: bytes) -> None:
    sent = exchange()
    sent.scope["headers"] = [(b"content-length", length)]
    assert service.loop.run(sent.call(service.app)).status == 413
    assert sent.received == 0


@pytest.mark.parametrize("length", [b"-1", b"\xb2", b"seventeen", b""])
def test_a_length_that_is_none_is_left_to_the_bytes_that_come(service: OnASGI, length: bytes) -> None:
    sent = exchange()
    sent.scope["headers"] = [(name, value) for name, value in sent.scope["headers"] if name != b"content-length"]
    sent.scope["headers"].append((b"content-length", length))
    assert service.loop.run(sent.call(service.app)).status == 201


class Meddled:
    """A store whose commits a test holds up or refuses."""

    def __init__(self, store: SQLiteStore, before: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def take_async(self, *given: Any) -> Any:
        taken = await self._store.take_async(*given)
        if hasattr(taken, "settle_async"):
            settle, before = taken.settle_async, self._before

            class Settled(type(taken)):  # type: ignore[misc]
                __slots__ = ()

                async def settle_async(self, answer: Any) -> None:
                    try:
                        await before()
                    except TransactionConflict:
                        await self.abandon_async()
                        raise
                    await settle(answer)

            taken.__class__ = Settled
        return taken


def test_a_transaction_that_was_undone_for_another_one_runs_again_and_what_follows_it_once(service: OnASGI) -> None:
    conflicts = iter([True, True, False])
    runs: list[str] = []

    async def before() -> None:
        if next(conflicts):
            raise TransactionConflict("undone")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        runs.append((await receive())["body"].decode())
        await order(scope, receive, send)
        runs.append("afterwards")

    store = Meddled(service.store, before)
    assert service.loop.run(exchange().call(guarded(service, app, store))).status == 201
    assert runs == [BODY.decode()] * 3 + ["afterwards"]
    assert service.orders == ["17"]


def is_at_rest(service: OnASGI) -> bool:
    """Nothing is held: no key, no transaction; the next request is applied at once."""
    assert service.guard._in_flight._entries == {}
    body = json.dumps({"order_id": "next"}).encode()
    return service.loop.run(exchange(body).call(guarded(service, order))).status == 201


def test_a_task_that_is_cancelled_while_its_handler_runs_leaves_nothing(service: OnASGI) -> None:
    """Elsewhere: the key stays locked for a day."""

    async def go() -> None:
        entered = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            del receive, send
            insert(scope)
            entered.set()
            await asyncio.Event().wait()

        running = asyncio.ensure_future(exchange().call(guarded(service, app)))
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    service.loop.run(go())
    assert (service.orders, service.claims) == ([], 0)
    assert is_at_rest(service)


@pytest.mark.parametrize("waits_for", ["its key", "the writer"])
def test_a_task_that_is_cancelled_while_it_waits_leaves_nothing(service: OnASGI, waits_for: str) -> None:
    async def go() -> None:
        entered, leave = asyncio.Event(), asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            entered.set()
            await leave.wait()
            await order(scope, receive, send)

        guarded_app = guarded(service, app)
        first = asyncio.ensure_future(exchange().call(guarded_app))
        await entered.wait()
        body = BODY if waits_for == "its key" else b'{"order_id":"18"}'
        waiting = asyncio.ensure_future(exchange(body).call(guarded_app))
        if waits_for == "its key":
            await until(lambda: waiters(service) == 1)
        else:
            await until(lambda: len(service.guard._in_flight._entries) == 2)
            for _ in range(10):
                await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        leave.set()
        assert (await first).status == 201

    service.loop.run(go())
    assert service.orders == ["17"]
    assert is_at_rest(service)


@pytest.mark.parametrize("moment", ["just before", "while it runs"])
def test_a_task_that_is_cancelled_at_commit_commits_and_its_retry_gets_the_answer(service: OnASGI, moment: str) -> None:
    async def go() -> None:
        async def before() -> None:
            task = asyncio.current_task()
            assert task is not None
            if moment == "just before":
                task.cancel()
            else:
                asyncio.get_running_loop().call_soon(task.cancel)

        store = Meddled(service.store, before)
        running = asyncio.ensure_future(exchange().call(guarded(service, order, store)))
        with pytest.raises(asyncio.CancelledError):
            await running

    service.loop.run(go())
    assert (service.orders, service.claims) == (["17"], 1)
    assert service.loop.run(exchange().call(guarded(service, order))).is_replay
    assert is_at_rest(service)


class Torn(Xor):
    """A seal that fails."""

    def seal(self, plain: bytes, /) -> bytes:
        raise RuntimeError(f"cannot seal {len(plain)} bytes")


def test_what_fails_between_the_steps_leaves_no_transaction_and_no_key_behind(service: OnASGI) -> None:
    """A hook of the developer's own: the handler has run, and its answer cannot be stored."""
    with pytest.raises(RuntimeError, match="cannot seal"):
        service.loop.run(exchange().call(guarded(service, order, seal=Torn())))
    assert (service.orders, service.claims) == ([], 0)
    assert is_at_rest(service)


class ForThreads:
    """The part of SQLiteStore that threads use."""

    def __init__(self, store: Store[Transaction]) -> None:
        self.take = store.take


def test_a_store_for_threads_is_refused_when_the_application_is_declared(service: OnASGI) -> None:
    guard: Guard[Any] = Guard(HEX, KeyRing.of(SECRET), ForThreads(service.store))  # type: ignore[arg-type]
    with pytest.raises(GuardError, match=r"guard\.asgi, runs on an event loop, and ForThreads is for threads"):
        guard.asgi(name="/order", key=json_pointer("/order_id"))


def test_the_guarded_application_is_no_function_so_that_starlette_routes_it(service: OnASGI) -> None:
    from starlette.applications import Starlette  # noqa: PLC0415  only here
    from starlette.routing import Route  # noqa: PLC0415  likewise

    app = Starlette(routes=[Route("/order", guarded(service, order), methods=["POST"])])
    assert service.loop.run(exchange().call(app)).status == 201
    assert service.loop.run(exchange(method="PUT").call(app)).status == 405
