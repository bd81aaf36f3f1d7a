from typing import Any

import pytest

from tests.scan.services.accounts import (
    BOTH,
    Accounts,
    FloatAccounts,
    LosesMoney,
    Pieces,
    TwoWrites,
    TwoWritesUnderLoad,
    WordyUnderLoad,
)
from tests.scan.services.desk import Desk
from tests.scan.services.scanning import Scan, scan
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks import intermediate_state
from tocsin.scan.checks.intermediate_state import _Reads

CHECK = "intermediate-state"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, brisk: None) -> None:  # noqa: ARG001  a fixture used for what it does
    monkeypatch.setattr(intermediate_state, "_WANTED_OVERLAPPING", 12)
    monkeypatch.setattr(intermediate_state, "_WANTED_BURSTS", 6)


def read(desk: Desk, **changed: object) -> Scan:
    return scan(desk, CHECK, **{**BOTH, **changed})


def test_readers_that_see_the_sum_at_every_moment_leave_a_bound_and_the_reads_that_overlapped() -> None:
    found = read(Accounts())
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("reads", "overlapping") >= 12
    assert found.finding.bound is not None
    assert found.finding.bound.trials >= 6
    assert "reads overlapped a request in flight" in found.finding.evidence.summary


def test_what_binary_floats_make_of_a_sum_breaks_nothing() -> None:
    desk = FloatAccounts()
    found = read(desk)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert desk.has_been_off


def test_a_reader_between_two_writes_of_one_transfer_is_proof_and_afterwards_it_holds_again() -> None:
    found = read(TwoWrites())
    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert found.fact("also_sequential") is True
    assert "showed /alice + /bob = 999, and it is 1000 at every moment" in found.finding.evidence.summary
    assert "After all answers it held again." in found.finding.evidence.summary


def test_what_shows_only_while_requests_overlap_is_found_by_a_burst() -> None:
    found = read(TwoWritesUnderLoad())
    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("also_sequential") is False
    assert found.finding.evidence.timeline is not None


def test_books_that_stay_wrong_are_worse() -> None:
    found = read(LosesMoney())
    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert found.fact("lasts") is True


def test_without_an_invariant_it_says_what_to_add() -> None:
    finding = scan(Desk(), CHECK).finding
    assert (finding.verdict, finding.evidence.summary) == (
        Verdict.NOT_APPLICABLE,
        "no [[invariant]]: say what every reader must see at every moment",
    )


def test_too_few_reads_that_overlapped_are_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intermediate_state, "_WANTED_OVERLAPPING", 1_000_000)
    finding = read(Accounts(), budget={"seconds": 1.5}).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "reads overlapped a request in flight; wanted 1000000: its share of the time ended" in (
        finding.evidence.summary
    )


def test_reads_without_numbers_count_for_nothing() -> None:
    found = read(WordyUnderLoad(), budget={"seconds": 1.5})
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert found.fact("reads", "unreadable") > 0


def test_an_invariant_that_is_none_is_found_at_rest_and_without_that_look_would_be_a_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = [{"request": "GET /accounts", "sum_of": ["/alice", "/bob"], "equals": 900}]
    finding = read(Accounts(), invariant=wrong).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "while nothing was sent, GET /accounts showed /alice + /bob = 1000, and it is 900" in (
        finding.evidence.summary
    )
    missing = [{"request": "GET /accounts", "sum_of": ["/carol"], "equals": 900}]
    assert "was answered 200: wanted 2xx with numbers" in read(Accounts(), invariant=missing).finding.evidence.summary

    monkeypatch.setattr(intermediate_state._Reads, "at_rest", lambda _: None)
    assert read(Accounts(), invariant=wrong).finding.verdict is Verdict.VIOLATED


PIECES: dict[str, Any] = {
    "invariant": [{"request": "GET /items/{{item}}", "sum_of": ["/stock", "/sold"], "equals": 5}],
    "limits": {"effects": 5, "per": ["item"]},
}


def test_readers_look_at_what_is_written_to_and_would_see_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read(Pieces(), **PIECES)
    assert found.finding.verdict is Verdict.VIOLATED
    assert "GET /items/{{item}} showed /stock + /sold = 4, and it is 5 at every moment" in (
        found.finding.evidence.summary
    )

    looks = _Reads._looks

    def elsewhere(reads: _Reads, _drafts: object) -> Any:
        stage = reads._context.stage
        return looks(reads, [stage.draft(stage.scene())])

    monkeypatch.setattr(_Reads, "_looks", elsewhere)
    assert read(Pieces(), **PIECES).finding.verdict is Verdict.NOT_OBSERVED
