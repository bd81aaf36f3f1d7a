from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.mariadb.server import Database
from tests.guard.mariadb.subject import AsyncMariaDBSubject, MariaDBSubject
from tocsin.guard.stores import Declares
from tocsin.guard.stores.mariadb import AsyncMariaDBStore, MariaDBStore
from tocsin.guard.testing import CONTRACT, on_tasks

# "" is the server's own: REPEATABLE READ, on connections that the store opens itself.
LEVELS = ["", "READ COMMITTED", "SERIALIZABLE"]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_mariadb_keeps_the_contract_of_a_store_at_every_isolation_level(
    case: Callable[[Any], None], level: str, database: Database
) -> None:
    case(MariaDBSubject(database, level and f"SET SESSION TRANSACTION ISOLATION LEVEL {level}"))


@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_mariadb_keeps_the_contract_of_a_store_when_tasks_use_it(
    case: Callable[[Any], None], database: Database
) -> None:
    with on_tasks(AsyncMariaDBSubject(database)) as subject:
        case(subject)


@pytest.mark.parametrize("store", [MariaDBStore, AsyncMariaDBStore])
def test_mariadb_declares_what_it_promises(store: Any) -> None:
    assert store.declares == Declares(atomic=True, durable=True, cross_process=True, looks_first=False, ordered=True)
