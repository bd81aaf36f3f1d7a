"""Every defence of the guard that is taken away makes a named test fail.

A test that still passed for its twin would not notice if the guard lost that defence.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.broken import guard_twins
from tests.broken.guard_twins import Removal
from tests.guard import (
    test_crash_at_every_statement,
    test_differential,
    test_flask_answers,
    test_flask_concurrency,
    test_retention_in_a_service,
    test_sqlite_faults,
    test_sqlite_setup,
    test_sqlite_transaction,
)
from tests.guard.subjects import SQLiteSubject
from tocsin.guard import testing


@dataclass(frozen=True, slots=True)
class Twin:
    """A defence, and the test that notices when it is gone.

    Args:
        removal: takes the defence away.
        noticed_by: the test; its fixtures are found by their names.
        arguments: its other arguments.
    """

    removal: Removal
    noticed_by: Callable[..., object]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.removal.__name__}-{self.noticed_by.__name__}"

    def run(self, request: pytest.FixtureRequest) -> None:
        """Run the test."""
        wanted = inspect.signature(self.noticed_by).parameters.keys() - self.arguments.keys()
        self.noticed_by(**self.arguments, **{name: request.getfixturevalue(name) for name in wanted})


def of_many_concurrent_takers_one_is_granted(tmp_path: Path) -> None:
    testing.of_many_concurrent_takers_one_is_granted(SQLiteSubject(tmp_path / "store.db"))


def abandoned_claim_and_effect_are_gone(tmp_path: Path) -> None:
    testing.abandoned_claim_and_effect_are_gone(SQLiteSubject(tmp_path / "store.db"))


TWINS = [
    Twin(guard_twins.no_transaction, abandoned_claim_and_effect_are_gone),
    Twin(
        guard_twins.no_transaction,
        test_flask_answers.test_anything_else_that_is_raised_is_rolled_back_and_raised_and_a_retry_runs,
        {"error": RuntimeError},
    ),
    Twin(guard_twins.no_unique_claim, of_many_concurrent_takers_one_is_granted),
    Twin(
        guard_twins.no_unique_claim,
        test_flask_concurrency.test_duplicates_in_two_processes_have_one_effect_and_one_answer,
    ),
    Twin(
        guard_twins.claim_before_verification,
        test_flask_answers.test_whatever_is_wrong_with_a_signature_is_one_401_and_writes_nothing,
        {"headers": [("X-Signature", "a" * 64)]},
    ),
    Twin(
        guard_twins.answer_stored_after_commit,
        test_crash_at_every_statement.test_a_crash_before_any_statement_leaves_all_of_it_or_none_of_it,
        {"number": 4},
    ),
    Twin(
        guard_twins.answer_before_commit,
        test_sqlite_transaction.test_a_deferred_constraint_that_fails_at_commit_is_500_and_nothing_is_kept,
    ),
    Twin(
        guard_twins.no_authorizer,
        test_sqlite_transaction.test_a_handler_that_tried_to_end_its_transaction_is_500_whatever_it_then_returned,
        {"sql": "COMMIT"},
    ),
    Twin(
        guard_twins.control_statements_without_a_mark,
        test_sqlite_transaction.test_a_commit_that_the_guard_has_run_before_is_still_refused,
    ),
    Twin(
        guard_twins.no_check_that_the_transaction_stands,
        test_sqlite_transaction.test_a_handler_whose_statement_rolled_the_transaction_back_is_500,
        {"sql": "INSERT OR ROLLBACK INTO things VALUES (1)"},
    ),
    Twin(guard_twins.key_id_in_the_scope, test_differential.test_a_retry_under_a_rotated_secret_takes_effect_once),
    Twin(
        guard_twins.no_fingerprint, test_flask_answers.test_the_same_key_with_another_request_is_422_and_learns_nothing
    ),
    Twin(
        guard_twins.no_queue_for_a_key,
        test_flask_concurrency.test_a_duplicate_that_has_waited_wait_s_is_told_409_and_when_to_retry,
    ),
    *[
        Twin(guard_twins.duplicates_that_are_not_looked_for, noticed_by)
        for noticed_by in (
            test_sqlite_faults.test_a_duplicate_is_answered_while_another_program_holds_the_lock,
            test_sqlite_faults.test_a_duplicate_of_before_a_restart_is_answered_too_as_soon_as_it_has_waited,
        )
    ],
    Twin(
        guard_twins.no_memory_of_what_was_forgotten,
        test_retention_in_a_service.test_a_clock_that_goes_back_does_not_bring_forgotten_messages_back,
        {"swept": True},
    ),
    Twin(
        guard_twins.connections_shared_with_forked_children,
        test_sqlite_setup.test_a_forked_child_has_connections_and_locks_of_its_own,
    ),
    Twin(
        guard_twins.rows_that_outlive_their_handler,
        test_sqlite_transaction.test_a_transaction_and_its_rows_end_with_the_handler,
    ),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_guard(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
