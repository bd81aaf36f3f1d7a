"""Every defence of the Django store and adapter that is taken away makes a named test fail."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from tests.broken.test_guard_twins import Twin
from tests.guard.django import test_contract, test_handlers, test_postgres, test_views
from tests.guard.django.conftest import loop, make_shop, settings, shop, site
from tests.guard.django.test_postgres import relayed
from tests.guard.postgres.conftest import cluster, database, relay
from tests.guard.postgres.relay import Cut
from tocsin.guard import _contract_order, testing
from tocsin.guard._errors import TransactionBroken
from tocsin.guard.adapters.django import _responses
from tocsin.guard.adapters.django._refusals import Plain, Rest
from tocsin.guard.stores.django import DjangoStore, _postgresql, _tasks, _unit
from tocsin.guard.stores.django._block import Block
from tocsin.guard.stores.django._postgresql import PostgreSQL
from tocsin.guard.stores.django._sqlite import SQLite
from tocsin.guard.stores.django._unit import Unit
from tocsin.guard.stores.django._watch import Watch
from tocsin.guard.stores.postgres import _claims as postgres_claims
from tocsin.guard.stores.postgres import _sequences as postgres_sequences
from tocsin.guard.stores.sqlite import _sequences as sqlite_sequences

__all__ = ["cluster", "database", "loop", "make_shop", "relay", "relayed", "settings", "shop", "site"]

Patch = pytest.MonkeyPatch


@pytest.fixture
def vendor(request: pytest.FixtureRequest) -> str:
    """The database of a twin's test."""
    return "postgresql" if request.node.callspec.params["twin"] in ON_POSTGRESQL else "sqlite"


pytestmark = pytest.mark.usefixtures("litter_collected")


def unmarked_views(patch: Patch) -> None:
    """ATOMIC_REQUESTS and the CSRF middleware as they are."""
    patch.setattr("django.db.transaction.non_atomic_requests", lambda **_: lambda view: view)


def joins_whatever_transaction_is_open(patch: Patch) -> None:
    patch.setattr(DjangoStore, "_check", lambda *_: None)


def faults_of_the_block_overlooked(patch: Patch) -> None:
    patch.setattr(Block, "fault", "")
    patch.setattr(Block, "_is_innermost", True)


def control_statements_let_through(patch: Patch) -> None:
    def through(_watch: Any, execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
        return execute(sql, params, many, context)

    patch.setattr(Watch, "__call__", through)
    patch.setattr(SQLite, "judge", lambda *_, **__: None)


def without(patch: Patch, module: Any, phrase: str, words: str, instead: str = "") -> None:
    """Take words out of a statement that the store shares with PostgresStore."""
    said = getattr(module, phrase)
    assert words in said.text
    patch.setattr(module, phrase, replace(said, text=said.text.replace(words, instead)))


def answer_stored_in_whatever_transaction(patch: Patch) -> None:
    condition = " AND pg_current_xact_id()::text = %(transaction)s"
    assert condition in _postgresql._SETTLE
    patch.setattr(_postgresql, "_SETTLE", _postgresql._SETTLE.replace(condition, ""))


def commit_believed_without_its_tag(patch: Patch) -> None:
    commit = PostgreSQL.commit
    patch.setattr(PostgreSQL, "commit", lambda database, raw: commit(database, raw) is not None)


def commit_by_djangos_block_alone(patch: Patch) -> None:
    """Its errors are the handler's, and a lost connection says that nothing was applied."""
    patch.setattr(_unit, "CommitUnknown", TransactionBroken)


def on_commit_before_the_claims_commit(patch: Patch) -> None:
    keep = Unit._keep

    def early(unit: Unit, answer: Any) -> None:
        for _, callback, _ in unit.connection.run_on_commit:
            callback()
        keep(unit, answer)

    patch.setattr(Unit, "_keep", early)


def writes_elsewhere_let_through(patch: Patch) -> None:
    patch.setattr(_unit, "watching_others", lambda *_: nullcontext())


def no_run_after_a_conflict(patch: Patch) -> None:
    patch.setattr(Unit, "conflicts", lambda *_: False)


def lost_connections_not_replaced(patch: Patch) -> None:
    attempt = DjangoStore._attempt

    def once(store: DjangoStore, *claim: Any, is_first: bool) -> Any:
        del is_first
        return attempt(store, *claim, is_first=False)

    patch.setattr(DjangoStore, "_attempt", once)


def whoever_comes_is_granted(patch: Patch) -> None:
    """As a table of marks has it that nobody looks into."""
    take = SQLite.take

    def unguarded(database: SQLite, raw: Any, claim: Any, wait_s: float, prepared: object) -> Any:
        raw.execute("DELETE FROM tocsin_claims WHERE key = ?", (claim.key,))
        return take(database, raw, claim, wait_s, prepared)

    patch.setattr(SQLite, "take", unguarded)


def threads_shared_by_tasks(patch: Patch) -> None:
    patch.setattr(_tasks, "_check_thread", lambda: None)


def lock_timeout_not_put_back(patch: Patch) -> None:
    back = "set_config('lock_timeout', current_setting('tocsin.lock_timeout'), true)"
    without(patch, postgres_claims, "CLAIM", f", {back}", ", NULL")


def templates_rendered_by_django(patch: Patch) -> None:
    """After the commit, as Django does it for everybody else."""

    def answer(rendered: Any, response: Any) -> Any:
        response.content = b"not rendered"
        return real(rendered, response)

    real = _responses.Rendered.answer
    patch.setattr(_responses.Rendered, "answer", answer)


def defects_remembered_as_the_application_renders_them(patch: Patch) -> None:
    def rendered(asked: Any, error: Exception) -> Any:
        return asked.finished(asked._view.handle_exception(error)) if isinstance(asked, Rest) else plain(asked, error)

    plain = Plain.refusal
    patch.setattr(Rest, "refusal", rendered)


def numbers_not_compared_on_sqlite(patch: Patch) -> None:
    comparison = "WHERE number < excluded.number"
    assert comparison in sqlite_sequences.ADVANCE
    patch.setattr(sqlite_sequences, "ADVANCE", sqlite_sequences.ADVANCE.replace(comparison, ""))


def numbers_not_compared_on_postgresql(patch: Patch) -> None:
    without(patch, postgres_sequences, "_ADVANCE", "WHERE s.number < excluded.number")


ORDER = test_contract.test_django_keeps_the_contract_of_a_store
NEWER = {"case": _contract_order.a_message_is_applied_if_it_is_newer_than_all_before_it}
HANDLERS, VIEWS, POSTGRES = test_handlers, test_views, test_postgres
BROKE = HANDLERS.test_a_handler_that_broke_its_transaction_is_500_whatever_it_returned_and_nothing_is_kept
TRIED = HANDLERS.test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned
ENDED = HANDLERS.test_a_transaction_that_was_ended_behind_django_is_500_and_never_remembered
LOST = POSTGRES.test_a_connection_that_is_lost_at_commit_is_found_out_by_taking_the_claim_again

TWINS = [
    Twin(numbers_not_compared_on_sqlite, ORDER, NEWER),
    Twin(
        unmarked_views,
        VIEWS.test_atomic_requests_begin_nothing_around_a_guarded_view_and_commit_no_answer_of_500,
    ),
    Twin(
        joins_whatever_transaction_is_open,
        HANDLERS.test_inside_somebody_elses_transaction_the_guard_refuses_and_runs_nothing,
    ),
    Twin(faults_of_the_block_overlooked, BROKE, {"breaks": HANDLERS.set_rollback, "vendor": "sqlite"}),
    Twin(control_statements_let_through, TRIED, {"sql": "COMMIT"}),
    Twin(
        on_commit_before_the_claims_commit,
        HANDLERS.test_on_commit_runs_after_the_guards_commit_and_once_and_not_after_a_rollback,
    ),
    Twin(
        whoever_comes_is_granted,
        test_contract.test_django_keeps_the_contract_of_a_store,
        {"case": testing.of_many_concurrent_takers_one_is_granted},
    ),
    Twin(threads_shared_by_tasks, HANDLERS.test_an_async_view_whose_requests_share_one_thread_is_refused),
    Twin(
        templates_rendered_by_django,
        VIEWS.test_a_template_is_rendered_before_the_answer_is_stored,
        {"is_async": False},
    ),
    Twin(
        defects_remembered_as_the_application_renders_them,
        VIEWS.test_answers_of_rest_framework_are_rendered_and_its_errors_are_its_own,
    ),
]
ON_POSTGRESQL = [
    Twin(numbers_not_compared_on_postgresql, ORDER, NEWER),
    Twin(answer_stored_in_whatever_transaction, ENDED, {"control": ["COMMIT", "BEGIN"], "vendor": "postgresql"}),
    Twin(commit_believed_without_its_tag, POSTGRES.test_commit_counts_only_by_its_tag),
    Twin(commit_by_djangos_block_alone, LOST, {"cut": Cut.AFTER}),
    Twin(
        writes_elsewhere_let_through,
        HANDLERS.test_a_write_to_another_database_is_refused_unless_it_may_happen_twice,
    ),
    Twin(
        no_run_after_a_conflict,
        POSTGRES.test_a_serialization_failure_runs_the_handler_again,
        {"level": 3, "swallowed": ()},
    ),
    Twin(lost_connections_not_replaced, POSTGRES.test_a_kept_connection_that_the_server_has_closed_is_replaced),
    Twin(lock_timeout_not_put_back, POSTGRES.test_lock_timeout_is_the_applications_own_while_the_handler_runs),
]


@pytest.mark.parametrize("twin", [*TWINS, *ON_POSTGRESQL], ids=str)
def test_the_named_test_fails_for_the_twin(twin: Twin, request: pytest.FixtureRequest, monkeypatch: Patch) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", [*TWINS, *ON_POSTGRESQL], ids=str)
def test_the_same_test_passes_for_the_guard(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
