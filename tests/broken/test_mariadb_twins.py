"""Every defence of the MariaDB store that is taken away makes a named test fail."""

from types import MappingProxyType

import pymysql
import pytest

from tests.broken.test_guard_twins import Twin
from tests.broken.test_postgres_twins import plain_select_after_a_lost_commit
from tests.guard.mariadb import test_commit, test_contract, test_innodb, test_order, test_setup
from tests.guard.mariadb.conftest import database, make_shop, make_store, relay, relayed, server, shop
from tests.guard.mariadb.test_setup import empty
from tocsin.guard import TransactionMisuse, _contract_order, testing
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import StoreError
from tocsin.guard._store import Claim
from tocsin.guard.stores.mariadb import _claims, _ending, _schema, _sequences, _settings, _taking, _transaction
from tocsin.guard.stores.mariadb._ending import Ending
from tocsin.guard.stores.mariadb._session import Session
from tocsin.guard.stores.mariadb._taking import Taking
from tocsin.guard.stores.mariadb._talk import Say, Talk, said
from tocsin.guard.stores.mariadb._transaction import Watched

__all__ = ["database", "empty", "make_shop", "make_store", "relay", "relayed", "server", "shop"]

pytestmark = pytest.mark.usefixtures("litter_collected")


def insert_ignore(patch: pytest.MonkeyPatch) -> None:
    """No error for a duplicate key, and none for anything else."""
    inserting = _claims._inserting
    patch.setattr(_claims, "_inserting", lambda *given: inserting(*given).replace("INSERT INTO", "INSERT IGNORE INTO"))


def no_check_that_the_transaction_still_stands(patch: pytest.MonkeyPatch) -> None:
    def keeping(ending: Ending, answer: StoredAnswer) -> Talk[None]:
        yield from said(Say(ending._session, (_claims.answering(ending._claim, answer), "COMMIT")))

    patch.setattr(Ending, "_keeping", keeping)


def no_check_that_the_claim_is_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_claims, "MUST_HAVE_CHANGED", "DO 0")


def no_transaction(patch: pytest.MonkeyPatch) -> None:
    """As many an application opens its connections."""
    autocommit = pymysql.Connection.autocommit
    patch.setattr(pymysql.Connection, "autocommit", lambda connection, _: autocommit(connection, True))


def what_the_snapshot_shows_is_believed(patch: pytest.MonkeyPatch) -> None:
    def read(taking: Taking) -> Talk[object]:
        first = _claims.undoing(taking._savepoint)
        return (yield from _claims.reading_inside(taking._session, taking._claim.key, taking._until, first=first))

    patch.setattr(Taking, "_read", read)
    # How long it looks for what it cannot see.
    patch.setattr(test_innodb, "LONG_S", 0.3)


def deadlock_on_the_claim_taken_for_a_fault(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_taking, "trouble_with", lambda _: None)


def no_run_after_a_conflict(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Ending, "conflicts", lambda *_: False)


def engines_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_settings, "_OURS", set())


def keys_as_text(patch: pytest.MonkeyPatch) -> None:
    text = {name: sql.replace("`key` binary(32)", "`key` varchar(32)") for name, sql in _schema.TABLES.items()}
    patch.setattr(_schema, "TABLES", MappingProxyType(text))


def swept_at_the_applications_level(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_claims, "_READ_COMMITTED", "DO 0")


def control_statements_let_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_transaction, "control_in", lambda _: "")


def several_statements_let_through(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_transaction, "is_one", lambda _: True)


def answers_of_any_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_ending, "_ENVELOPE_OCTETS", -(10**9))


def a_handler_goes_on_after_a_deadlock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Watched, "_live", lambda tx, _: tx._session)


def names_of_any_length(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_taking, "_check", lambda _: None)


def dirty_reads_not_asked(patch: pytest.MonkeyPatch) -> None:
    def is_held(_: Taking) -> Talk[object]:
        yield from ()
        return True

    patch.setattr(Taking, "_is_held", is_held)


def numbers_not_compared(patch: pytest.MonkeyPatch) -> None:
    real = _sequences.moving

    def moving(session: Session, claim: Claim, until: float | None) -> Talk[bool]:
        yield from real(session, claim, until)
        return True

    patch.setattr(_sequences, "moving", moving)


def stream_locked_after_the_snapshot(patch: pytest.MonkeyPatch) -> None:
    """When it is asked whether the message is newer, and not with the claim."""
    locking, moving = _sequences.locking, _sequences.moving

    def late(session: Session, claim: Claim, until: float | None) -> Talk[bool]:
        yield from said(Say(session, (locking(claim),), until))
        return (yield from moving(session, claim, until))

    patch.setattr(_sequences, "locking", lambda _: "SELECT 1")
    patch.setattr(_sequences, "moving", late)


def changed_rows_counted_by_the_upsert(patch: pytest.MonkeyPatch) -> None:
    """One statement in place of two: 1 or 2 rows are a newer number, and 0 are none; without CLIENT_FOUND_ROWS."""
    locking = _sequences.locking

    def moving(session: Session, claim: Claim, until: float | None) -> Talk[bool]:
        assert claim.position is not None
        upsert = locking(claim).replace(", -1, ", f", {claim.position.number}, ", 1)
        upsert = upsert.replace("stream = VALUES(stream)", "number = GREATEST(number, VALUES(number))")
        replies = yield from said(Say(session, (upsert,), until))
        return replies[0].count > 0

    patch.setattr(_sequences, "locking", lambda _: "SELECT 1")
    patch.setattr(_sequences, "moving", moving)


ORDERED = _contract_order.a_message_is_applied_if_it_is_newer_than_all_before_it
CONTRACT = test_contract.test_mariadb_keeps_the_contract_of_a_store_at_every_isolation_level
ENDED = test_innodb.test_a_transaction_that_was_ended_behind_the_facade_is_500_and_never_remembered
DEADLOCK = test_innodb.test_of_two_handlers_in_a_deadlock_one_runs_again
TWINS = [
    Twin(numbers_not_compared, CONTRACT, {"case": ORDERED, "level": ""}),
    Twin(
        stream_locked_after_the_snapshot,
        test_order.test_a_handler_sees_all_that_its_stream_has_applied,
        {"level": "REPEATABLE READ"},
    ),
    Twin(
        changed_rows_counted_by_the_upsert,
        test_order.test_how_many_rows_a_statement_changed_is_told_by_either_meaning_of_that,
    ),
    Twin(insert_ignore, CONTRACT, {"case": testing.a_settled_key_is_not_granted_again, "level": ""}),
    Twin(no_check_that_the_transaction_still_stands, ENDED, {"controls": ["COMMIT", "BEGIN"], "claims": 1}),
    Twin(
        no_check_that_the_transaction_still_stands,
        test_innodb.test_after_a_deadlock_that_was_swallowed_behind_the_facade_nothing_is_kept,
    ),
    Twin(
        no_check_that_the_claim_is_there, test_commit.test_a_handler_that_deletes_its_claim_is_500_and_nothing_is_kept
    ),
    Twin(no_transaction, CONTRACT, {"case": testing.abandoned_claim_and_effect_are_gone, "level": ""}),
    Twin(no_transaction, test_setup.test_autocommit_is_switched_off_whatever_the_application_opened),
    Twin(plain_select_after_a_lost_commit, test_commit.test_a_lost_commit_that_lands_late_is_waited_for),
    Twin(
        what_the_snapshot_shows_is_believed,
        test_innodb.test_a_claim_that_is_committed_behind_a_snapshot_is_found,
    ),
    Twin(
        deadlock_on_the_claim_taken_for_a_fault,
        test_innodb.test_waiters_of_a_key_that_is_given_back_meet_in_a_deadlock_and_one_of_them_is_granted,
    ),
    Twin(no_run_after_a_conflict, DEADLOCK, {"is_swallowed": False}),
    Twin(a_handler_goes_on_after_a_deadlock, DEADLOCK, {"is_swallowed": True}),
    Twin(engines_not_looked_at, test_setup.test_a_table_of_claims_without_transactions_is_refused),
    Twin(keys_as_text, test_innodb.test_keys_are_told_apart_where_collations_would_not),
    Twin(swept_at_the_applications_level, test_innodb.test_a_sweep_stands_in_the_way_of_no_claim),
    Twin(
        control_statements_let_through,
        test_innodb.test_what_commits_without_being_asked_is_refused_and_the_answer_is_500,
        {"sql": "TRUNCATE TABLE orders"},
    ),
    Twin(several_statements_let_through, test_innodb.test_several_statements_in_one_text_are_refused),
    Twin(
        answers_of_any_length,
        test_innodb.test_an_answer_that_no_message_can_hold_is_500_and_the_log_names_the_option,
    ),
    Twin(names_of_any_length, test_innodb.test_a_name_that_the_server_would_cut_off_in_silence_is_refused),
    Twin(dirty_reads_not_asked, test_innodb.test_who_holds_the_key_is_told_from_who_holds_the_table),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, StoreError, TransactionMisuse)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
