"""A guarded service on Django, as gunicorn (`wsgi`) and uvicorn (`asgi`) run it in the tests: views of every kind.

The database is that of ORDERS_DB: a file, or host:port/name of a PostgreSQL.
"""

import json
import os
import secrets
import sys
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

WHERE = os.environ["ORDERS_DB"]


def database() -> dict[str, Any]:
    if WHERE.startswith("/"):
        options = {"init_command": "PRAGMA journal_mode = wal", "timeout": 20}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": WHERE, "OPTIONS": options}
    server, _, name = WHERE.partition("/")
    host, _, port = server.partition(":")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": "tocsin",
        "HOST": host,
        "PORT": port,
        "CONN_MAX_AGE": 60,
        "OPTIONS": {"sslmode": "disable"},
    }


settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": database() | {"ATOMIC_REQUESTS": False}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "tocsin.guard.stores.django"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the tests",
)
django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402  only after setup
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.response import Response  # noqa: E402

from tocsin.guard import Guard, Signed, json_pointer  # noqa: E402
from tocsin.guard.stores.django import DjangoStore, Transaction  # noqa: E402
from tocsin.signing import KeyRing, Secret, preset  # noqa: E402

KEY = json_pointer("/order_id")
KEYS = KeyRing.of(Secret.from_env("ORDERS_SECRET"))
guard = Guard(preset("hex-sha256-body"), KEYS, DjangoStore(), wait_s=20, shared_secret=True)


class Order(models.Model):  # type: ignore[misc]  # Django has no types
    order_id = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "orders"


def receipt(signed: Signed) -> dict[str, Any]:
    return {"receipt": secrets.token_hex(8), "worker": os.getpid(), "tenant": signed.tenant}


@guard.django(key=KEY)
def order(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    Order.objects.create(order_id=json.loads(signed.body)["order_id"])
    return JsonResponse(receipt(signed), status=201, headers={"X-Receipt": secrets.token_hex(4)})


@guard.django(key=KEY)
async def order_async(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    await Order.objects.acreate(order_id=json.loads(signed.body)["order_id"])
    return JsonResponse(receipt(signed), status=201)


@api_view(["POST"])  # type: ignore[untyped-decorator]  # REST framework has no types
@guard.django(key=KEY)
def order_rest(request: Any, signed: Signed, _tx: Transaction) -> Response:
    Order.objects.create(order_id=request.data["order_id"])
    return Response(receipt(signed), status=201)


urlpatterns = [
    path("order", order),
    path("order/async", order_async),
    path("order/rest", order_rest),
]
wsgi, asgi = get_wsgi_application(), get_asgi_application()

# In one write: print() makes two, and the lines of two workers would run into each other.
os.write(sys.stderr.fileno(), b"Ready to take orders\n")
