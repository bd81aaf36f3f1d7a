"""Every defence of the store on SQLAlchemy that is taken away makes a named test fail."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import async_sessionmaker

from tests.broken.test_guard_twins import Twin
from tests.broken.test_postgres_twins import plain_select_after_a_lost_commit
from tests.guard.sqlalchemy import (
    test_claims,
    test_commit,
    test_connections,
    test_on_sqlite,
    test_on_tasks,
    test_refusals,
    test_sessions,
    test_task_commit,
    test_task_sessions,
)
from tests.guard.sqlalchemy.conftest import (
    backend,
    cluster,
    make_shop,
    on_mariadb,
    on_postgresql,
    server,
    shop,
    task_loop,
)
from tests.guard.sqlalchemy.test_commit import relay, relayed
from tests.guard.sqlalchemy.test_task_commit import relayed_tasks
from tests.guard.sqlalchemy.test_task_sessions import task_shop
from tocsin.guard._errors import StoreError
from tocsin.guard._turn import Turn
from tocsin.guard.stores.sqlalchemy import _async_store, _sqlite, _store
from tocsin.guard.stores.sqlalchemy._desk import Desk
from tocsin.guard.stores.sqlalchemy._mariadb import MariaDBDatabase, MariaDBWork
from tocsin.guard.stores.sqlalchemy._postgres import PostgresWork
from tocsin.guard.stores.sqlalchemy._sqlite import SQLiteWork
from tocsin.guard.stores.sqlalchemy._work import Work

__all__ = [
    "backend",
    "cluster",
    "make_shop",
    "on_mariadb",
    "on_postgresql",
    "relay",
    "relayed",
    "relayed_tasks",
    "server",
    "shop",
    "task_loop",
    "task_shop",
]

pytestmark = pytest.mark.usefixtures("litter_collected")


def no_flush_before_the_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Desk, "_flush", lambda *_: None)


def sessions_with_the_whole_transaction(patch: pytest.MonkeyPatch) -> None:
    """A session of the application's that does as sessions do."""

    def session_on(source: Any, connection: Any) -> Any:
        return source(bind=connection, join_transaction_mode="control_fully")

    patch.setattr(_store, "session_on", session_on)


def async_sessions_with_the_whole_transaction(patch: pytest.MonkeyPatch) -> None:
    make = async_sessionmaker.__call__

    def made(source: Any, **options: Any) -> Any:
        return make(source, **options | {"join_transaction_mode": "control_fully"})

    patch.setattr(async_sessionmaker, "__call__", made)


def statements_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PostgresWork, "control_in", Work.control_in)
    patch.setattr(SQLiteWork, "judge", Work.judge)


def no_savepoint_that_shows_whose_transaction_it_is(patch: pytest.MonkeyPatch) -> None:
    take = MariaDBDatabase.take

    def taken(*given: Any, **more: Any) -> Any:
        work = take(*given, **more)
        if isinstance(work, MariaDBWork):
            work._release = "DO 0"
        return work

    patch.setattr(MariaDBDatabase, "take", taken)


def sessions_not_watched(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_store, "watch_session", lambda *_: None)


def swallowed_errors_not_remembered(patch: pytest.MonkeyPatch) -> None:
    for work in (PostgresWork, MariaDBWork):
        patch.setattr(work, "failed", Work.failed)


def as_many_as_want_to(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_store, "Turn", lambda _: Turn(100))


def commit_cut_short(patch: pytest.MonkeyPatch) -> None:
    async def unshielded(work: Any) -> Any:
        return await work

    patch.setattr(_async_store, "shielded", unshielded)


def durability_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_sqlite, "_check_durable", lambda _: None)


def lock_waited_for_as_the_application_does(patch: pytest.MonkeyPatch) -> None:
    """With the driver's own time-out, which is 5 seconds if nobody says anything else."""
    patch.setattr(_sqlite.SQLiteDatabase, "_begin", lambda *given: given[1].execute("BEGIN IMMEDIATE"))


TRIED = test_refusals.test_a_handler_that_tried_to_end_the_transaction_is_500_whatever_it_then_returned
ENDED = test_refusals.test_a_transaction_that_was_ended_on_the_drivers_connection_is_500_and_never_remembered
DEADLOCK = test_claims.test_of_two_handlers_in_a_deadlock_one_runs_again
ADDED = test_sessions.test_an_object_that_was_only_added_is_written_with_the_claim
COMMITS = test_sessions.test_a_sessions_own_commit_commits_nothing_before_the_answer
CANCELLED = test_on_tasks.test_a_task_that_is_cancelled_at_commit_is_told_how_it_ended_and_cancelled_then
BEGIN = test_on_sqlite.test_on_sqlite_the_transaction_is_real_whatever_the_engines_begin_event_does
BEHIND = {"ends": ("commit", "BEGIN"), "gets": "connection"}
TWINS = [
    (Twin(no_flush_before_the_answer, ADDED), "sqlite"),
    (Twin(no_flush_before_the_answer, ADDED), "mariadb"),
    (Twin(sessions_with_the_whole_transaction, COMMITS), "postgresql"),
    (Twin(statements_not_looked_at, TRIED, {"ending": "COMMIT"}), "postgresql"),
    (Twin(statements_not_looked_at, TRIED, {"ending": "COMMIT"}), "sqlite"),
    (Twin(no_savepoint_that_shows_whose_transaction_it_is, ENDED, BEHIND), "mariadb"),
    (Twin(sessions_not_watched, test_refusals.test_writing_through_another_engine_is_refused), "sqlite"),
    (Twin(swallowed_errors_not_remembered, DEADLOCK, {"is_swallowed": True}), "postgresql"),
    (Twin(swallowed_errors_not_remembered, DEADLOCK, {"is_swallowed": True}), "mariadb"),
    (Twin(as_many_as_want_to, test_connections.test_whoever_waits_for_a_place_holds_no_connection), "postgresql"),
    (Twin(plain_select_after_a_lost_commit, test_commit.test_a_lost_commit_that_lands_late_is_waited_for), "mariadb"),
    (
        Twin(
            plain_select_after_a_lost_commit,
            test_task_commit.test_a_lost_commit_that_lands_late_is_waited_for,
            {"gets": "session"},
        ),
        "postgresql",
    ),
    (
        Twin(
            async_sessions_with_the_whole_transaction,
            test_task_sessions.test_a_sessions_own_commit_commits_nothing_before_the_answer,
        ),
        "postgresql",
    ),
    (
        Twin(
            no_flush_before_the_answer,
            test_task_sessions.test_what_the_session_cannot_write_in_the_end_is_500_and_nothing_is_kept,
        ),
        "mariadb",
    ),
    (Twin(commit_cut_short, CANCELLED), "sqlite"),
    (
        Twin(durability_not_looked_at, test_on_sqlite.test_on_sqlite_an_engine_that_gives_up_durability_is_refused),
        "sqlite",
    ),
    (Twin(lock_waited_for_as_the_application_does, BEGIN, {"recipe": "the documented BEGIN"}), "sqlite"),
]
each_twin = pytest.mark.parametrize(
    ("twin", "backend"), TWINS, indirect=["backend"], ids=[f"{twin}-{name}" for twin, name in TWINS]
)


@each_twin
@pytest.mark.usefixtures("backend")
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, StoreError)):
        twin.run(request)


@each_twin
@pytest.mark.usefixtures("backend")
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
