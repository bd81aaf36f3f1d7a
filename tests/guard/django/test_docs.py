"""docs/guides/django.md says what is so: its code runs, and does what it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters.django_site import URLCONF
from tests.guard.django.databases import Order, Project
from tests.guard.django.shop import DjangoShop

# isort: split
from django.db import connections, models
from django.db.models import F
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.response import Response

from tests.guard.adapters.on_django import Urls
from tests.guard.adapters.on_wsgi import call, environ_of
from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.django import DjangoStore
from tocsin.signing import KeyRing, Secret, preset

PAGE = (Path(__file__).parents[3] / "docs" / "guides" / "django.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


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
    names = (F, Guard, JsonResponse, Item, KeyRing, Order, Refund, RefundSerializer, Response, Secret, Shipment)
    given: dict[str, Any] = {thing.__name__: thing for thing in names}
    given["__name__"] = "guide"
    given["Guard"] = lambda *arguments: Guard(*arguments, shared_secret=True)
    given |= {"api_view": api_view, "csrf_exempt": csrf_exempt, "json": json, "json_pointer": json_pointer}
    return given | {"preset": preset, "require_POST": require_POST, "DjangoStore": lambda: DjangoStore(alias)}


def test_every_block_of_the_page_runs_and_does_what_it_says(page: dict[str, Any], shop: DjangoShop) -> None:
    today, guarded, refund, ship = BLOCKS
    order = {"item": "sku-1", "refund_id": "r-1"}

    def post(view: str) -> tuple[int, Any]:
        shop.urls = Urls(urlpatterns=[path(view, page[view])])
        headers, body = shop.request("17", **order)
        reply = call(shop._handlers[0], environ_of(f"/{view}", headers, body, **{URLCONF: shop.urls}))
        return reply.status, reply.json()

    exec(today, page)
    assert [post("order") for _ in range(2)] == [(201, {"status": "processed"}), (200, {"status": "duplicate"})]
    exec(guarded, page)
    assert [post("order") for _ in range(2)] == [(201, {"status": "processed"})] * 2
    assert (Item.objects.get().stock, Order.objects.count()) == (3, 2)
    exec(refund, page)
    exec(ship, page)
    assert [post("refund") for _ in range(2)] == [(200, {"refunded_by": "main"})] * 2
    assert [post("ship") for _ in range(2)] == [(200, {"status": "shipped"})] * 2
    assert (Refund.objects.count(), Shipment.objects.count()) == (1, 1)


def test_the_change_is_about_ten_lines() -> None:
    today, guarded = (block.strip().splitlines() for block in BLOCKS[:2])
    assert len(set(guarded) ^ set(today)) <= 16
