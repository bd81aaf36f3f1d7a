import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.documents import (
    NUMBERED,
    Documents,
    LooksThenWrites,
    ShowsItLate,
    TakesNoGap,
    WorksThemOff,
    WritesWhateverComes,
)
from tests.scan.services.scanning import LIMITS, Scan, scan
from tocsin.findings import Severity, Verdict
from tocsin.scan import _bursts
from tocsin.scan._errors import BudgetEnded
from tocsin.scan.checks import reordering

CHECK = "reordering"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, brisk: None) -> None:  # noqa: ARG001  a fixture used for what it does
    monkeypatch.setattr(reordering, "_WANTED_BURSTS", 12)
    monkeypatch.setattr(_bursts, "_STANDS_S", 0.01)


def numbered(desk: Desk, **changed: object) -> Scan:
    return scan(desk, CHECK, **{**NUMBERED, **changed})


def test_older_messages_that_are_answered_200_and_ignored_are_right() -> None:
    found = numbered(Documents())
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("newer_then_older")[0]["newer_was_accepted"]
    assert found.fact("newer_then_older")[0]["statuses"] == ["200", "200"]
    assert found.finding.bound is not None
    assert (found.finding.bound.trials, found.finding.bound.unit) == (12, "bursts")


def test_a_service_that_takes_no_gap_refuses_the_newer_one_and_is_right_too() -> None:
    found = numbered(TakesNoGap())
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert not found.fact("newer_then_older")[0]["newer_was_accepted"]


def test_an_older_message_that_is_applied_over_a_newer_one_is_found_one_after_the_other() -> None:
    found = numbered(WritesWhateverComes())
    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert found.fact("also_sequential") is True
    assert "A message with number 2 was accepted, then an older one with 1, and" in found.finding.evidence.summary
    assert found.finding.remedy is not None
    assert found.finding.remedy.guard_call == ""


def test_a_look_at_the_number_before_the_write_is_found_by_a_burst_alone() -> None:
    found = numbered(LooksThenWrites())
    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("also_sequential") is False
    assert not any(round_["undone"] for round_ in found.fact("newer_then_older"))
    assert max(found.fact("accepted")) > int(found.fact("applied"))
    assert found.finding.evidence.timeline is not None


def test_a_counter_of_the_plans_own_serves_as_well_where_a_document_is_new() -> None:
    found = numbered(Documents(), variables={"seq": {"fresh": "counter"}})
    assert found.finding.verdict is Verdict.NOT_OBSERVED


def test_without_a_sequence_it_says_what_to_add() -> None:
    finding = scan(Desk(), CHECK).finding
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert finding.evidence.summary.startswith("no [sequence]: say which variable")


class Refuses(Documents):
    def signed(self, _asked: Asked) -> Answer:
        return Answer(409)


def test_a_service_that_takes_no_ordered_pair_either_leaves_it_open() -> None:
    finding = numbered(Refuses()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "in order, a message with number 1 was answered 409, and" in finding.evidence.summary


def test_with_room_for_one_message_there_is_no_order() -> None:
    finding = numbered(Documents(), limits={"effects": 1, "per": ["item"]}).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "two are needed to have an order" in finding.evidence.summary


def test_a_number_that_shows_late_is_no_proof_and_would_be_one_without_the_second_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finding = numbered(ShowsItLate()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "went from 1 to 2 while nothing was sent" in finding.evidence.summary

    monkeypatch.setattr(reordering, "moved_later", lambda *_, members: None)  # noqa: ARG005  a name of the call
    assert numbered(ShowsItLate()).finding.verdict is Verdict.VIOLATED


APPLIED = {"request": "GET /versions/{{item}}", "pointer": "/version", "settle_ms": 5}


def test_messages_that_are_worked_off_one_by_one_are_waited_for_and_would_be_a_finding_after_one_more_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reordering, "_SIZES", (6,))
    slow = {"sequence": {"variable": "seq", "applied": APPLIED}}
    finding = numbered(WorksThemOff(), **slow).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "while nothing was sent: effects arrive later than settle_ms says" in finding.evidence.summary

    monkeypatch.setattr("tocsin.scan._bursts.math.ceil", lambda _: 1)
    assert numbered(WorksThemOff(), **slow).finding.verdict is Verdict.VIOLATED


def test_a_hit_that_the_budget_leaves_unconfirmed_is_no_clean_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise BudgetEnded("the budget is used up")

    original = _bursts.moved_later
    monkeypatch.setattr(
        reordering, "moved_later", lambda session, _, *rest, **of: original(session, ended, *rest, **of)
    )
    finding = numbered(LooksThenWrites()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.endswith("whether later effects undo that: the budget is used up")


def test_ignored_older_messages_are_no_lost_updates_of_over_allocation() -> None:
    limits = {"effects": 5, "per": ["item"]}
    found = scan(Documents(stock=5), LIMITS, **{**NUMBERED, "limits": limits})
    assert found.finding.verdict is Verdict.NOT_OBSERVED
