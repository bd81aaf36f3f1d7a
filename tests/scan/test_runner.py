"""A run: its events in order, its time shared out, its end told whatever ends it, and repeated by its seed."""

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BEFORE, BYPASS, DUPLICATES, FIVE, LIMITS, REPLAYS, TOTAL, Scan, planned, scan
from tests.scan.services.serving import serving
from tocsin.events import CheckStarted, Event, FindingMade, Progressed, RunEnded, RunStarted
from tocsin.findings import Evidence, Severity, Verdict
from tocsin.history import History
from tocsin.scan import CHECKS, Options, addresses, run
from tocsin.scan._bursts import Seen, until_hit
from tocsin.scan._check import Check, Conclusion, Context
from tocsin.scan._compose import Draft
from tocsin.scan._errors import BudgetEnded, CannotTell
from tocsin.scan._race import Experiment, Members, race
from tocsin.scan._trials import watch
from tocsin.signing import Secret
from tocsin.wire import Burst, Delivery, deliver

pytestmark = pytest.mark.usefixtures("brisk")


def frame(found: Scan) -> list[str]:
    """The events that frame a run, each check with its id."""
    said = []
    for event in found.events:
        match event:
            case CheckStarted():
                said.append(f"started {event.check}")
            case FindingMade():
                said.append(f"finding {event.finding.check}")
            case RunStarted() | RunEnded():
                said.append(type(event).__name__)
    return said


def test_a_run_is_framed_by_its_start_and_its_end_and_every_check_has_a_finding() -> None:
    found = scan(Desk(), BEFORE, BYPASS)

    assert frame(found) == [
        "RunStarted",
        f"started {BEFORE}",
        f"finding {BEFORE}",
        f"started {BYPASS}",
        f"finding {BYPASS}",
        "RunEnded",
    ]
    started, ended = found.started, found.ended
    assert (started.operation, started.plan, started.checks, started.seed) == (
        "POST /order",
        "desk.toml",
        (BEFORE, BYPASS),
        1,
    )
    assert started.budget_s == 10
    assert (ended.interrupted, ended.left_behind) == ("", "")


def test_progress_is_told_for_the_check_that_makes_it() -> None:
    found = scan(Desk(), BYPASS)
    told = [event for event in found.events if isinstance(event, Progressed)]
    assert [event.done for event in told] == [6, 12, 13]
    assert {(event.check, event.phase, event.total) for event in told} == {(BYPASS, "probes", 13)}


def test_requests_and_effects_are_counted_as_they_came_in() -> None:
    desk = Desk()
    found = scan(desk, BYPASS, BEFORE)
    assert found.ended.requests == len(desk.asked)
    assert found.ended.effects == desk.taken


def test_without_a_reset_the_end_says_what_stays() -> None:
    found = scan(Desk(), BYPASS, reset=None, accept_effects=400)
    assert found.ended.left_behind == f"{found.ended.effects} effects that were read, and what [[setup]] made"


def test_a_reset_is_sent_first_and_last_even_when_the_time_is_over() -> None:
    desk = Desk()
    found = scan(desk, *FIVE, budget={"seconds": 0.1})

    assert (desk.asked[0].path, desk.asked[-1].path) == ("/__reset", "/__reset")
    assert found.ended.left_behind == ""
    assert "the budget of 0.1 s is used up" in found.findings[BYPASS].evidence.summary


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """In which order the members of each burst were released."""
    orders: list[tuple[int, ...]] = []

    def recording(burst: Burst, address: Any, *, rng: random.Random, nodes: Any) -> Delivery:
        before = rng.getstate()
        order = list(range(len(burst.requests)))
        rng.shuffle(order)
        orders.append(tuple(order))
        rng.setstate(before)
        return deliver(burst, address, rng=rng, nodes=nodes)

    monkeypatch.setattr("tocsin.scan._sending.deliver", recording)
    return orders


def test_the_same_seed_releases_in_the_same_order_and_another_one_does_not(released: list[tuple[int, ...]]) -> None:
    runs = []
    for seed in (17, 17, 18):
        released.clear()
        scan(Desk(), DUPLICATES, seed=seed)
        runs.append(list(released))

    assert len(runs[0]) == 6
    assert runs[0] == runs[1] != runs[2]


def test_the_same_seed_never_sends_an_id_again() -> None:
    desk = Desk()
    for _ in range(2):
        scan(desk, BEFORE, seed=17)
    ids = [asked.document["order_id"] for asked in desk.orders_asked()]
    assert max(ids.count(each) for each in ids) == 2  # a forgery, and the honest request with the same ids


def asked_by(*checks: Check, **changed: Any) -> tuple[list[Event], BaseException | None]:
    """Run checks of a test's own, and give what was raised beside the events."""
    desk = Desk()
    events: list[Event] = []
    with serving(desk):
        plan = planned(desk, **changed)
        try:
            run(plan, Secret(SECRET.encode()), addresses(plan), Options(checks, 1, ("tocsin",)), events.append)
        except (KeyboardInterrupt, ZeroDivisionError) as error:
            return events, error
    return events, None


def check_that(ask: Any, *, id: str = "a-check", missing: str = "") -> Check:  # noqa: A002  as a check calls it
    return Check(id, "A question?", (1,), "", 1, lambda _: missing, ask)


def sends_one(context: Context) -> None:
    scene = context.stage.scene()
    context.session.send(context.session.shot(context.stage.draft(scene)))


def test_an_interrupt_is_passed_on_once_the_end_has_said_what_may_be_left_behind() -> None:
    def interrupted(context: Context) -> Conclusion:
        sends_one(context)
        raise KeyboardInterrupt

    events, raised = asked_by(check_that(interrupted), check_that(interrupted, id="never"))
    ended = events[-1]

    assert isinstance(raised, KeyboardInterrupt)
    assert isinstance(ended, RunEnded)
    assert ended.interrupted == "interrupted by the user"
    assert ended.left_behind == (
        "0 effects that were read, and at most 1 more that were not, and what [[setup]] made; "
        "the last [reset] is missing"
    )
    assert not [event for event in events if isinstance(event, FindingMade)]


def test_an_interrupt_after_a_hit_waits_for_the_finding_and_for_nothing_else() -> None:
    """A hit of one part of a check is told, whatever part the interrupt meets; nothing is sent once it has come."""
    repeated: list[str] = []

    def once(_gentle: int) -> Seen:
        if repeated:
            raise KeyboardInterrupt
        repeated.append("no more than this")
        return Seen(2, "last-byte", History(()), hit="two at once")

    def compose(_size: int) -> Members:
        raise KeyboardInterrupt

    def hits(context: Context) -> Conclusion:
        tally = until_hit(context, once, wanted=2, enough=lambda: True)
        variant = Experiment("variant", compose, (2,), least=2, wanted=1, hit=lambda *_: "")
        outcome = race(context.session, variant, until=context.until)
        assert tally.hit is not None
        assert (tally.cut_short, outcome.cut_short) == ("interrupted by the user", "interrupted by the user")
        with pytest.raises(BudgetEnded, match="interrupted by the user"):
            sends_one(context)
        return Conclusion(Verdict.VIOLATED, Evidence(tally.hit.hit), severity=Severity.HIGH)

    events, raised = asked_by(check_that(hits), check_that(hits, id="never"))
    assert isinstance(raised, KeyboardInterrupt)
    [finding] = [event.finding for event in events if isinstance(event, FindingMade)]
    assert (finding.verdict, finding.evidence.summary) == (Verdict.VIOLATED, "two at once")


def test_an_interrupt_while_a_state_is_watched_costs_the_hit_no_more_than_a_budget_that_ends() -> None:
    class Interrupting(list[Draft]):
        def __iter__(self) -> Iterator[Draft]:
            raise KeyboardInterrupt

    def watches(context: Context) -> Conclusion:
        with pytest.raises(KeyboardInterrupt):
            watch(context.session, Interrupting(), since=0)
        context.session.has_hit = True
        assert watch(context.session, Interrupting(), since=0) == 0
        return Conclusion(Verdict.VIOLATED, Evidence("one"), severity=Severity.HIGH)

    events, raised = asked_by(check_that(watches))
    assert isinstance(raised, KeyboardInterrupt)
    assert [event.finding.verdict for event in events if isinstance(event, FindingMade)] == [Verdict.VIOLATED]


def test_a_hit_of_one_check_keeps_no_interrupt_from_the_next() -> None:
    def hits(context: Context) -> Conclusion:
        context.session.has_hit = True
        return Conclusion(Verdict.VIOLATED, Evidence("one"), severity=Severity.HIGH)

    def interrupted(context: Context) -> Conclusion:
        def compose(_size: int) -> Members:
            raise KeyboardInterrupt

        race(context.session, Experiment("a", compose, (2,), least=2, wanted=1, hit=lambda *_: ""), until=context.until)
        raise CannotTell("it went on")

    events, raised = asked_by(check_that(hits, id="first"), check_that(interrupted, id="second"))
    assert isinstance(raised, KeyboardInterrupt)
    assert [event.finding.check for event in events if isinstance(event, FindingMade)] == ["first"]


def test_a_bug_in_a_check_keeps_neither_the_others_from_being_asked_nor_the_end_from_being_told() -> None:
    def broken(_context: Context) -> Conclusion:
        raise ZeroDivisionError

    def cannot(_context: Context) -> Conclusion:
        raise CannotTell("it is dark")

    events, raised = asked_by(check_that(broken, id="first"), check_that(cannot, id="second"))
    ended = events[-1]
    assert isinstance(raised, ZeroDivisionError)
    assert isinstance(ended, RunEnded)
    assert (ended.interrupted[:34], ended.left_behind) == ("a bug in tocsin: ZeroDivisionError", "")
    findings = [event.finding for event in events if isinstance(event, FindingMade)]
    assert [(finding.verdict, finding.evidence.summary) for finding in findings] == [
        (Verdict.INCONCLUSIVE, ended.interrupted),
        (Verdict.INCONCLUSIVE, "it is dark"),
    ]


def test_a_bug_is_told_by_its_place_and_not_by_its_text_which_may_hold_what_was_sent() -> None:
    def broken(_context: Context) -> Conclusion:
        raise ZeroDivisionError(SECRET)

    events, raised = asked_by(check_that(broken))
    [finding] = [event.finding for event in events if isinstance(event, FindingMade)]
    assert SECRET in str(raised)
    assert re.fullmatch(r"a bug in tocsin: ZeroDivisionError at scan/_runner\.py:\d+", finding.evidence.summary)


def test_a_check_that_cannot_tell_or_does_not_apply_says_why_and_the_next_one_is_asked() -> None:
    def cannot(_context: Context) -> Conclusion:
        raise CannotTell("it is dark")

    events, _ = asked_by(
        check_that(cannot, id="first"),
        check_that(cannot, id="second", missing="no light"),
        check_that(cannot, id="third"),
    )
    findings = [event.finding for event in events if isinstance(event, FindingMade)]
    assert [(finding.verdict, finding.evidence.summary) for finding in findings] == [
        (Verdict.INCONCLUSIVE, "it is dark"),
        (Verdict.NOT_APPLICABLE, "no light"),
        (Verdict.INCONCLUSIVE, "it is dark"),
    ]


def test_what_one_check_does_not_use_of_its_time_goes_to_the_others() -> None:
    shares: list[float] = []

    def measures(context: Context) -> Conclusion:
        shares.append(context.until - context.session.deadline)
        raise CannotTell("measured")

    asked_by(check_that(measures), check_that(measures), check_that(measures, missing="x"), budget={"seconds": 100})
    # Half of 100 s, less the second that is kept for confirming a hit; then all that is left.
    assert shares == [pytest.approx(-50.5, abs=0.5), pytest.approx(-1, abs=0.1)]


def test_a_value_from_the_service_that_fits_into_no_request_ends_its_check_in_one_sentence() -> None:
    class Spaces(Desk):
        def make_item(self) -> Answer:
            return Answer(201, {"item": "sku 1"})

    finding = scan(Spaces(), BYPASS).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.startswith("a request of the plan cannot be sent: the request target is not a path")


def test_what_cannot_be_sent_before_the_first_check_or_after_the_last_is_told_as_well() -> None:
    class Spaces(Desk):
        def make_item(self) -> Answer:
            self.stock["sku 1"] = self.first_stock
            return Answer(201, {"item": "sku 1"})

    teardown = [{"request": "DELETE /items/{{item}}"}]
    undone = scan(Spaces(), BYPASS, teardown=teardown, state=[TOTAL], limits=None, reset=None, accept_effects=400)
    assert "[[teardown]]: a request of the plan cannot be sent: the request target" in undone.ended.left_behind

    other = {"request": "GET /other/{{item}}", "extract": {"other": "/other"}}
    setup = [{"request": "POST /items", "extract": {"item": "/item"}}, other]
    learned = scan(Spaces(), BYPASS, setup=setup, state=[{"answers": True}], limits=None)
    assert learned.finding.evidence.summary.startswith("not asked: a request of the plan cannot be sent")


def test_a_violated_finding_has_all_that_a_reader_needs_and_a_clean_one_has_no_remedy() -> None:
    found = scan(Unlocked(), DUPLICATES, REPLAYS, LIMITS)
    by_id = {check.id: check for check in CHECKS}
    for check, finding in found.findings.items():
        violated = finding.verdict is Verdict.VIOLATED
        assert (finding.cwe, finding.owasp) == ((by_id[check].cwe, by_id[check].owasp) if violated else ((), ""))
        assert (finding.reproducer is not None, finding.remedy is not None) == (violated, violated)
    assert [finding.verdict for finding in found.findings.values()].count(Verdict.VIOLATED) == 2


def test_a_resource_named_by_a_list_is_a_new_one_until_the_list_is_used_up() -> None:
    class Listed(Desk):
        def is_left(self, order: Any) -> bool:
            self.stock.setdefault(order["item"], 5)
            return super().is_left(order)

        def read(self, asked: Asked) -> Answer:
            self.stock.setdefault(asked.path.rpartition("/")[2], 5)
            return super().read(asked)

    items = {"item": {"fresh": "list", "values": [f"sku-{place}" for place in range(6)]}}
    once = scan(Listed(), LIMITS, setup=None, variables=items, reset=None, accept_effects=400)
    assert 'all 6 values of the variable "item" are used' in once.finding.evidence.summary
    assert once.fact("valid_bursts") == 4

    again = scan(Listed(), LIMITS, setup=None, variables=items)
    assert again.finding.verdict is Verdict.NOT_OBSERVED
