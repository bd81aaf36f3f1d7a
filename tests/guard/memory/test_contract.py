from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from tests.guard.memory.subject import MemorySubject, OneProcess, OnTasks
from tocsin.guard.stores import Declares
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.testing import CONTRACT, kept_by, on_tasks

DECLARED = Declares(atomic=True, durable=False, cross_process=False, ordered=True)


def run(case: Callable[[Any], None], subject: MemorySubject, kind: str) -> None:
    with on_tasks(OnTasks(subject)) if kind == "tasks" else nullcontext(subject) as made:
        case(made)


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize("case", CONTRACT, ids=lambda case: case.__name__)
def test_inside_one_process_memory_keeps_all_of_the_contract(case: Callable[[Any], None], kind: str) -> None:
    run(case, OneProcess(), kind)


@pytest.mark.parametrize("case", kept_by(DECLARED), ids=lambda case: case.__name__)
def test_memory_keeps_as_much_of_the_contract_as_it_declares(case: Callable[[Any], None]) -> None:
    run(case, MemorySubject(), "threads")


@pytest.mark.parametrize(
    "case", [case for case in CONTRACT if case not in kept_by(DECLARED)], ids=lambda case: case.__name__
)
def test_across_processes_it_keeps_nothing_of_it(case: Callable[[Any], None]) -> None:
    """Each has claims of its own, so each applies the message once."""
    with pytest.raises(AssertionError):
        run(case, MemorySubject(), "threads")


def test_memory_declares_what_it_promises_and_no_more() -> None:
    assert MemoryStore.declares == DECLARED
