from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.django.databases import Project
from tocsin.guard.stores import Declares
from tocsin.guard.stores.django import DjangoStore, Transaction
from tocsin.guard.testing import CONTRACT

LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Subject:
    """A database of a project; every store has an alias and so connections of its own, as another process would."""

    def __init__(self, site: Project, **settings: Any) -> None:
        self._site = site
        self._settings = settings

    def open(self) -> DjangoStore:
        return DjangoStore(self._site.alias(**self._settings))

    def write_effect(self, tx: Transaction) -> None:
        tx.execute("INSERT INTO orders (order_id) VALUES (%s)", ["17"])

    def effects(self) -> int:
        return len(self._site.orders)


@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_django_keeps_the_contract_of_a_store(case: Callable[[Any], None], site: Project) -> None:
    case(Subject(site))


@pytest.mark.parametrize("vendor", ["postgresql"])
@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_django_keeps_the_contract_also_where_transactions_see_a_snapshot(
    case: Callable[[Any], None], level: str, site: Project, vendor: str
) -> None:
    del vendor
    isolation = LEVELS.index(level) + 2  # psycopg.IsolationLevel
    case(Subject(site, OPTIONS={"isolation_level": isolation}))


def test_django_declares_what_it_promises(site: Project, vendor: str) -> None:
    promised = Declares(atomic=True, durable=True, cross_process=True, looks_first=vendor == "sqlite", ordered=True)
    assert DjangoStore(site.alias()).declares == promised
