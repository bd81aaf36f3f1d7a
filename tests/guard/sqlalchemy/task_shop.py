"""A small service behind the guard, on FastAPI and SQLAlchemy: orders through the application's own AsyncSession."""

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.service import Reply
from tests.guard.shop import HEX, SECRET, Clock
from tests.guard.sqlalchemy.backends import ORDER, Backend, Order
from tests.guard.sqlalchemy.shop import order_id_of
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.sqlalchemy import AsyncSQLAlchemyStore
from tocsin.signing import KeyRing, Message, sign

Handler = Callable[[Signed, Any], Awaitable[Any]]


async def write_order(signed: Signed, tx: AsyncSession | AsyncConnection) -> Response:
    """The usual handler: a session is only given an object. Its receipt is new whenever it runs."""
    if isinstance(tx, AsyncSession):
        tx.add(Order(order_id=order_id_of(signed)))
    else:
        await tx.execute(ORDER, {"order_id": order_id_of(signed)})
    return JSONResponse({"receipt": secrets.token_hex(8)}, 201)


class TaskShop:
    """POST /order, whose handler a test may replace; `runs` counts how often it was called.

    Args:
        backend: the database.
        loop: on which the application runs.
        engine: of the application's; disposed of at the end.
        gets: "session" or "connection": what handlers get.
        handler: what is guarded.
        guard: options of the guard.
    """

    def __init__(
        self,
        backend: Backend,
        loop: Loop,
        engine: AsyncEngine,
        *,
        gets: str = "session",
        handler: Handler = write_order,
        guard: Mapping[str, Any] | None = None,
    ) -> None:
        self.backend = backend
        self.loop = loop
        self.engine = engine
        self.sessions = async_sessionmaker(engine)
        self.store = AsyncSQLAlchemyStore(self.sessions if gets == "session" else engine)
        self.clock = Clock()
        self.guard = Guard(HEX, KeyRing.of(SECRET), self.store, **({"clock": self.clock} | dict(guard or {})))
        self.handler = handler
        self.runs = 0
        self.app = FastAPI()

        @self.app.post("/order")
        @self.guard.fastapi(key=json_pointer("/order_id"))
        async def order(signed: Signed, tx: Any) -> Response:
            self.runs += 1
            answer: Response = await self.handler(signed, tx)
            return answer

    def exchange(self, order_id: str = "17", **more: object) -> Exchange:
        """A signed order, not yet sent."""
        body = json.dumps({"order_id": order_id} | more).encode()
        headers = sign(Message("POST", "/order", (), body), HEX, SECRET, now=self.clock.now)
        return Exchange("/order", (("Content-Type", "application/json"), *headers), body)

    def order(self, order_id: str = "17", **more: object) -> Reply:
        """Send a signed order, and hear what a client hears."""
        return self.loop.run(self.exchange(order_id, **more).heard(self.app))

    def close(self) -> None:
        self.loop.run(self.store.close_async())
        self.loop.run(self.engine.dispose())
