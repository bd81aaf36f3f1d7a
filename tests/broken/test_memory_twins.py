"""Every defence of the store in memory that is taken away makes a named test fail."""

from collections.abc import Hashable
from typing import Any

import pytest

from tests.broken.test_guard_twins import Twin
from tests.guard.memory import test_contract, test_memory
from tests.guard.memory.test_memory import lock_file, store
from tocsin.guard import testing
from tocsin.guard.stores.memory._alone import Alone
from tocsin.guard.stores.memory._mutexes import Mutexes
from tocsin.guard.stores.memory._transaction import Transaction

__all__ = ["lock_file", "store"]

KEPT = test_contract.test_inside_one_process_memory_keeps_all_of_the_contract


def no_keyed_mutex(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Mutexes, "take", lambda *_: True)


def mutexes_kept_for_ever(patch: pytest.MonkeyPatch) -> None:
    """As with a dictionary of locks that nobody clears: whoever makes up names fills the memory."""
    patch.setattr(Mutexes, "_left", lambda *_: None)


def written_at_once(patch: pytest.MonkeyPatch) -> None:
    def put(_tx: Transaction, mapping: Any, key: Hashable, value: object) -> None:
        mapping[key] = value

    patch.setattr(Transaction, "put", put)


def half_of_the_writes_left(patch: pytest.MonkeyPatch) -> None:
    real = Transaction.commit

    def commit(tx: Transaction) -> None:
        for mapping, value in list(tx.writes.values())[:1]:
            mapping["a"] = value
        real(tx)

    patch.setattr(Transaction, "commit", commit)


def however_many_processes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Alone, "check", lambda _: None)


TWINS = [
    Twin(
        no_keyed_mutex,
        test_memory.test_a_lock_that_others_hold_for_too_long_is_503_and_a_blocking_one_is_refused_on_a_loop,
    ),
    Twin(mutexes_kept_for_ever, test_memory.test_64_that_read_and_then_write_under_one_lock_lose_nothing),
    Twin(written_at_once, KEPT, {"case": testing.before_settling_nobody_sees_claim_or_effect, "kind": "threads"}),
    Twin(written_at_once, KEPT, {"case": testing.abandoned_claim_and_effect_are_gone, "kind": "threads"}),
    Twin(
        half_of_the_writes_left,
        test_memory.test_where_one_write_is_refused_all_are_taken_back_and_the_claim_is_free,
    ),
    Twin(however_many_processes, test_memory.test_with_a_lock_file_a_second_process_applies_nothing),
]


def named(twin: Twin) -> str:
    """By the case too, where the noticing test has one."""
    case = twin.arguments.get("case")
    return str(twin) if case is None else f"{twin}-{case.__name__}"


@pytest.mark.parametrize("twin", TWINS, ids=named)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=named)
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
