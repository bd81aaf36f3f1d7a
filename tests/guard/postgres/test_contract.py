from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.postgres.cluster import Database
from tests.guard.postgres.subject import PostgresSubject
from tocsin.guard.stores import Declares
from tocsin.guard.stores.postgres import PostgresStore
from tocsin.guard.testing import CONTRACT


@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_postgres_keeps_the_contract_of_a_store(case: Callable[[Any], None], database: Database) -> None:
    case(PostgresSubject(database))


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_and_keeps_it_where_transactions_see_a_snapshot(
    case: Callable[[Any], None], level: str, database: Database
) -> None:
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    case(PostgresSubject(database))


def test_postgres_declares_what_it_promises() -> None:
    promised = Declares(atomic=True, durable=True, cross_process=True, looks_first=False)
    assert PostgresStore.declares == promised
