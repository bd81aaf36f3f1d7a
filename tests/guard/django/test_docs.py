"""docs/guides/django.md says what is so: its code runs, and does what it says."""

import re
import time
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters.django_site import URLCONF
from tests.guard.django.databases import Order, Project
from tests.guard.django.shop import DjangoShop

# isort: split
from django.db import connections, models
from django.urls import path
from rest_framework import serializers

from tests.guard.adapters.on_django import Urls
from tests.guard.adapters.on_wsgi import call, environ_of
from tests.guard.shop import SECRET
from tocsin.signing import Message, preset, sign

PAGE = (Path(__file__).parents[3] / "docs" / "guides" / "django.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


ORDER = b'{"order_id":"17","item":"sku-1","refund_id":"r-1"}'


class Item(models.Model):  # type: ignore[misc]  # Django has no types
    id = models.TextField(primary_key=True)
    stock = models.IntegerField()

    class Meta:
        app_label = "guide"


class Refund(models.Model):  # type: ignore[misc]  # likewise
    refund_id = models.TextField()

    class Meta:
        app_label = "guide"


class Shipment(models.Model):  # type: ignore[misc]  # likewise
    order_id = models.TextField()

    class Meta:
        app_label = "guide"


class RefundSerializer(serializers.Serializer):  # type: ignore[misc]  # likewise
    refund_id = serializers.CharField()


@pytest.fixture
def vendor() -> str:
    return "sqlite"


@pytest.fixture
def page(site: Project, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page's code finds: its models, and one database for all of them."""
    alias = site.alias()
    monkeypatch.setattr("django.db.router.db_for_read", lambda *_, **__: alias)
    monkeypatch.setattr("django.db.router.db_for_write", lambda *_, **__: alias)
    monkeypatch.setenv("ORDERS_SECRET", "a secret of the tests, 32 octets")
    with connections[alias].schema_editor() as editor:
        for table in (Item, Refund, Shipment):
            editor.create_model(table)
    Item.objects.create(id="sku-1", stock=5)
    own = (Item, Order, Refund, RefundSerializer, Shipment)
    return {thing.__name__: thing for thing in own} | {"__name__": "guide", "alias": alias}


def test_every_block_of_the_page_runs_and_does_what_it_says(page: dict[str, Any], shop: DjangoShop) -> None:
    today, guarded, refund, ship = BLOCKS

    def post(view: str) -> tuple[int, Any]:
        shop.urls = Urls(urlpatterns=[path(view, page[view])])
        plain = (("Content-Type", "application/json"), ("Idempotency-Key", "k-1"))
        headers = *plain, *sign(Message("POST", f"/{view}", plain, ORDER), preset("tocsin-v1"), SECRET, now=time.time())
        reply = call(shop._handlers[0], environ_of(f"/{view}", headers, ORDER, **{URLCONF: shop.urls}))
        return reply.status, reply.json()

    exec(today, page)
    assert [post("order") for _ in range(2)] == [(201, {"status": "processed"}), (200, {"status": "duplicate"})]
    exec(guarded.replace("DjangoStore()", "DjangoStore(alias)"), page)
    assert [post("order") for _ in range(2)] == [(201, {"status": "processed"})] * 2
    assert (Item.objects.get().stock, Order.objects.count()) == (3, 2)
    exec(refund, page)
    exec(ship, page)
    assert [post("refund") for _ in range(2)] == [(200, {"refunded_by": "main"})] * 2
    assert [post("ship") for _ in range(2)] == [(200, {"status": "shipped"})] * 2
    assert (Refund.objects.count(), Shipment.objects.count()) == (1, 1)


def test_the_change_is_about_ten_lines() -> None:
    today, guarded = ([line for line in block.splitlines() if "import " not in line] for block in BLOCKS[:2])
    assert len(set(guarded) ^ set(today)) <= 16
