"""Runs the Django fixes in the folder given: all of them are executed, and those that write are tried out.

Not a test module: tests/report/test_fixes.py runs it in a process of its own.
"""

# mypy: disable-error-code="import-untyped, misc"
# Django brings no types, and nothing here is worth its stubs.

import hashlib
import hmac
import json
import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="unused",
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()

from django.core.exceptions import BadRequest, PermissionDenied  # noqa: E402  only after setup
from django.db import connection, models, transaction  # noqa: E402
from django.db.models import F  # noqa: E402
from django.http import JsonResponse  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402

SECRET = b"a secret of the explanations"
urlpatterns: list[Any] = []


def model(name: str, **columns: Any) -> type[models.Model]:
    key = models.CharField(max_length=255, primary_key=True)
    meta = type("Meta", (), {"app_label": "orders"})
    return type(name, (models.Model,), {"__module__": __name__, "Meta": meta, "id": key, **columns})


Applied = model("Applied")
Item = model("Item", stock=models.IntegerField())
Order = model("Order", status=models.CharField(max_length=20, default=""), seq=models.IntegerField(default=0))
Account = model("Account", balance=models.IntegerField())


def fix(check: str, **more: Any) -> dict[str, Any]:
    """The names that a fix defines, among those that it takes for granted."""
    names: dict[str, Any] = {"F": F, "JsonResponse": JsonResponse, "csrf_exempt": csrf_exempt, "hashlib": hashlib}
    names |= {"hmac": hmac, "json": json, "models": models, "re": re, "require_POST": require_POST, "SECRET": SECRET}
    names |= {"timezone": timezone, "transaction": transaction, "Applied": Applied, "Item": Item, "Order": Order}
    names |= {"Account": Account, "__name__": check} | more
    exec(compile((Path(sys.argv[1]) / f"{check}.py").read_text(), check, "exec"), names)
    return names


with connection.schema_editor() as editor:
    for table in (Applied, Item, Order, Account):
        editor.create_model(table)
Item.objects.create(id="sku-1", stock=2)
Account.objects.create(id="alice", balance=600)
Account.objects.create(id="bob", balance=400)


class Unauthorized(PermissionDenied):
    pass


def signed(body: bytes, signature: str | None = None, path: str = "/order?a=1") -> Any:
    given = hmac.new(SECRET, body, hashlib.sha256).hexdigest() if signature is None else signature
    headers = {"X-Signature": given, "X-Timestamp": "17"}
    return RequestFactory().post(path, body, content_type="application/json", headers=headers)


def raises(error: type[Exception], call: Any) -> bool:
    try:
        call()
    except error:
        return True
    return False


ORDER = {"order_id": "o-1", "item": "sku-1"}

apply = fix("concurrent-duplicate")["apply"]
apply(ORDER)
apply(ORDER)
assert Item.objects.get().stock == 1

apply = fix("over-allocation")["apply"]
assert [apply(ORDER).status_code for _ in range(3)] == [200, 409, 409]
assert Item.objects.get().stock == 0

verified_json = fix("parse-before-verification", Unauthorized=Unauthorized)["verified_json"]
assert verified_json(signed(b'{"a":1}')) == {"a": 1}
for wrong in ("", "0" * 64, "\u00e9", "none"):
    assert raises(Unauthorized, lambda wrong=wrong: verified_json(signed(b"{", wrong)))

order = fix("effect-before-verification", verified_json=verified_json)["order"]
body = json.dumps(ORDER | {"order_id": "o-2"}).encode()
assert raises(Unauthorized, lambda: order(signed(body, "0" * 64)))
assert not Order.objects.exists()
assert [order(signed(body)).status_code for _ in range(2)] == [200, 200]
assert Order.objects.count() == 1

reorder = fix("reordering")["apply"]
for seq, status in ((2, "paid"), (1, "pending")):
    reorder({"order_id": "o-2", "seq": seq, "status": status})
assert Order.objects.get(id="o-2").status == "paid"

fix("intermediate-state")["apply"]({"from": "bob", "to": "alice", "amount": 100})
assert [account.balance for account in Account.objects.order_by("id")] == [700, 300]

is_signed = fix("signature-bypass", SECRETS=[b"another one", SECRET])["is_signed"]
right = hmac.new(SECRET, b"{}", hashlib.sha256).hexdigest()
assert is_signed(b"{}", {"X-Signature": right})
assert not any(is_signed(b"{}", {"X-Signature": given}) for given in ("", "none", right[1:], right.upper(), "\u00e9"))
assert not is_signed(b"{}", {})

signed_content = fix("signature-coverage")["signed_content"]
assert signed_content(signed(b"{}")) == b"17\n\nPOST\n/order?a=1\n{}"
assert signed_content(signed(b"{}", path="/a%0Ab")).count(b"\n") == 4

is_fresh = fix("stale-timestamp")["is_fresh"]
assert [is_fresh(text, 1000.5) for text in ("1000", "700", " 1000", "1_000", "-1")] == [True, *[False] * 4]

parsed = fix("instruction-injection", dataclass=dataclass)["parsed"]
assert parsed(b'{"order_id":"1","item":"a","signature_valid":true}').order_id == "1"
assert raises(ValueError, lambda: parsed(b'{"order_id":"1","order_id":"2","item":"a"}'))

claim_id = fix("signed-robustness", BadRequest=BadRequest)["claim_id"]
assert claim_id(ORDER) == "o-1"
odds: tuple[Any, ...] = (None, "", [], 17, "a" * 256)
for odd in odds:
    assert raises(BadRequest, partial(claim_id, {"order_id": odd}))
assert raises(BadRequest, lambda: claim_id([]))

assert fix("comparison-timing")["is_right"](b"a", b"a")
assert fix("contention-errors")["DATABASES"]["default"]["OPTIONS"]["timeout"] == 5
assert callable(fix("sequential-replay")["forget"])
