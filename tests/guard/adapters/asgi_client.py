"""Calls ASGI applications from the threads of a test, on an event loop of their own, event by event."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from threading import Thread
from typing import Any, TypeVar

from tests.guard.adapters.service import Reply
from tocsin.signing import Header

T = TypeVar("T")
Event = dict[str, Any]
App = Callable[..., Awaitable[None]]


class Loop:
    """An event loop on a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Await it there. What it raises is raised here, and never reaches the loop, which SystemExit would end."""

        async def caught() -> tuple[T | None, BaseException | None]:
            try:
                return await awaitable, None
            except BaseException as error:  # noqa: BLE001  raised below
                return None, error

        result, error = asyncio.run_coroutine_threadsafe(caught(), self.loop).result(60)
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def close(self) -> None:
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Exchange:
    """One request to an application.

    Args:
        target: as on the wire.
        headers: of the request; of a body in parts the length is not among them.
        body: the body, or its parts.
        scope: what else the scope says.
    """

    def __init__(
        self,
        target: str = "/order",
        headers: tuple[Header, ...] = (),
        body: bytes | Iterable[bytes] = b"",
        **scope: Any,
    ) -> None:
        path, _, query = target.partition("?")
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        if isinstance(body, bytes):
            raw.append((b"content-length", str(len(body)).encode()))
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "scheme": "http",
            "server": ("shop.example", 80),
            "client": ("192.0.2.1", 1000),
            "root_path": "",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": raw,
        } | scope
        self._parts = iter([body] if isinstance(body, bytes) else body)
        self._ahead: bytes | None = next(self._parts, b"")
        self.disconnected = asyncio.Event()
        self.said: list[Event] = []
        self.received = 0

    async def receive(self) -> Event:
        if self._ahead is None or self.disconnected.is_set():
            await self.disconnected.wait()
            return {"type": "http.disconnect"}
        part, self._ahead = self._ahead, next(self._parts, None)
        self.received += len(part)
        return {"type": "http.request", "body": part, "more_body": self._ahead is not None}

    async def send(self, event: Event) -> None:
        self.said.append(event)

    async def call(self, app: App) -> Reply:
        await app(self.scope, self.receive, self.send)
        return self.reply()

    async def heard(self, app: App) -> Reply:
        """What the client hears, whatever the application raises after it."""
        try:
            return await self.call(app)
        except Exception:
            if not self.said:
                raise
            return self.reply()

    def reply(self) -> Reply:
        start, *bodies = self.said
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in start["headers"])
        return Reply(start["status"], headers, b"".join([event.get("body", b"") for event in bodies]))
