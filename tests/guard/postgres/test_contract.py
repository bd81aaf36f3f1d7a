from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.subject import AsyncPostgresSubject, PostgresSubject
from tocsin.guard.stores import Declares
from tocsin.guard.stores.postgres import AsyncPostgresStore, PostgresStore
from tocsin.guard.testing import CONTRACT, on_tasks

LEVELS = ["read committed", "repeatable read", "serializable"]


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_postgres_keeps_the_contract_of_a_store_also_where_transactions_see_a_snapshot(
    case: Callable[[Any], None], level: str, kind: str, database: Database
) -> None:
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    with (
        on_tasks(AsyncPostgresSubject(database))
        if kind == "tasks"
        else nullcontext(PostgresSubject(database)) as subject
    ):
        case(subject)


@pytest.mark.parametrize("store", [PostgresStore, AsyncPostgresStore])
def test_postgres_declares_what_it_promises(store: Any) -> None:
    promised = Declares(atomic=True, durable=True, cross_process=True, looks_first=False, ordered=True)
    assert store.declares == promised
