"""Twins of the SQLite store's groups and turns: each takes one defence away, and leaves everything else as it is."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from tests.guard import task_shop, test_process_turn, test_sqlite_checkpoints, test_sqlite_turns
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import StoreError, StoreUnavailable
from tocsin.guard._sleepers import SleepingThread
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlite import SQLiteStore, _claims
from tocsin.guard.stores.sqlite._checkpoints import Checkpoints
from tocsin.guard.stores.sqlite._file_turn import FileTurn
from tocsin.guard.stores.sqlite._group import Group
from tocsin.guard.stores.sqlite._member import Member
from tocsin.guard.stores.sqlite._process_turn import ProcessTurn, _Locks
from tocsin.guard.stores.sqlite._side_thread import SideThread
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.stores.sqlite._write_turns import WriteTurns
from tocsin.guard.stores.sqlite._writer import Writer

# A twin whose test waits for ever is caught when the wait ends.
_SOON_S = 0.2


def no_rerun_of_a_broken_group(patch: pytest.MonkeyPatch) -> None:
    """Everybody in it is told to come again."""
    real = Group._failed
    patch.setattr(Group, "broken", lambda group: StoreUnavailable("broken") if group.asleep else None)

    def failed(group: Group, error: sqlite3.Error) -> StoreError:
        told = real(group, error)
        return StoreUnavailable("broken") if group.asleep else told

    patch.setattr(Group, "_failed", failed)


def a_rerun_that_shares_its_transaction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SQLiteStore, "will_run_alone", lambda *_: None)


def answer_before_the_shared_commit(patch: pytest.MonkeyPatch) -> None:
    """Whoever leaves its transaction to others does not wait for them."""
    patch.setattr(SleepingThread, "sleep", _only_for_the_turn(SleepingThread.sleep))


def _only_for_the_turn(real: Any) -> Any:
    def sleep_or_not(sleeper: SleepingThread, timeout_s: float) -> bool:
        # A thread that waits for the turn is in the queue of a Turn; here it is told apart by who calls.
        import sys  # noqa: PLC0415  of this twin alone

        is_member = sys._getframe(1).f_code is WriteTurns.keep.__code__
        return True if is_member else bool(real(sleeper, timeout_s))

    return sleep_or_not


def who_wrote_nothing_does_not_wait(patch: pytest.MonkeyPatch) -> None:
    """A handler that raised, and a duplicate that was found in the group, are answered at once."""

    def drop(turns: WriteTurns, group: Group, savepoint: str | None, _wait_s: float) -> None:
        if turns._is_undone(group, savepoint):
            turns._given_back()

    patch.setattr(WriteTurns, "drop", drop)


def no_check_that_the_groups_transaction_stands(patch: pytest.MonkeyPatch) -> None:
    def write(unit: Unit, answer: StoredAnswer, savepoint: str | None) -> None:
        with suppress(sqlite3.Error):
            _claims.settle(unit.writer.cursor, unit.claim, answer)
            if savepoint is not None:
                unit.writer.release_savepoint(savepoint)

    def commit(writer: Writer) -> None:
        if writer.connection.in_transaction:
            writer.connection.execute(writer._commit)

    patch.setattr(Unit, "_write", write)
    patch.setattr(Writer, "commit", commit)


def a_rollback_that_erases_the_neighbours_writes(patch: pytest.MonkeyPatch) -> None:
    """The one transaction is everybody's, and nobody has a savepoint."""

    def is_undone(writer: Writer, _savepoint: str) -> bool:
        writer.roll_back()
        return writer.try_begin()

    patch.setattr(Writer, "is_undone", is_undone)


def a_turn_that_outlives_its_process(patch: pytest.MonkeyPatch) -> None:
    """A file that is there or not, in place of a lock that the kernel frees."""
    patch.setattr(test_process_turn, "LONG_S", _SOON_S)
    path = Path

    def try_take(locks: _Locks) -> bool:
        try:
            os.close(os.open(_flag(locks, path), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def take(locks: _Locks) -> None:
        while not try_take(locks):
            sleep(_SOON_S / 10)

    patch.setattr(_Locks, "try_take", try_take)
    patch.setattr(_Locks, "take", take)
    patch.setattr(_Locks, "pass_on", lambda locks: path(_flag(locks, path)).unlink(missing_ok=True))


def _flag(locks: _Locks, path: type[Path]) -> str:
    return f"{path(f'/proc/self/fd/{locks._turn}').readlink()}-taken"


def no_gate_before_the_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tocsin.guard.stores.sqlite._process_turn._NAMES", ("turn", "turn"))


def an_inherited_lock_that_a_child_keeps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ProcessTurn, "renew_after_fork", lambda _: None)


def a_cancelled_task_that_takes_an_open_group_with_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(task_shop, "LONG_S", _SOON_S)
    patch.setattr(WriteTurns, "_given_back", lambda turns: turns._turn.pass_on())


def what_is_not_committed_taken_for_committed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WriteTurns, "is_open", False)


def a_transaction_that_is_left_open_and_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Its COMMIT is begun if the turn is free, and else it is left to whoever has the turn."""
    patch.setattr(task_shop, "LONG_S", _SOON_S)

    def take_for(turn: Turn, begin: Any) -> None:
        if turn.try_take():
            begin()

    patch.setattr(Turn, "take_for", take_for)


def a_commit_on_the_event_loop(patch: pytest.MonkeyPatch) -> None:
    async def run(_off_loop: object, act: Any, **_: Any) -> Any:
        return act()

    patch.setattr("tocsin.guard.stores.sqlite._side_thread.SideThread.run", run)


def a_turn_of_the_process_that_is_taken_before_its_group_is_ready(patch: pytest.MonkeyPatch) -> None:
    async def at_once(_turn: FileTurn) -> None: ...

    patch.setattr(FileTurn, "_rest_of_the_group", at_once)


def a_gate_that_is_opened_by_asking_who_stands_in_it(patch: pytest.MonkeyPatch) -> None:
    """To the system, what a process asks is what its helper has."""

    def pass_on(turn: ProcessTurn) -> None:
        assert turn._locks is not None
        turn._locks.are_awaited()
        turn._locks.pass_on()

    patch.setattr(ProcessTurn, "pass_on", pass_on)


def a_log_that_is_copied_by_whoever_has_the_turn(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(test_sqlite_checkpoints, "LONG_S", _SOON_S)
    patch.setattr(SideThread, "start", lambda _, act: act())


def a_log_that_is_copied_whatever_the_application_says(patch: pytest.MonkeyPatch) -> None:
    real = Writer._asked
    patch.setattr(Writer, "_asked", lambda writer, sql: 0 if "autocheckpoint" in sql else real(writer, sql))


def a_copy_of_the_log_that_takes_its_commit_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Checkpoints, "committed", lambda copies, _rows: copies._thread.start(copies._copy))


def an_interrupt_that_keeps_the_turn_at_the_file(patch: pytest.MonkeyPatch) -> None:
    def end(turn: FileTurn, writer: Writer, *, is_usable: bool = True, kept: int = 0) -> None:
        turn._last_kept = kept
        turn._pass_on(is_usable=is_usable and writer.is_rolled_back())

    patch.setattr(FileTurn, "end", end)


def an_interrupt_that_keeps_the_turn_of_the_process(patch: pytest.MonkeyPatch) -> None:
    def leave(member: Member) -> None:
        try:
            member._end_handler()
        finally:
            member._desk.leave(member)

    patch.setattr(Member, "_leave", leave)


def a_side_thread_that_dies_of_what_it_is_given(patch: pytest.MonkeyPatch) -> None:
    def serve(acts: Any, _name: str) -> None:
        with suppress(MemoryError):
            while (act := acts.get()) is not None:
                act()

    patch.setattr("tocsin.guard.stores.sqlite._side_thread._serve", serve)
    patch.setattr(test_sqlite_turns, "LONG_S", _SOON_S)


def a_sweep_that_takes_the_answer_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tocsin.guard._sweeping.StoreError", StoreUnavailable)


def a_late_commit_that_forgets_the_group_that_is_open(patch: pytest.MonkeyPatch) -> None:
    def close(turns: WriteTurns, group: Group) -> None:
        def commit_off_loop() -> None:
            if turns._group is group:
                turns._commit_off_loop()
            else:
                turns._off_loop.start(turns._turn.pass_on)

        turns._turn.take_for(commit_off_loop)

    patch.setattr(WriteTurns, "_close", close)
    patch.setattr(task_shop, "LONG_S", _SOON_S)


def a_connection_that_is_open_while_its_process_forks(patch: pytest.MonkeyPatch) -> None:
    """And a child that opens the file all the same."""
    patch.setattr(SQLiteStore, "before_fork", lambda _: None)
    a_child_that_opens_what_it_has_inherited(patch)


def a_child_that_opens_what_it_has_inherited(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tocsin.guard.stores.sqlite._schema.refuse_if_inherited", lambda _: None)
