"""The order endpoint on Django: a view, a coroutine, or one of REST framework's, by the name of the adapter."""

import json
from typing import Any

from bench.costs.chosen import ADAPTER, ANSWER, IS_GUARDED, KEY, guard, orders

# isort: split
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from rest_framework.decorators import api_view, authentication_classes
from rest_framework.response import Response

from tocsin.guard import Signed


def bare(request: HttpRequest) -> HttpResponse:
    orders.write_alone(json.loads(request.body)["order_id"])
    return JsonResponse(ANSWER)


async def bare_async(request: HttpRequest) -> HttpResponse:
    await orders.write_alone_async(json.loads(request.body)["order_id"])
    return JsonResponse(ANSWER)


def bare_rest(request: Any) -> Response:  # noqa: ANN401  REST framework has no types
    orders.write_alone(request.data["order_id"])
    return Response(ANSWER)


@guard.django(key=KEY, name="/order")
def guarded(_request: HttpRequest, signed: Signed, tx: object) -> HttpResponse:
    document: Any = signed.json()
    orders.write(tx, document["order_id"])
    return JsonResponse(ANSWER)


@guard.django(key=KEY, name="/order/async")
async def guarded_async(_request: HttpRequest, signed: Signed, tx: object) -> HttpResponse:
    document: Any = signed.json()
    await orders.write_async(tx, document["order_id"])
    return JsonResponse(ANSWER)


@guard.django(key=KEY, name="/order/rest")
def guarded_rest(request: Any, _signed: Signed, tx: object) -> Response:  # noqa: ANN401  likewise
    orders.write(tx, request.data["order_id"])
    return Response(ANSWER)


def rest(view: Any) -> Any:  # noqa: ANN401  likewise
    return api_view(["POST"])(authentication_classes([])(view))


def ready(_: HttpRequest) -> HttpResponse:
    return JsonResponse(ANSWER)


FORMS: dict[str, tuple[Any, Any]] = {
    "Django": (bare, guarded),
    "Django, async def": (bare_async, guarded_async),
    "Django REST framework": (rest(bare_rest), rest(guarded_rest)),
}
urlpatterns = [path("order", FORMS[ADAPTER][IS_GUARDED]), path("ready", ready)]
wsgi, asgi = get_wsgi_application(), get_asgi_application()
