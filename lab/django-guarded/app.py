"""The service of django-vulnerable behind tocsin.guard: claim, the ORM's writes and the stored answer are one commit.

The handlers say what is done, and nothing about races: whatever their models write happens once for each order,
reservation, event, transfer or redemption, or not at all.
"""

import json
import os
import secrets
import uuid
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from tocsin.guard import Guard, Signed, json_pointer
from tocsin.guard.stores.django import DjangoStore, Transaction
from tocsin.signing import KeyRing, Secret, preset

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["LAB_DATA"], "orders.db"),
            # Readers do not wait for a writer, and whoever begins to write has the lock.
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL", "transaction_mode": "IMMEDIATE"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["tocsin.guard.stores.django"],
    LOGGING_CONFIG=None,
    ROOT_URLCONF=__name__,
    SECRET_KEY="nothing here is signed with it",
)
django.setup()

View = Callable[..., HttpResponse]
Body = dict[str, Any]
guard = Guard(preset("tocsin-v1"), KeyRing.of(Secret.from_env("LAB_SECRET", key_id="lab")), DjangoStore())
# What is no order, in place of a page of Django's.
WRONG = {"error": "the body has not the members that are wanted, or not of their kinds"}
LARGEST = 1000


class Row(models.Model):  # type: ignore[misc]  # Django has no types
    """A table of this service."""

    class Meta:
        abstract = True
        app_label = "shop"


class Item(Row):
    id = models.TextField(primary_key=True)
    stock = models.IntegerField()

    class Meta(Row.Meta):
        db_table = "items"


class Order(Row):
    order_id = models.TextField()
    item = models.TextField()
    qty = models.IntegerField()

    class Meta(Row.Meta):
        db_table = "orders"


class Account(Row):
    id = models.TextField(primary_key=True)
    balance = models.IntegerField()

    class Meta(Row.Meta):
        db_table = "accounts"


class Coupon(Row):
    id = models.TextField(primary_key=True)
    left = models.IntegerField()

    class Meta(Row.Meta):
        db_table = "coupons"


TABLES = (Item, Order, Account, Coupon)


def create_tables() -> None:
    call_command("migrate", verbosity=0)
    with connection.schema_editor() as editor:
        found = connection.introspection.table_names()
        for table in TABLES:
            if table._meta.db_table not in found:  # noqa: SLF001  Django documents it
                editor.create_model(table)
    connection.close()


def on_loopback(view: View) -> View:
    @csrf_exempt  # type: ignore[untyped-decorator]  # likewise
    @require_POST  # type: ignore[untyped-decorator]  # likewise
    @wraps(view)
    def local(request: HttpRequest) -> HttpResponse:
        if request.META["REMOTE_ADDR"] not in {"127.0.0.1", "::1"}:
            return JsonResponse({"error": "only on this machine"}, status=403)
        return view(json.loads(request.body or b"{}"))

    return local  # type: ignore[no-any-return]  # likewise


def done(**said: str) -> HttpResponse:
    """Made anew whenever a handler runs: a duplicate that shows the same receipt has not run it."""
    return JsonResponse(said | {"receipt": secrets.token_hex(8)})


def take_one(table: type[Row], field: str, row_id: str, number: int = 1) -> bool:
    """The condition is part of the write: nothing can change between looking and taking."""
    enough = table.objects.filter(id=row_id, **{f"{field}__gte": number})
    return bool(enough.update(**{field: models.F(field) - number}))


@require_POST  # type: ignore[untyped-decorator]  # likewise
@guard.django(key=json_pointer("/order_id"))
def order(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    match signed.json():
        case {"order_id": str(order_id), "item": str(item), "qty": int(qty)} if item.isascii() and 0 < qty <= LARGEST:
            if not take_one(Item, "stock", item):
                return JsonResponse({"error": "out of stock"}, status=409)
            Order.objects.create(order_id=order_id, item=item, qty=qty)
            return done(status="processed")
    return JsonResponse(WRONG, status=400)


@require_POST  # type: ignore[untyped-decorator]  # likewise
@guard.django(key=json_pointer("/reservation_id"))
def reserve(_request: HttpRequest, _signed: Signed, _tx: Transaction, item: str) -> HttpResponse:
    if not take_one(Item, "stock", item):
        return JsonResponse({"error": "out of stock"}, status=409)
    return done(status="reserved")


@require_POST  # type: ignore[untyped-decorator]  # likewise
@guard.django(key=json_pointer("/event_id"))
def payment(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    match signed.json():
        case {"account": str(account), "amount": int(amount)} if account.isascii() and 0 < amount <= LARGEST:
            Account.objects.filter(id=account).update(balance=models.F("balance") + amount)
            return done(status="booked")
    return JsonResponse(WRONG, status=400)


@require_POST  # type: ignore[untyped-decorator]  # likewise
@guard.django(key=json_pointer("/transfer_id"))
def transfer(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    match signed.json():
        case {"from": str(payer), "to": str(payee), "amount": int(amount)} if (
            payer.isascii() and payee.isascii() and 0 < amount <= LARGEST
        ):
            if not take_one(Account, "balance", payer, amount):
                return JsonResponse({"error": "not enough"}, status=409)
            Account.objects.filter(id=payee).update(balance=models.F("balance") + amount)
            return done(status="transferred")
    return JsonResponse(WRONG, status=400)


@require_POST  # type: ignore[untyped-decorator]  # likewise
@guard.django(key=json_pointer("/redemption_id"))
def redeem(_request: HttpRequest, signed: Signed, _tx: Transaction) -> HttpResponse:
    match signed.json():
        case {"coupon": str(coupon)} if coupon.isascii():
            if not take_one(Coupon, "left", coupon):
                return JsonResponse({"error": "used up"}, status=409)
            return done(status="redeemed")
    return JsonResponse(WRONG, status=400)


def reading(table: type[Row], field: str, name: str) -> View:
    @require_GET  # type: ignore[untyped-decorator]  # likewise
    def read(_request: HttpRequest, row_id: str) -> HttpResponse:
        row = table.objects.filter(id=row_id).first()
        if row is None:
            return JsonResponse({"error": f"no such {name}"}, status=404)
        return JsonResponse({name: row_id, field: getattr(row, field)})

    return read  # type: ignore[no-any-return]  # likewise


@require_GET  # type: ignore[untyped-decorator]  # likewise
def read_order(_request: HttpRequest, order_id: str) -> HttpResponse:
    return JsonResponse({"order_id": order_id, "count": Order.objects.filter(order_id=order_id).count()})


def creating(table: type[Row], field: str, name: str, prefix: str) -> View:
    @on_loopback
    def create(given: Body) -> HttpResponse:
        row_id, number = f"{prefix}-{uuid.uuid4().hex[:12]}", given.get(field, 5)
        table.objects.create(id=row_id, **{field: number})
        return JsonResponse({name: row_id, field: number}, status=201)

    return create


@on_loopback
def reset(_given: Body) -> HttpResponse:
    """Forget everything but the guard's claims: what was applied once is never applied again."""
    for table in TABLES:
        table.objects.all().delete()
    return JsonResponse({"status": "reset"})


urlpatterns = [
    path("order", order),
    path("api/reserve/<str:item>", reserve),
    path("webhooks/payment", payment),
    path("transfer", transfer),
    path("coupon/redeem", redeem),
    path("items/<str:row_id>", reading(Item, "stock", "item")),
    path("orders/<str:order_id>", read_order),
    path("accounts/<str:row_id>", reading(Account, "balance", "account")),
    path("coupons/<str:row_id>", reading(Coupon, "left", "coupon")),
    path("items", creating(Item, "stock", "item", "sku")),
    path("accounts", creating(Account, "balance", "account", "acc")),
    path("coupons", creating(Coupon, "left", "coupon", "code")),
    path("__reset", reset),
]
create_tables()
app = get_wsgi_application()
