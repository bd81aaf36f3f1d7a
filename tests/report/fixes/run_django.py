"""Runs the Django fixes in the folder given: all of them are executed, and those that write are tried out.

Not a test module: tests/report/test_fixes.py runs it in a process of its own.
"""

# mypy: disable-error-code="import-untyped, misc"
# Django brings no types, and nothing here is worth its stubs.

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import django
from django.conf import settings

FOLDER = Path(sys.argv[1])
settings.configure(
    SECRET_KEY="unused",
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["tocsin.guard.stores.django"],
    LOGGING_CONFIG=None,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(FOLDER / "orders.db")}},
)
django.setup()

from django.core.management import call_command  # noqa: E402  only after setup
from django.db import connection, models  # noqa: E402
from django.db.models import F  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import clear_url_caches, path  # noqa: E402

from tocsin.guard import Guard, json_pointer  # noqa: E402
from tocsin.guard.stores.django import DjangoStore  # noqa: E402
from tocsin.signing import KeyRing, Message, Secret, preset, sign  # noqa: E402

SCHEME = preset("tocsin-v1")
SECRET = Secret(b"a secret of the explanations", key_id="k1")
NOW = 1_790_000_000.0
urlpatterns: list[Any] = []


def model(name: str, **columns: Any) -> type[models.Model]:
    key = models.CharField(max_length=255, primary_key=True)
    meta = type("Meta", (), {"app_label": "orders"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, "id": key, **columns})


Event = model("Event")
Item = model("Item", stock=models.IntegerField())
Order = model("Order", status=models.CharField(max_length=20, default=""), seq=models.IntegerField(default=0))
Account = model("Account", balance=models.IntegerField())


def guard(scheme: Any, keys: KeyRing, store: DjangoStore, **more: Any) -> Guard[Any]:
    """As the fixes declare it, at the clock of this script."""
    return Guard(scheme, keys, store, clock=lambda: NOW, **more)


def fix(check: str, **more: Any) -> dict[str, Any]:
    """The names that a fix defines, among those that it takes for granted."""
    keys = KeyRing.of(SECRET)
    names: dict[str, Any] = {"F": F, "JsonResponse": JsonResponse, "json_pointer": json_pointer, "replace": replace}
    names |= {"Event": Event, "Item": Item, "Order": Order, "Account": Account, "__name__": check}
    names |= {"Guard": guard, "DjangoStore": DjangoStore, "KeyRing": KeyRing, "Secret": Secret, "preset": preset}
    names |= {"keys": keys, "scheme": SCHEME, "guard": guard(SCHEME, keys, DjangoStore())} | more
    exec(compile((FOLDER / f"{check}.py").read_text(), check, "exec"), names)
    return names


def sent(view: Callable[..., Any], document: object, *, is_signed: bool = True) -> Any:
    """The view's answer to a request over Django's own client."""
    urlpatterns[:] = [path("order", view)]
    clear_url_caches()
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    headers = (("Idempotency-Key", "k-1"),)
    signed = sign(Message("POST", "/order", headers, body), SCHEME, SECRET, now=NOW) if is_signed else ()
    return Client().post("/order", body, content_type="application/json", headers=dict((*headers, *signed)))


call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    for table in (Event, Item, Order, Account):
        editor.create_model(table)
Item.objects.create(id="sku-1", stock=3)
Account.objects.create(id="alice", balance=600)
Account.objects.create(id="bob", balance=400)

order = fix("concurrent-duplicate")["order"]
assert [sent(order, {"order_id": "d", "item": "sku-1"}).status_code for _ in range(3)] == [200] * 3
assert Item.objects.get().stock == 2

order = fix("over-allocation")["order"]
assert [sent(order, {"order_id": f"a-{n}", "item": "sku-1"}).status_code for n in range(4)] == [200, 200, 409, 409]
assert Item.objects.get().stock == 0

webhook = fix("sequential-replay")["webhook"]
first, again = (sent(webhook, {"event_id": "e-1"}) for _ in range(2))
assert (first.content, again.headers["Idempotent-Replayed"], Event.objects.count()) == (again.content, "true", 1)

for check in ("effect-before-verification", "parse-before-verification", "instruction-injection"):
    order = fix(check)["order"]
    assert sent(order, {"order_id": check}, is_signed=False).status_code == 401
    assert sent(order, b"{", is_signed=False).status_code == 401
    assert not Order.objects.filter(id=check).exists()
    assert sent(order, {"order_id": check}).status_code == 200
    assert Order.objects.filter(id=check).exists()
assert sent(order, b'{"order_id":"1","order_id":"2"}').status_code == 400

Order.objects.create(id="o-2")
webhook = fix("reordering")["webhook"]
for seq, status in ((2, "paid"), (1, "pending")):
    assert sent(webhook, {"event_id": f"s-{seq}", "order_id": "o-2", "seq": seq, "status": status}).status_code == 200
assert Order.objects.get(id="o-2").status == "paid"

transfer = fix("intermediate-state")["transfer"]
for _ in range(2):
    sent(transfer, {"transfer_id": "t-1", "from": "bob", "to": "alice", "amount": 100})
assert [account.balance for account in Account.objects.order_by("id")] == [700, 300]

order = fix("signed-robustness")["order"]
odds: tuple[Any, ...] = (None, "", [], {"a": 1}, 1.5, "a" * 256)
for odd in odds:
    assert sent(order, {"order_id": odd, "item": "sku-1"}).status_code == 400
assert sent(order, {"order_id": "r-1"}).status_code == 400
assert sent(order, {"order_id": "r-2", "item": "sku-1"}).status_code == 200

os.environ["ORDERS_SECRET"] = "a secret of the explanations"
for check, named in (("signature-bypass", "order"), ("signature-coverage", "bonus"), ("comparison-timing", "order")):
    view = fix(check)[named]
    document = {"order_id": check, "bonus_id": check}
    assert sent(view, document, is_signed=False).status_code == 401
    assert sent(view, document).status_code == 200

assert isinstance(fix("stale-timestamp")["guard"], Guard)
contention = fix("contention-errors")
assert isinstance(contention["guard"], Guard)
assert contention["DATABASES"]["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
