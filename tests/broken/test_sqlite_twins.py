"""Every defence of the SQLite store's groups and turns that is taken away makes a named test fail."""

import pytest

from tests.broken import sqlite_twins
from tests.broken.test_guard_twins import Twin
from tests.guard import (
    test_process_turn,
    test_sqlite_cancellation,
    test_sqlite_checkpoints,
    test_sqlite_faults,
    test_sqlite_groups,
    test_sqlite_processes,
    test_sqlite_setup,
    test_sqlite_tasks,
    test_sqlite_turns,
)
from tests.guard.test_process_turn import path, turns  # noqa: F401  fixtures
from tests.guard.test_sqlite_tasks import shop  # noqa: F401  likewise
from tests.guard.test_sqlite_turns import store  # noqa: F401  likewise
from tocsin.guard.stores.sqlite import _group

TWINS = [
    Twin(
        sqlite_twins.no_rerun_of_a_broken_group,
        test_sqlite_groups.test_64_threads_of_which_one_breaks_the_transaction_are_applied_once_and_answered,
    ),
    Twin(
        sqlite_twins.no_rerun_of_a_broken_group,
        test_sqlite_groups.test_a_deferred_constraint_that_fails_the_shared_commit_is_500_for_its_own_request_alone,
    ),
    Twin(
        sqlite_twins.a_rerun_that_shares_its_transaction,
        test_sqlite_groups.test_what_runs_again_shares_its_transaction_with_nobody,
    ),
    Twin(
        sqlite_twins.answer_before_the_shared_commit,
        test_sqlite_groups.test_nobody_is_answered_before_the_shared_commit,
    ),
    Twin(
        sqlite_twins.who_wrote_nothing_does_not_wait,
        test_sqlite_groups.test_nobody_is_answered_before_the_shared_commit,
    ),
    Twin(
        sqlite_twins.who_wrote_nothing_does_not_wait,
        test_sqlite_groups.test_a_duplicate_in_the_same_group_is_answered_after_the_commit_of_what_it_saw,
    ),
    Twin(
        sqlite_twins.no_check_that_the_groups_transaction_stands,
        test_sqlite_groups.test_64_threads_of_which_one_breaks_the_transaction_are_applied_once_and_answered,
    ),
    Twin(
        sqlite_twins.a_rollback_that_erases_the_neighbours_writes,
        test_sqlite_groups.test_a_handler_that_raises_undoes_its_own_writes_and_nobody_elses,
    ),
    Twin(
        sqlite_twins.a_turn_that_outlives_its_process,
        test_process_turn.test_kill_9_of_who_has_the_turn_lets_the_next_one_in,
    ),
    Twin(
        sqlite_twins.no_gate_before_the_turn,
        test_process_turn.test_who_has_just_had_the_turn_cannot_come_back_before_who_waits,
    ),
    Twin(
        sqlite_twins.an_inherited_lock_that_a_child_keeps,
        test_process_turn.test_a_forked_child_neither_has_nor_keeps_its_parents_turn,
    ),
    Twin(
        sqlite_twins.a_cancelled_task_that_takes_an_open_group_with_it,
        test_sqlite_cancellation.test_a_task_that_is_cancelled_as_the_turn_comes_to_it_hands_it_on,
        {"after": ()},
    ),
    Twin(
        sqlite_twins.what_is_not_committed_taken_for_committed,
        test_sqlite_tasks.test_what_is_not_committed_yet_is_not_found,
    ),
    Twin(
        sqlite_twins.a_transaction_that_is_left_open_and_forgotten,
        test_sqlite_tasks.test_a_transaction_that_was_left_open_is_committed_after_who_has_the_turn,
    ),
    Twin(
        sqlite_twins.a_commit_on_the_event_loop,
        test_sqlite_tasks.test_one_task_begins_on_the_loop_and_commits_off_it,
    ),
    Twin(
        sqlite_twins.a_turn_of_the_process_that_is_taken_before_its_group_is_ready,
        test_sqlite_processes.test_a_task_keeps_other_processes_waiting_only_when_its_group_is_ready,
    ),
    Twin(
        sqlite_twins.a_gate_that_is_opened_by_asking_who_stands_in_it,
        test_process_turn.test_who_passes_the_turn_on_learns_whether_somebody_waits_and_lets_nobody_past_him,
    ),
    Twin(
        sqlite_twins.a_log_that_is_copied_by_whoever_has_the_turn,
        test_sqlite_checkpoints.test_nobody_waits_while_the_log_is_copied,
    ),
    Twin(
        sqlite_twins.a_log_that_is_copied_whatever_the_application_says,
        test_sqlite_checkpoints.test_an_application_that_says_when_the_log_is_copied_is_left_to_it,
    ),
    Twin(
        sqlite_twins.a_copy_of_the_log_that_takes_its_commit_down,
        test_sqlite_checkpoints.test_a_commit_stands_though_no_thread_can_be_started,
    ),
    Twin(
        sqlite_twins.an_interrupt_that_keeps_the_turn_at_the_file,
        test_sqlite_faults.test_an_interrupt_while_a_transaction_ends_leaves_the_file_to_other_processes,
    ),
    Twin(
        sqlite_twins.an_interrupt_that_keeps_the_turn_of_the_process,
        test_sqlite_turns.test_an_interrupt_at_the_end_of_a_handler_passes_the_turn_on,
        {"end": "abandon"},
    ),
    Twin(
        sqlite_twins.a_side_thread_that_dies_of_what_it_is_given,
        test_sqlite_turns.test_what_fails_on_the_thread_that_commits_does_not_end_it,
    ),
    Twin(
        sqlite_twins.a_sweep_that_takes_the_answer_down,
        test_sqlite_turns.test_a_sweep_of_a_task_that_cannot_be_committed_raises_nothing,
    ),
    Twin(
        sqlite_twins.a_late_commit_that_forgets_the_group_that_is_open,
        test_sqlite_tasks.test_a_commit_that_comes_too_late_for_its_group_is_made_for_the_next_one,
    ),
    Twin(
        sqlite_twins.a_connection_that_is_open_while_its_process_forks,
        test_sqlite_setup.test_what_a_forked_child_commits_stands_though_its_parent_has_closed_the_file,
    ),
    Twin(
        sqlite_twins.a_child_that_opens_what_it_has_inherited,
        test_sqlite_setup.test_a_child_with_an_inherited_connection_is_refused_the_file_until_it_has_closed_that,
    ),
]


@pytest.fixture(autouse=True)
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the tests: a group is not closed for its age."""
    monkeypatch.setattr(_group, "LONGEST_S", 60.0)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(request)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_store(twin: Twin, request: pytest.FixtureRequest) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(request)
