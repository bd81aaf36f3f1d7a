"""The shop on an event loop: an ASGI application behind the guard, and requests to it, each a task of its own."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.guard.postgres.cluster import Database
from tests.guard.shop import HEX, SECRET, Clock
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.postgres import AsyncPostgresStore, AsyncTransaction
from tocsin.signing import KeyRing, Message, sign

AsyncHandler = Callable[[Signed, AsyncTransaction], Awaitable[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def order_id_of(signed: Signed) -> str:
    return str(json.loads(signed.body)["order_id"])


async def write_order(signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
    """The usual handler. Its receipt is new whenever it runs."""
    await tx.execute("INSERT INTO orders (order_id) VALUES (%s)", (order_id_of(signed),))
    return secrets.token_hex(8), 201


class AsyncPostgresShop:
    """See PostgresShop.

    Args:
        database: where the orders are read.
        store: where they are written; default: a store on the same database.
        handler: what is guarded.
        guard: options of the guard.
    """

    def __init__(
        self,
        database: Database,
        *,
        store: AsyncPostgresStore | None = None,
        handler: AsyncHandler = write_order,
        guard: Mapping[str, Any] | None = None,
    ) -> None:
        self.database = database
        self.store = AsyncPostgresStore(database.conninfo()) if store is None else store
        self.clock = Clock()
        self.guard = Guard(HEX, KeyRing.of(SECRET), self.store, **({"clock": self.clock} | dict(guard or {})))
        self.handler = handler
        self.runs = 0
        self.app = self.guarded("/order", self._run)

    def guarded(self, name: str, handler: AsyncHandler) -> Any:
        """An operation of its own."""

        async def app(scope: Any, _receive: Any, send: Any) -> None:
            text, status = await handler(scope["tocsin.signed"], scope["tocsin.tx"])
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": text.encode()})

        return self.guard.asgi(name=name, key=json_pointer("/order_id"))(app)

    async def order(self, order_id: str = "17", *, app: Any = None) -> Reply:
        """Send a signed order, in the calling task."""
        body = json.dumps({"order_id": order_id}).encode()
        signed = sign(Message("POST", "/order", (), body), HEX, SECRET, now=self.clock.now)
        headers = [(name.lower().encode(), value.encode()) for name, value in signed]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/order",
            "raw_path": b"/order",
            "query_string": b"",
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
        bodies = [{"type": "http.request", "body": body, "more_body": False}]
        said: list[Any] = []

        async def receive() -> Any:
            if bodies:
                return bodies.pop()
            return await asyncio.get_running_loop().create_future()

        async def send(event: Any) -> None:
            said.append(event)

        try:
            await (self.app if app is None else app)(scope, receive, send)
        except Exception:  # noqa: BLE001  whatever it is:
            # A server answers 500 by itself, unless the answer has begun.
            if not said:
                return Reply(500, {}, b"")
        fields = {name.decode().title(): value.decode() for name, value in said[0]["headers"]}
        return Reply(said[0]["status"], fields, b"".join(event.get("body", b"") for event in said[1:]))

    async def _run(self, signed: Signed, tx: AsyncTransaction) -> tuple[str, int]:
        self.runs += 1
        return await self.handler(signed, tx)


@asynccontextmanager
async def open_shop(database: Database, **options: Any) -> AsyncIterator[AsyncPostgresShop]:
    shop = AsyncPostgresShop(database, **options)
    try:
        yield shop
    finally:
        await shop.store.close_async()
