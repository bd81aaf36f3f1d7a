"""Every defence of the order of messages that is taken away makes a named test fail: flow, SQLite and memory.

Those of the stores on servers are in their own files.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.broken.test_guard_twins import Twin
from tests.broken.test_memory_twins import named
from tests.guard import test_sequence
from tests.guard.adapters import test_order
from tests.guard.adapters.conftest import make
from tests.guard.adapters.on_flask import OnFlask
from tests.guard.adapters.test_order import ordered
from tests.guard.memory import test_contract
from tests.guard.subjects import SQLiteSubject
from tocsin.guard import _contract_order as contract
from tocsin.guard import _flow, _guard, _operation, _problems
from tocsin.guard._flow import Ended
from tocsin.guard._log_events import Ending
from tocsin.guard._operation import Operation
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Abandon, Flow, Held, Raised
from tocsin.guard._store import Claim, Position
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.stores.memory._records import Records
from tocsin.guard.stores.memory._unit import Unit as MemoryUnit
from tocsin.guard.stores.sqlite import _claims, _sequences
from tocsin.guard.stores.sqlite._unit import Unit

__all__ = ["make", "ordered"]

Patch = pytest.MonkeyPatch


@pytest.fixture
def adapter() -> type[OnFlask]:
    """What the twins of the flow are served by."""
    return OnFlask


def on_sqlite(case: Callable[[Any], None], tmp_path: Path) -> None:
    """One case of the contract."""
    case(SQLiteSubject(tmp_path / "store.db"))


def messages_without_a_place(patch: Patch) -> None:
    patch.setattr(_operation, "position_of", lambda *_: None)


def superseded_and_not_remembered(patch: Patch) -> None:
    """As who answers 200 and forgets: its retry is decided on once more."""
    real = _flow._run

    def run(operation: Operation, claim: Claim, signed: Signed, granted: Held) -> Flow[Ended | Raised]:
        if claim.position is not None and not (yield from _flow._advanced(granted)):
            yield Abandon(granted)
            return Ended(_problems.SUPERSEDED, Ending.SUPERSEDED, "", claim)
        return (yield from real(operation, replace(claim, position=None), signed, granted))

    patch.setattr(_flow, "_run", run)


def whole_seconds_taken_for_numbers(patch: Patch) -> None:
    patch.setattr(_guard, "check_sequence", lambda *_: None)


def any_store_taken_for_ordered(patch: Patch) -> None:
    patch.setattr(_guard, "check_store", lambda _: None)


def _reworded(patch: Patch, old: str, new: str) -> None:
    assert old in _sequences.ADVANCE
    patch.setattr(_sequences, "ADVANCE", _sequences.ADVANCE.replace(old, new))


def numbers_not_compared(patch: Patch) -> None:
    _reworded(patch, "WHERE number < excluded.number", "")


def equal_numbers_taken_for_newer(patch: Patch) -> None:
    _reworded(patch, "number < excluded.number", "number <= excluded.number")


def number_committed_before_the_handler_runs(patch: Patch) -> None:
    real = Unit.advance

    def advance(unit: Unit, wait_s: float) -> bool:
        is_newer = real(unit, wait_s)
        unit.writer.authorizer.is_judging = False
        unit.writer.commit()
        unit.writer.begin(0)
        unit.writer.authorizer.is_judging = True
        return is_newer

    patch.setattr(Unit, "advance", advance)


def streams_swept_with_their_claims(patch: Patch) -> None:
    real = _claims.sweep

    def sweep(connection: sqlite3.Connection, now_unix_ms: int) -> int:
        connection.execute("DELETE FROM tocsin_sequences WHERE moved_unix_ms < ?", (now_unix_ms,))
        return real(connection, now_unix_ms)

    patch.setattr(_claims, "sweep", sweep)


def no_mutex_for_a_stream(patch: Patch) -> None:
    def advance(store: MemoryStore, unit: MemoryUnit, _wait_s: float) -> bool:
        assert unit.claim.position is not None
        return store._moved(unit, unit.claim.position)

    patch.setattr(MemoryStore, "advance", advance)


def number_in_memory_at_once(patch: Patch) -> None:
    real = MemoryStore._moved

    def moved(store: MemoryStore, unit: MemoryUnit, position: Position) -> bool:
        is_newer = real(store, unit, position)
        if is_newer:
            store._records.move(position)
        return is_newer

    patch.setattr(MemoryStore, "_moved", moved)


def numbers_in_memory_not_compared(patch: Patch) -> None:
    patch.setattr(Records, "number", lambda *_: -1)


IN_MEMORY = test_contract.test_inside_one_process_memory_keeps_all_of_the_contract
NEWER = contract.a_message_is_applied_if_it_is_newer_than_all_before_it
ABANDONED = contract.an_abandoned_message_leaves_no_number_behind
TWINS = [
    Twin(messages_without_a_place, test_order.test_an_older_message_is_answered_200_superseded_and_the_state_is_kept),
    Twin(messages_without_a_place, test_order.test_of_16_messages_at_once_the_newest_is_the_state),
    Twin(
        superseded_and_not_remembered,
        test_order.test_a_retry_of_what_was_superseded_gets_the_same_and_one_of_what_was_applied_too,
    ),
    Twin(whole_seconds_taken_for_numbers, test_sequence.test_what_cannot_be_ordered_is_refused_when_the_guard_is_built),
    Twin(
        any_store_taken_for_ordered,
        test_sequence.test_a_store_whose_transaction_does_not_cover_the_handlers_writes_is_refused,
    ),
    Twin(numbers_not_compared, on_sqlite, {"case": NEWER}),
    Twin(
        numbers_not_compared,
        on_sqlite,
        {"case": contract.an_older_message_waits_for_a_newer_one_that_has_not_ended},
    ),
    Twin(equal_numbers_taken_for_newer, on_sqlite, {"case": NEWER}),
    Twin(number_committed_before_the_handler_runs, on_sqlite, {"case": ABANDONED}),
    Twin(streams_swept_with_their_claims, on_sqlite, {"case": contract.sweeping_forgets_no_stream}),
    Twin(
        no_mutex_for_a_stream,
        IN_MEMORY,
        {"case": contract.an_older_message_waits_for_a_newer_one_that_has_not_ended, "kind": "threads"},
    ),
    Twin(number_in_memory_at_once, IN_MEMORY, {"case": ABANDONED, "kind": "threads"}),
    Twin(numbers_in_memory_not_compared, IN_MEMORY, {"case": NEWER, "kind": "threads"}),
]


@pytest.mark.parametrize("twin", TWINS, ids=named)
def test_the_named_test_fails_for_the_twin(twin: Twin, request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=named)
def test_the_same_test_passes_for_the_guard(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
