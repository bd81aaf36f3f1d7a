"""A small service on Django: orders, written by its ORM, on a database of its project."""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.adapters.django_site import URLCONF

# isort: split
from django.core import signals
from django.core.handlers.wsgi import WSGIHandler
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse, JsonResponse

from tests.guard.adapters.on_django import InOneTask, urls
from tests.guard.adapters.on_wsgi import call, environ_of
from tests.guard.adapters.service import Reply
from tests.guard.django.databases import Order, Project
from tests.guard.shop import HEX, SECRET, Clock
from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.django import DjangoStore, Transaction
from tocsin.signing import KeyRing, Message, sign

Handler = Callable[[Signed, Transaction], Any]


def order_id_of(signed: Signed) -> str:
    return str(json.loads(signed.body)["order_id"])


def insert(alias: str, order_id: str) -> None:
    Order.objects.using(alias).create(order_id=order_id)


def write_order(signed: Signed, tx: Transaction) -> HttpResponse:
    """The usual handler. Its receipt is new whenever it runs."""
    insert(tx.alias, order_id_of(signed))
    return JsonResponse({"receipt": secrets.token_hex(8)}, status=201)


@contextmanager
def as_a_client() -> Iterator[None]:
    """As Django's test client: a request does not close the connections of the thread that sends it."""
    signals.request_started.disconnect(close_old_connections)
    signals.request_finished.disconnect(close_old_connections)
    try:
        yield
    finally:
        signals.request_started.connect(close_old_connections)
        signals.request_finished.connect(close_old_connections)


class DjangoShop:
    """POST /order, whose handler a test may replace; `runs` counts how often it was called.

    Args:
        site: where the orders are.
        loop: for the same over ASGI.
        handler: what is guarded.
        alias: its database; default: another alias of the same.
        guard: options of the guard.
        store: options of the store.
    """

    def __init__(
        self,
        site: Project,
        loop: Loop,
        *,
        handler: Handler = write_order,
        alias: str | None = None,
        guard: Mapping[str, Any] | None = None,
        store: Mapping[str, Any] | None = None,
    ) -> None:
        self.site = site
        self.alias = site.alias() if alias is None else alias
        self.store = DjangoStore(self.alias, **(store or {}))
        options: dict[str, Any] = {"clock": Clock(), "wait_s": 30, "shared_secret": True} | dict(guard or {})
        self.guard = Guard(HEX, KeyRing.of(SECRET), self.store, **options)
        self.handler = handler
        self.runs = 0
        self._loop = loop
        self._handlers = WSGIHandler(), InOneTask()

        @self.guard.django(key=json_pointer("/order_id"))
        def order(_request: HttpRequest, signed: Signed, tx: Transaction) -> Any:
            self.runs += 1
            return self.handler(signed, tx)

        self.urls = urls(order)

    def serve(self, view: Any, *, name: str, store: DjangoStore | None = None) -> None:
        """Guard another view in place of the shop's own, as it is written."""
        guard = Guard(HEX, KeyRing.of(SECRET), store or self.store, clock=Clock(), wait_s=30, shared_secret=True)
        self.urls = urls(guard.django(key=json_pointer("/order_id"), name=name)(view))

    def request(self, order_id: str = "17", **more: object) -> tuple[tuple[tuple[str, str], ...], bytes]:
        body = json.dumps({"order_id": order_id} | more).encode()
        return (
            ("Content-Type", "application/json"),
            *sign(Message("POST", "/order", (), body), HEX, SECRET, now=0),
        ), body

    def order(self, order_id: str = "17", **more: object) -> Reply:
        """Send a signed order, over WSGI."""
        headers, body = self.request(order_id, **more)
        return self.call(environ_of("/order", headers, body))

    def call(self, environ: dict[str, Any]) -> Reply:
        """What a client gets; what an application raises is 500 to it."""
        with as_a_client():
            try:
                return call(self._handlers[0], environ | {URLCONF: self.urls})
            except Exception as error:  # whatever it is
                logging.getLogger("shop").exception("a request failed")
                return Reply(500, (), str(error).encode())

    def order_async(self, order_id: str = "17", **more: object) -> Reply:
        """Likewise, over ASGI."""
        headers, body = self.request(order_id, **more)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await self._handlers[1]({**scope, URLCONF: self.urls}, receive, send)

        return self._loop.run(Exchange("/order", headers, body).call(app))

    def cancel_all(self) -> None:
        """Cancel whatever runs on the loop."""

        async def cancel() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self._loop.run(cancel())
