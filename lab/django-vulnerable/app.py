"""Orders, reservations, payments, transfers and coupons on Django: verify the signature, look, then write.

Every statement is right when it runs alone. Nothing ties them together: no transaction, no unique constraint, no lock,
as Django does it by itself (every query commits). What lies between a query that looks and one that writes is the race
window; it is as wide as the ORM makes it, no sleeps.
"""

import hashlib
import hmac
import json
import os
import uuid
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

SECRET = os.environ["LAB_SECRET"].encode()
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": Path(os.environ["LAB_DATA"], "orders.db"),
            # As most services on SQLite have it: readers do not wait for a writer.
            "OPTIONS": {"init_command": "PRAGMA journal_mode = WAL"},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING_CONFIG=None,
    ROOT_URLCONF=__name__,
    SECRET_KEY="nothing here is signed with it",
)
django.setup()

View = Callable[..., HttpResponse]
Body = dict[str, Any]


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
    # Deliberately not unique: the query in order() is the only thing that looks for duplicates.
    order_id = models.TextField()
    item = models.TextField()
    qty = models.IntegerField()

    class Meta(Row.Meta):
        db_table = "orders"


class Done(Row):
    """What else was done: the id of the message, and what it was about."""

    kind = models.TextField()
    done_id = models.TextField()
    subject = models.TextField()

    class Meta(Row.Meta):
        db_table = "done"


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


TABLES = (Item, Order, Done, Account, Coupon)


def create_tables() -> None:
    with connection.schema_editor() as editor:
        found = connection.introspection.table_names()
        for table in TABLES:
            if table._meta.db_table not in found:  # noqa: SLF001  Django documents it
                editor.create_model(table)
    connection.close()


def signed(view: View) -> View:
    @csrf_exempt  # type: ignore[untyped-decorator]  # Django has no types
    @require_POST  # type: ignore[untyped-decorator]  # likewise
    @wraps(view)
    def verified(request: HttpRequest, **arguments: str) -> HttpResponse:
        expected = hmac.new(SECRET, request.body, hashlib.sha256).hexdigest()
        # compare_digest of two str raises TypeError for anything outside ASCII: such a header is answered 500, not 401.
        if not hmac.compare_digest(request.headers.get("X-Signature", ""), expected):
            return JsonResponse({"error": "bad signature"}, status=401)
        return view(json.loads(request.body), **arguments)

    return verified  # type: ignore[no-any-return]  # likewise


def on_loopback(view: View) -> View:
    @csrf_exempt  # type: ignore[untyped-decorator]  # likewise
    @require_POST  # type: ignore[untyped-decorator]  # likewise
    @wraps(view)
    def local(request: HttpRequest) -> HttpResponse:
        if request.META["REMOTE_ADDR"] not in {"127.0.0.1", "::1"}:
            return JsonResponse({"error": "only on this machine"}, status=403)
        return view(json.loads(request.body or b"{}"))

    return local  # type: ignore[no-any-return]  # likewise


def take_one(item_id: str) -> bool:
    item = Item.objects.filter(id=item_id).first()
    if item is None or item.stock < 1:
        return False
    # Whoever got here believes that the piece is there, however many they are. UPDATE ... SET stock = stock - 1.
    Item.objects.filter(id=item_id).update(stock=models.F("stock") - 1)
    return True


@signed
def order(wanted: Body) -> HttpResponse:
    if Order.objects.filter(order_id=wanted["order_id"]).exists():
        return JsonResponse({"status": "duplicate"})
    if not take_one(wanted["item"]):
        return JsonResponse({"error": "out of stock"}, status=409)
    Order.objects.create(order_id=wanted["order_id"], item=wanted["item"], qty=wanted["qty"])
    return JsonResponse({"status": "processed"})


def once(kind: str, done_id: str, subject: str) -> bool:
    """Whether this is new, as far as a query can tell."""
    if Done.objects.filter(kind=kind, done_id=done_id).exists():
        return False
    Done.objects.create(kind=kind, done_id=done_id, subject=subject)
    return True


@signed
def reserve(wanted: Body, item: str) -> HttpResponse:
    if not once("reservation", wanted["reservation_id"], item):
        return JsonResponse({"status": "duplicate"})
    if not take_one(item):
        return JsonResponse({"error": "out of stock"}, status=409)
    return JsonResponse({"status": "reserved"})


@signed
def payment(event: Body) -> HttpResponse:
    if not once("payment", event["event_id"], event["account"]):
        return JsonResponse({"status": "duplicate"})
    Account.objects.filter(id=event["account"]).update(balance=models.F("balance") + event["amount"])
    return JsonResponse({"status": "booked"})


@signed
def transfer(wanted: Body) -> HttpResponse:
    if not once("transfer", wanted["transfer_id"], wanted["from"]):
        return JsonResponse({"status": "duplicate"})
    payer = Account.objects.filter(id=wanted["from"]).first()
    if payer is None or payer.balance < wanted["amount"]:
        return JsonResponse({"error": "not enough"}, status=409)
    Account.objects.filter(id=wanted["from"]).update(balance=models.F("balance") - wanted["amount"])
    Account.objects.filter(id=wanted["to"]).update(balance=models.F("balance") + wanted["amount"])
    return JsonResponse({"status": "transferred"})


@signed
def redeem(wanted: Body) -> HttpResponse:
    if not once("redemption", wanted["redemption_id"], wanted["coupon"]):
        return JsonResponse({"status": "duplicate"})
    coupon = Coupon.objects.filter(id=wanted["coupon"]).first()
    if coupon is None or coupon.left < 1:
        return JsonResponse({"error": "used up"}, status=409)
    Coupon.objects.filter(id=wanted["coupon"]).update(left=models.F("left") - 1)
    return JsonResponse({"status": "redeemed"})


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
