"""What Django and REST framework do around a view, and what of it may come before, inside and after the guard."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.guard.adapters.service import Reply
from tests.guard.django.databases import Order, Project
from tests.guard.django.shop import DjangoShop, insert, order_id_of, write_order

# isort: split
from django.core.signals import request_finished
from django.db import connections
from django.db.models.signals import post_save
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from django.test import RequestFactory, override_settings
from django.urls import LocalePrefixPattern, URLResolver, include, path
from django.utils import translation
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.http import require_POST
from rest_framework.decorators import api_view, permission_classes
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.guard.adapters.on_django import Urls
from tests.guard.adapters.on_wsgi import environ_of
from tests.guard.shop import HEX, SECRET
from tocsin.guard import GuardError, Signed, json_pointer
from tocsin.guard._registry import registry_of
from tocsin.guard.stores.django import Transaction
from tocsin.signing import Message, sign

MakeShop = Callable[..., DjangoShop]
KEY = json_pointer("/order_id")


@pytest.fixture
def vendor() -> str:
    """Nothing here depends on the database."""
    return "sqlite"


def view(shop: DjangoShop, handler: Any) -> Any:
    return shop.guard.django(key=KEY, name="/order")(handler)


def serve(shop: DjangoShop, made: Any) -> None:
    shop.urls = Urls(urlpatterns=[path("order", made)])


def orders(request: HttpRequest, signed: Signed, tx: Transaction) -> HttpResponse:
    assert request.body == signed.body
    return write_order(signed, tx)


def test_atomic_requests_begin_nothing_around_a_guarded_view_and_commit_no_answer_of_500(
    make_shop: MakeShop, site: Project
) -> None:
    """ATOMIC_REQUESTS opens outside of decorators: before verification, and it commits a 5xx that was returned."""
    begun: list[bool] = []

    def fails(signed: Signed, tx: Transaction) -> HttpResponse:
        begun.append(connections[tx.alias].atomic_blocks[0] is not None)
        write_order(signed, tx)
        return HttpResponse("no", status=503)

    shop = make_shop(handler=fails, alias=site.alias(ATOMIC_REQUESTS=True))
    assert shop.order().status == 503
    assert (begun, site.orders, site.claims) == ([True], [], 0)


def test_a_view_that_nothing_could_mark_is_refused_under_atomic_requests(make_shop: MakeShop, site: Project) -> None:
    """@api_view makes a view of its own. The refusal comes after verification, so no stranger causes it."""
    shop = make_shop(alias=site.alias(ATOMIC_REQUESTS=True))
    serve(shop, api_view(["POST"])(view(shop, orders)))
    assert shop.order().status == 500
    headers, body = shop.request()
    forged = shop.call(environ_of("/order", headers[:1], body))
    assert (forged.status, site.orders, site.claims) == (401, [], 0)


def test_no_csrf_token_is_wanted_of_a_signed_request_and_no_form_is_parsed(shop: DjangoShop) -> None:
    """The middleware is in the settings; other decorators keep the exemption."""
    serve(shop, require_POST(view(shop, orders)))
    assert shop.order().status == 201


@pytest.mark.parametrize(
    ("reads", "status"),
    [(lambda request: request.body, 201), (lambda request: request.POST, 201), (lambda request: request.read(), 401)],
    ids=["body", "POST", "the stream"],
)
def test_a_middleware_that_reads_the_body_first_leaves_it_or_the_request_is_401(
    reads: Callable[[HttpRequest], object], status: int, shop: DjangoShop, caplog: pytest.LogCaptureFixture
) -> None:
    """What is left of a body cannot be verified. The log says what to do."""
    guarded = view(shop, orders)

    def through(request: HttpRequest) -> HttpResponse:
        reads(request)
        return guarded(request)

    serve(shop, through)
    through.csrf_exempt = True  # type: ignore[attr-defined]
    assert shop.order().status == status
    assert ("the body was read before the guard" in caplog.text) == (status == 401)


def test_a_form_that_a_middleware_has_taken_apart_is_401_and_no_fault(shop: DjangoShop) -> None:
    guarded = view(shop, orders)

    def through(request: HttpRequest) -> HttpResponse:
        assert request.FILES is not None
        return guarded(request)

    through.csrf_exempt = True  # type: ignore[attr-defined]
    serve(shop, through)
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
    environ = environ_of("/order", (("Content-Type", "multipart/form-data; boundary=x"),), body)
    assert shop.call(environ).status == 401


def test_the_settings_limit_of_a_body_is_a_cap_too(shop: DjangoShop) -> None:
    """DATA_UPLOAD_MAX_MEMORY_SIZE: 413 before it is hashed, as the guard's own cap, and not Django's 400."""
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=40):
        answer = shop.order(padding="x" * 40)
        assert (answer.status, shop.order().status) == (413, 201)
    assert "40 bytes" in answer.json()["detail"]
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
        assert shop.order("18", padding="x" * 40).status == 201


@pytest.mark.parametrize("kind", ["iterator", "file", "async iterator"])
def test_a_stream_is_read_inside_the_transaction_and_replayed(kind: str, shop: DjangoShop, tmp_path: Any) -> None:
    (tmp_path / "receipt").write_bytes(b"stream")

    def parts(tx: Transaction, order_id: str) -> Iterator[bytes]:
        yield b"str"
        insert(tx.alias, order_id)
        yield b"eam"

    def streams(_request: HttpRequest, signed: Signed, tx: Transaction) -> Any:
        if kind == "file":
            insert(tx.alias, order_id_of(signed))
            return FileResponse((tmp_path / "receipt").open("rb"))
        return StreamingHttpResponse(parts(tx, order_id_of(signed)))

    async def streams_async(_request: HttpRequest, signed: Signed, tx: Transaction) -> Any:
        async def chunks() -> Any:
            yield b"str"
            await Order.objects.using(tx.alias).acreate(order_id=order_id_of(signed))
            yield b"eam"

        return StreamingHttpResponse(chunks())

    serve(shop, view(shop, streams_async if kind == "async iterator" else streams))
    send = shop.order_async if kind == "async iterator" else shop.order
    first, again = send(), send()
    assert (first.body, again.body, again.is_replay) == (b"stream", b"stream", True)
    assert shop.site.orders == ["17"]


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_a_template_is_rendered_before_the_answer_is_stored(is_async: bool, shop: DjangoShop) -> None:  # noqa: FBT001
    """And in the transaction: a queryset that it shows is asked there, and what fails in it undoes the order."""
    template = engines["django"].from_string("{% for order in orders %}[{{ order.order_id }}]{% endfor %}{{ fails }}")

    def rendering(signed: Signed, tx: Transaction) -> Any:
        del signed
        return SimpleTemplateResponse(template, {"orders": Order.objects.using(tx.alias).all()})

    def plain(_request: HttpRequest, signed: Signed, tx: Transaction) -> Any:
        insert(tx.alias, order_id_of(signed))
        return rendering(signed, tx)

    async def coroutine(_request: HttpRequest, signed: Signed, tx: Transaction) -> Any:
        await Order.objects.using(tx.alias).acreate(order_id=order_id_of(signed))
        return rendering(signed, tx)

    serve(shop, view(shop, coroutine if is_async else plain))
    send = shop.order_async if is_async else shop.order
    first, again = send(), send()
    assert (first.body, again.body, again.is_replay) == (b"[17]", b"[17]", True)


def test_signals_of_models_are_sent_once_and_inside_and_request_finished_after_the_commit(shop: DjangoShop) -> None:
    seen: list[Any] = []

    def saved(**_: Any) -> None:
        seen.append(("saved", shop.site.claims))

    def finished(**_: Any) -> None:
        seen.append(("finished", shop.site.claims))

    post_save.connect(saved, sender=Order)
    request_finished.connect(finished)
    try:
        shop.order()
        shop.order()
    finally:
        post_save.disconnect(saved, sender=Order)
        request_finished.disconnect(finished)
    assert seen == [("saved", 0), ("finished", 1), ("finished", 1)]


def test_a_class_based_view_is_guarded_at_its_method(shop: DjangoShop) -> None:
    class OrderView(View):  # type: ignore[misc]  # Django has no types
        @shop.guard.django(key=KEY)
        def post(self, request: HttpRequest, signed: Signed, tx: Transaction, shelf: str) -> HttpResponse:
            assert (shelf, request.method) == ("7", "POST")
            return write_order(signed, tx)

    made = OrderView.as_view()
    made.csrf_exempt = True
    shop.urls = Urls(urlpatterns=[path("shelf/", include([path("<str:shelf>/order", made)]))])
    headers, body = shop.request()
    assert shop.call(environ_of("/shelf/7/order", headers, body)).status == 201
    assert shop.site.query("SELECT operation FROM tocsin_claims") == [("/shelf/<str:shelf>/order",)]


def test_a_view_under_two_paths_wants_a_name(shop: DjangoShop) -> None:
    guarded = shop.guard.django(key=KEY)(orders)
    shop.urls = Urls(urlpatterns=[path("order", guarded), path("orders", guarded)])
    answer = shop.order()
    assert answer.status == 500
    assert b"under 2 paths (/order, /orders); wanted a name=" in answer.body


def test_a_view_under_another_path_of_another_urlconf_wants_a_name(shop: DjangoShop) -> None:
    """A middleware may set request.urlconf, for each host. Which host is asked first differs between processes."""
    guarded = shop.guard.django(key=KEY)(orders)
    answers = []
    for prefix in ("", "v2/", ""):
        shop.urls = Urls(urlpatterns=[path(f"{prefix}order", guarded)])
        headers, body = shop.request()
        answers.append(shop.call(environ_of(f"/{prefix}order", headers, body)))
    assert [answer.status for answer in answers] == [201, 500, 201]
    assert b"under 2 paths (/order, /v2/order), each in an application of its own; wanted a name=" in answers[1].body
    assert (shop.site.orders, answers[2].is_replay) == (["17"], True)


def test_the_operations_name_says_no_language(shop: DjangoShop) -> None:
    """A path with a prefix for its language, or with a translated word, has one name, whoever is first to ask."""
    guarded = shop.guard.django(key=KEY)(orders)
    shop.urls = Urls(urlpatterns=[URLResolver(LocalePrefixPattern(), [path("order", guarded)])])
    headers, body = shop.request()
    with translation.override("de"):
        assert shop.call(environ_of("/de/order", headers, body)).status == 201
    # The same key, under another path: one operation sees that.
    assert shop.call(environ_of("/en-us/order", headers, body)).status == 422
    assert shop.site.query("SELECT operation FROM tocsin_claims") == [("/en-us/order",)]


@pytest.mark.parametrize("wrong", ["api_view", "as_view", "class", "generator"])
def test_what_the_guard_cannot_stand_above_is_refused_at_the_start(wrong: str, shop: DjangoShop) -> None:
    class Whole(View):  # type: ignore[misc]  # Django has no types
        pass

    def yields(_request: HttpRequest, _signed: Signed, _tx: Transaction) -> Iterator[bytes]:
        yield b""

    given = {
        "api_view": api_view(["POST"])(orders),
        "as_view": Whole.as_view(),
        "class": Whole,
        "generator": yields,
    }[wrong]
    with pytest.raises(GuardError, match=r"is a whole view|yields its answer"):
        view(shop, given)


def test_a_method_decorator_is_refused_at_the_start_and_leaves_no_route(shop: DjangoShop) -> None:
    """It would guard the method anew with every request of whoever sends one, signed or not."""
    decorator = method_decorator(shop.guard.django(key=KEY, name="/order"))
    routes = len(registry_of(shop.store)._declared)
    with pytest.raises(GuardError, match="inside of @method_decorator; wanted it directly above the method"):

        class OrderView(View):  # type: ignore[misc]  # Django has no types
            @decorator  # type: ignore[untyped-decorator]
            def post(self, _request: HttpRequest, _signed: Signed, _tx: Transaction) -> HttpResponse:
                raise AssertionError

    assert len(registry_of(shop.store)._declared) == routes


def test_a_handler_that_returns_no_response_is_rolled_back(shop: DjangoShop) -> None:
    shop.handler = lambda signed, tx: insert(tx.alias, order_id_of(signed))
    assert shop.order().status == 500
    assert (shop.site.orders, shop.site.claims) == ([], 0)


def test_what_djangos_errors_are_rendered_as_is_remembered_and_their_writes_are_undone(shop: DjangoShop) -> None:
    def refuses(signed: Signed, tx: Transaction) -> HttpResponse:
        write_order(signed, tx)
        raise Http404("no such item")

    shop.handler = refuses
    first, again = shop.order(), shop.order()
    assert (first.status, again.stored(), again.is_replay) == (404, first.stored(), True)
    assert (shop.runs, shop.site.orders, shop.site.claims) == (1, [], 1)


class Never(BasePermission):  # type: ignore[misc]  # REST framework has no types
    is_open = False

    def has_permission(self, _request: Any, _view: Any) -> bool:
        return self.is_open


def test_what_rest_framework_refuses_before_the_handler_is_never_remembered(
    shop: DjangoShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions, another method, an answer that nobody can read: no claim, no lock, and the message counts later."""
    serve(shop, api_view(["POST"])(permission_classes([Never])(view(shop, orders_of_rest))))
    assert shop.order().status == 403
    headers, body = shop.request()
    assert shop.call(environ_of("/order", headers, body, REQUEST_METHOD="PUT")).status in {403, 405}
    assert shop.site.claims == 0
    monkeypatch.setattr(Never, "is_open", True)
    assert (shop.order().status, shop.site.orders) == (201, ["17"])


def orders_of_rest(request: Any, signed: Signed, tx: Transaction) -> Response:
    insert(tx.alias, str(request.data["order_id"]))
    return Response({"order_id": order_id_of(signed)}, status=201, headers={"X-Shop": "1"})


def test_answers_of_rest_framework_are_rendered_and_its_errors_are_its_own(shop: DjangoShop) -> None:
    def handler(request: Any, signed: Signed, tx: Transaction) -> Response:
        insert(tx.alias, str(request.data["order_id"]))
        match order_id_of(signed):
            case "invalid":
                raise ValidationError({"item": "sold out"})
            case "failing":
                raise APIException
            case "defect":
                raise ValueError
        return Response({"order_id": request.data["order_id"]}, status=201)

    class OrderView(APIView):  # type: ignore[misc]  # REST framework has no types
        post = view(shop, handler_of(handler))

        def handle_exception(self, exc: Exception) -> Any:
            """An application that makes 400 of every defect of its own."""
            return Response("oops", status=400) if isinstance(exc, ValueError) else super().handle_exception(exc)

    serve(shop, OrderView.as_view())
    answers: list[tuple[int, Any, bool]] = []
    for order_id in ("17", "17", "invalid", "invalid", "failing", "defect"):
        answer: Reply = shop.order(order_id)
        answers.append((answer.status, json.loads(answer.body), answer.is_replay))
    assert answers == [
        (201, {"order_id": "17"}, False),
        (201, {"order_id": "17"}, True),
        (400, {"item": "sold out"}, False),
        (400, {"item": "sold out"}, True),
        (500, {"detail": "A server error occurred."}, False),
        (400, "oops", False),
    ]
    assert (shop.site.orders, shop.site.claims) == (["17"], 2)


def handler_of(handler: Any) -> Any:
    def post(self: Any, request: Any, signed: Signed, tx: Transaction) -> Any:
        del self
        return handler(request, signed, tx)

    return post


def test_a_path_that_is_no_latin_1_is_verified_without_its_raw_form(shop: DjangoShop) -> None:
    """Django decodes PATH_INFO in place; a server that gives no RAW_URI leaves nothing else."""

    def named(_request: HttpRequest, signed: Signed, tx: Transaction, item: str) -> HttpResponse:
        assert item == "€"
        return write_order(signed, tx)

    shop.urls = Urls(urlpatterns=[path("order/<str:item>", view(shop, named))])
    body = b'{"order_id":"17"}'
    headers = sign(Message("POST", "/order/%E2%82%AC", (), body), HEX, SECRET, now=0)
    environ = environ_of("/order/€", headers, body)
    environ |= {"RAW_URI": "", "PATH_INFO": "/order/€".encode().decode("latin-1")}
    assert shop.call(environ).status == 201


def test_a_request_that_django_made_without_a_server_is_verified_too(shop: DjangoShop) -> None:
    """RequestFactory: tests of views, without middlewares and without a resolver."""
    headers, body = shop.request()
    request = RequestFactory().post("/order", body, content_type="application/json", headers=dict(headers))
    assert view(shop, orders)(request).status_code == 201


def test_the_guard_logs_no_secret_and_djangos_report_of_a_defect_shows_none(
    shop: DjangoShop, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(signed: Signed, tx: Transaction) -> HttpResponse:
        write_order(signed, tx)
        raise RuntimeError("a defect")

    caplog.set_level(logging.DEBUG)
    shop.handler = fails
    shop.order()
    assert "a secret of the tests" not in caplog.text
