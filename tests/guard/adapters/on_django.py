"""The service on Django, its view a plain function or a coroutine, and on REST framework."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.guard.adapters.django_site import URLCONF

# isort: split
from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import BadRequest, PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.exceptions import APIException

from tests.guard.adapters.on_asgi import OnLoop
from tests.guard.adapters.on_wsgi import call, environ_of
from tests.guard.adapters.service import Produced, Refusal, Reply, Service
from tocsin.guard import Signed, Transaction
from tocsin.signing import Header

_REFUSALS = {400: BadRequest, 403: PermissionDenied, 404: Http404}


class Urls(SimpleNamespace):
    """What Django takes for a module of URLs."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # it finds them by a hash


def urls(view: Any, route: str = "order") -> Urls:
    return Urls(urlpatterns=[path(route, view)])


def response(produced: Produced) -> HttpResponse:
    if produced.parts is None:
        made = HttpResponse(produced.body, status=produced.status)
    else:
        made = StreamingHttpResponse(iter(produced.parts), status=produced.status)
    del made["Content-Type"]
    for name, value in produced.headers:
        if name == "Set-Cookie":
            made.cookies.load(value)
        else:
            made[name] = value
    if produced.afterwards is not None:
        made._resource_closers.append(produced.afterwards)
    return made


def answer(service: Service, signed: Signed, tx: Transaction) -> HttpResponse:
    try:
        return response(service.run(signed, tx))
    except Refusal as refusal:
        # Django has no exception for the others; an application's own middleware answers them.
        if refusal.status in _REFUSALS:
            raise _REFUSALS[refusal.status] from None
        raise


class OnDjango(Service):
    def serve(self, route: dict[str, Any]) -> None:
        self.app = WSGIHandler()

        @self.guard.django(**route)
        def order(_request: HttpRequest, signed: Signed, tx: Transaction) -> HttpResponse:
            if self.gate is not None:
                self.gate.stand()
            return answer(self, signed, tx)

        self.urls = urls(order)

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        return call(self.app, environ_of(target, headers, body, **{URLCONF: self.urls}))


class OnDjangoRest(OnDjango):
    def serve(self, route: dict[str, Any]) -> None:
        self.app = WSGIHandler()

        @api_view(["POST"])  # type: ignore[untyped-decorator]  # REST framework has no types
        @authentication_classes([])  # type: ignore[untyped-decorator]  # likewise
        @self.guard.django(**route)
        def order(_request: Any, signed: Signed, tx: Transaction) -> HttpResponse:
            if self.gate is not None:
                self.gate.stand()
            try:
                return response(self.run(signed, tx))
            except Refusal as refusal:
                error = APIException()
                error.status_code = refusal.status
                raise error from None

        self.urls = urls(order)

    def request(self, target: str, headers: tuple[Header, ...], body: bytes | Iterable[bytes]) -> Reply:
        """Without what REST framework adds to every answer, after the guard."""
        reply = super().request(target, headers, body)
        kept = tuple(field for field in reply.headers if field[0] not in {"Allow", "Vary"})
        return Reply(reply.status, kept, reply.body)


class InOneTask(ASGIHandler):  # type: ignore[misc]  # Django has no types
    """Django, but that it makes no tasks of its own: asyncio lets KeyboardInterrupt out of those, and ends the loop."""

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await signals.request_started.asend(sender=type(self), scope=scope)
        with await self.read_body(receive) as body:
            request, error = self.create_request(scope, body)
            assert error is None
            answered = await self.run_get_response(request)
            await self.send_response(answered, send)
            await sync_to_async(answered.close)()


class OnDjangoTasks(OnLoop):
    ends_bodies: ClassVar[bool] = False

    def serve(self, route: dict[str, Any]) -> None:
        django = InOneTask()

        @self.guard.django(**route)
        async def order(_request: HttpRequest, signed: Signed, tx: Transaction) -> HttpResponse:
            await self.pass_gate()
            return answer(self, signed, tx)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await django({**scope, URLCONF: self.urls}, receive, send)

        self.app, self.urls = app, urls(order)
