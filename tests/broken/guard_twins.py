"""Twins of the guard: each takes one defence away, and leaves everything else as it is."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tocsin.guard import _decision, _guarded, _operation, _problems
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._decision import DECISIONS, Outcome, Relation, State
from tocsin.guard._errors import KeyRefused, StoreError
from tocsin.guard._flow import Ended, guarded
from tocsin.guard._keys import KeyRule, key_of
from tocsin.guard._operation import Operation
from tocsin.guard._steps import Abandon, Flow, Raised, Settle, Take
from tocsin.guard._store import Granted
from tocsin.guard._waiting import InFlight
from tocsin.guard.stores.sqlite import SQLiteStore, _claims, _schema, _writer
from tocsin.guard.stores.sqlite._authorizer import Authorizer
from tocsin.guard.stores.sqlite._member import Member
from tocsin.guard.stores.sqlite._transaction import Transaction
from tocsin.guard.stores.sqlite._unit import Unit
from tocsin.guard.stores.sqlite._writer import Writer
from tocsin.signing import Message, Rejected, Verified, verify


class Uncontrolled(sqlite3.Cursor):
    """A cursor that begins and ends nothing."""

    def execute(self, sql: str, *parameters: Any) -> "Uncontrolled":
        control = sql.startswith(("BEGIN", "COMMIT", "ROLLBACK"))
        return super().execute("SELECT 1" if control else sql, *parameters)


class Autocommit(sqlite3.Connection):
    """A connection whose every statement is committed by itself, and which says that it is in a transaction."""

    in_transaction = True

    def cursor(self, *_: Any) -> sqlite3.Cursor:  # type: ignore[override]
        return Uncontrolled(self)


def no_transaction(patch: pytest.MonkeyPatch) -> None:
    def connect(path: Path, *, mode: str, busy_s: float = 0.0) -> sqlite3.Connection:
        assert mode == "rw"
        return sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False, factory=Autocommit)

    patch.setattr(_writer, "connect", connect)


def no_unique_claim(patch: pytest.MonkeyPatch) -> None:
    tables = {name: statement.replace("NOT NULL UNIQUE", "NOT NULL") for name, statement in _claims.TABLES.items()}
    patch.setattr(_schema, "TABLES", tables)
    for name in ("_INSERT", "_INSERT_UNLESS_FORGOTTEN"):
        patch.setattr(_claims, name, getattr(_claims, name).replace("ON CONFLICT (key) DO NOTHING", ""))


def claim_before_verification(patch: pytest.MonkeyPatch) -> None:
    def claims_first(operation: Operation, message: Message, now_unix: float) -> Flow[Ended | Raised]:
        unverified = cast("Verified", SimpleNamespace(tenant="main", timestamp_unix=None))
        try:
            granted = yield Take(operation.claim(message, unverified, now_unix))
        except KeyRefused as refused:
            return Ended(_problems.bad_request(str(refused)))
        assert isinstance(granted, Granted)
        try:
            verify(message, operation.scheme, operation.keys, now=now_unix)
        except Rejected:
            yield Settle(granted, operation.stored(_problems.UNAUTHORIZED))
            return Ended(_problems.UNAUTHORIZED)
        yield Abandon(granted)
        return (yield from guarded(operation, message, now_unix))

    patch.setattr(_guarded, "guarded", claims_first)


def answer_stored_after_commit(patch: pytest.MonkeyPatch) -> None:
    def settle(member: Member, answer: StoredAnswer) -> None:
        member._leave()
        member.writer.commit()
        member.writer.begin(0)
        _claims.settle(member.writer.cursor, member.claim, answer)
        member._turns.keep(member._group, 0)

    patch.setattr(Member, "settle", settle)


def answer_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The answer leaves whether or not COMMIT succeeds."""

    def settle(member: Member, answer: StoredAnswer) -> None:
        member._finish(answer)
        with suppress(StoreError):
            member._turns.keep(member._group, 0)

    patch.setattr(Member, "settle", settle)


def no_authorizer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Authorizer, "__call__", lambda *_: sqlite3.SQLITE_OK)


def control_statements_without_a_mark(patch: pytest.MonkeyPatch) -> None:
    real = Writer.__init__

    def init(writer: Writer, *arguments: Any) -> None:
        real(writer, *arguments)
        writer._begin, writer._commit, writer._rollback = "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"

    patch.setattr(Writer, "__init__", init)


def no_check_that_the_transaction_stands(patch: pytest.MonkeyPatch) -> None:
    def write(unit: Unit, answer: StoredAnswer, _savepoint: str | None) -> None:
        _claims.settle(unit.writer.cursor, unit.claim, answer)

    def commit(writer: Writer) -> None:
        if writer.connection.in_transaction:
            writer.connection.execute(writer._commit)

    patch.setattr(Unit, "_write", write)
    patch.setattr(Writer, "commit", commit)
    patch.setattr(Transaction, "_live", lambda transaction: transaction._writer)


def key_id_in_the_scope(patch: pytest.MonkeyPatch) -> None:
    def scoped(rule: KeyRule, operation: str, message: Message, verified: Verified) -> bytes:
        return hashlib.sha256(key_of(rule, operation, message, verified) + str(verified.key_id).encode()).digest()

    patch.setattr(_operation, "key_of", scoped)


def no_fingerprint(patch: pytest.MonkeyPatch) -> None:
    blind = dict(DECISIONS) | {(State.ANSWERED, Relation.OTHER): Outcome.REPLAY}
    patch.setattr(_decision, "DECISIONS", blind)
    patch.setattr("tocsin.guard._flow.DECISIONS", blind)


def no_queue_for_a_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(InFlight, "join", lambda *_: None)
    patch.setattr(InFlight, "leave", lambda *_: None)


def duplicates_that_are_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    """They need a transaction as everybody else."""
    patch.setattr(InFlight, "has_met", lambda *_: False)


def no_memory_of_what_was_forgotten(patch: pytest.MonkeyPatch) -> None:
    timed = _claims._INSERT_UNLESS_FORGOTTEN.replace("WHERE NOT EXISTS", "WHERE true OR EXISTS")
    patch.setattr(_claims, "_INSERT_UNLESS_FORGOTTEN", timed)


def connections_shared_with_forked_children(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SQLiteStore, "before_fork", lambda _: None)
    patch.setattr(SQLiteStore, "renew_after_fork", lambda _: None)


def rows_that_outlive_their_handler(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Transaction, "end", lambda _: None)


Removal = Callable[[pytest.MonkeyPatch], None]
