from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.guard.as_tasks import TaskSubject
from tests.guard.subjects import SQLiteSubject
from tocsin.guard.stores import Declares
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.testing import CONTRACT, a_key_is_not_taken_inside_of_itself


@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_sqlite_keeps_the_contract_of_a_store(case: Callable[[Any], None], tmp_path: Path) -> None:
    case(SQLiteSubject(tmp_path / "store.db"))


# Each take is a task of its own there, and none is inside of another.
ON_TASKS = [case for case in CONTRACT if case is not a_key_is_not_taken_inside_of_itself]


@pytest.mark.parametrize("case", ON_TASKS, ids=lambda case: case.__name__)
def test_sqlite_keeps_the_contract_of_a_store_when_tasks_use_it(case: Callable[[Any], None], tmp_path: Path) -> None:
    case(TaskSubject(tmp_path / "store.db"))


def test_sqlite_declares_what_it_promises() -> None:
    assert SQLiteStore.declares == Declares(atomic=True, durable=True, cross_process=True, ordered=True)
