"""Orders of a Django project's model, on SQLite and PostgreSQL. Bare: the ORM's INSERT in `transaction.atomic()`."""

from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from sqlalchemy.engine import make_url


def database(url: str) -> dict[str, Any]:
    # Connections are kept, as the other services keep them.
    kept = {"CONN_MAX_AGE": None}
    if "://" not in url:
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20}
        return kept | {"ENGINE": "django.db.backends.sqlite3", "NAME": url, "OPTIONS": options}
    parts = make_url(url)
    return kept | {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.database,
        "USER": parts.username,
        "HOST": parts.host,
        "PORT": parts.port,
    }


class Orders:
    """For threads and for tasks: there Django has a thread for each request."""

    def __init__(self, url: str) -> None:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            DATABASES={"default": database(url)},
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "tocsin.guard.stores.django"],
            LOGGING_CONFIG=None,
            MIDDLEWARE=[],
            ROOT_URLCONF="bench.costs.services.on_django",
            SECRET_KEY="of the bench",
        )
        django.setup()
        from django.db import models, transaction  # noqa: PLC0415  only after setup

        from tocsin.guard.stores.django import DjangoStore  # noqa: PLC0415  likewise

        class Order(models.Model):  # type: ignore[misc]  # Django has no types
            order_id = models.CharField(max_length=64, primary_key=True)
            processed = models.IntegerField(default=0)

            class Meta:
                app_label = "costs"
                db_table = "orders"
                managed = False

        self.store = DjangoStore()
        self._orders = Order.objects
        self._atomic = transaction.atomic

    def write(self, _tx: object, order_id: str) -> None:
        self._orders.create(order_id=order_id, processed=1)

    def write_alone(self, order_id: str) -> None:
        with self._atomic():
            self._orders.create(order_id=order_id, processed=1)

    async def write_async(self, _tx: object, order_id: str) -> None:
        await self._orders.acreate(order_id=order_id, processed=1)

    async def write_alone_async(self, order_id: str) -> None:
        await sync_to_async(self.write_alone)(order_id)
