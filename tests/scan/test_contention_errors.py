from dataclasses import replace

import pytest

from tests.scan.services_more.asking import ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Finding, Severity, Verdict
from tocsin.history import History
from tocsin.scan import _backoff
from tocsin.scan._bursts import too_few_answered
from tocsin.scan.checks import contention_errors
from tocsin.scan.checks.contention_errors import CHECK
from tocsin.wire import Delivery, Failure, Response

LATER = (("Retry-After", "1"),)


class Crowded(Shop):
    """The key defence removed: it copes with one connection at a time, and not with a crowd."""

    # A connection is counted until its thread has ended; one after the other there are two or three at most.
    crowd = 10

    def __init__(self, then: Answer) -> None:
        super().__init__()
        self.then = then

    def order(self, asked: Asked) -> Answer:
        return self.then if self.open_connections >= self.crowd else super().order(asked)


class Scripted(Shop):
    """Answers an order by its number, or None: as it should."""

    def __init__(self, answers: dict[int, Answer], *, last: Answer | None = None) -> None:
        super().__init__()
        self.answers = answers
        self.last = last
        self.orders = 0

    def order(self, asked: Asked) -> Answer:
        self.orders += 1
        answer = self.answers.get(self.orders, self.last if self.orders > max(self.answers, default=0) else None)
        return answer or super().order(asked)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a void burst, these services need no rest."""
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.02)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three clean bursts are enough."""
    monkeypatch.setattr(contention_errors, "_WANTED_BURSTS", 3)


def errors_of(finding: Finding) -> set[str]:
    return set(fact(finding, "errors"))


def test_thirty_clean_bursts_of_twenty_are_worth_their_bound() -> None:
    finding = ask(CHECK, Shop())
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "mixture") == {"last-byte n=20": 30}
    assert str(finding.bound) == "0 of 30 bursts: at most 9.6 % a burst (95 % upper limit)"


def test_a_server_error_in_a_crowd_is_found_and_told_from_one_in_turn() -> None:
    finding = ask(CHECK, Crowded(Answer(500)))
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert errors_of(finding) == {"500"}
    assert fact(finding, "also_sequential") is False
    assert finding.evidence.timeline is not None
    assert len(finding.evidence.timeline) == 20
    assert fact(finding, "came_back").endswith("of 5")
    assert "One after the other: no such answer." in finding.evidence.summary


def test_a_connection_that_is_closed_without_an_answer_is_as_bad() -> None:
    finding = ask(CHECK, Crowded(Answer(0)))
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert errors_of(finding) == {"closed without an answer"}


@pytest.mark.parametrize(
    ("headers", "error", "severity"),
    [(LATER, "503 with Retry-After", Severity.LOW), ((), "503", Severity.MEDIUM)],
    ids=["with Retry-After", "without"],
)
def test_a_503_is_low_if_it_says_when_to_come_back(
    headers: tuple[tuple[str, str], ...], error: str, severity: Severity
) -> None:
    finding = ask(CHECK, Crowded(Answer(503, headers=headers)))
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, severity)
    assert errors_of(finding) == {error}


def test_any_other_server_error_outweighs_a_polite_one() -> None:
    class Both(Crowded):
        def order(self, asked: Asked) -> Answer:
            self.then = Answer(500) if self.then.status == 503 else Answer(503, headers=LATER)
            return super().order(asked)

    finding = ask(CHECK, Both(Answer(500)))
    assert errors_of(finding) == {"500", "503 with Retry-After"}
    assert finding.severity is Severity.MEDIUM


@pytest.mark.parametrize("status", [409, 429])
@pytest.mark.usefixtures("few")
def test_a_refusal_is_no_error(status: int) -> None:
    shop = Scripted({number: Answer(status) for number in range(22, 60, 2)})
    finding = ask(CHECK, shop)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "mixture") == {"last-byte n=20": 3}


@pytest.mark.usefixtures("few")
def test_an_error_that_comes_in_turn_as_well_is_said_to() -> None:
    class EveryFourth(Shop):
        orders = 0

        def order(self, asked: Asked) -> Answer:
            self.orders += 1
            return Answer(500) if self.orders % 4 == 0 else super().order(asked)

    finding = ask(CHECK, EveryFourth())
    assert finding.verdict is Verdict.VIOLATED
    assert fact(finding, "also_sequential") is True
    assert "One after the other: 5 x 500." in finding.evidence.summary


def test_where_a_limiter_lets_nobody_through_nothing_can_be_told() -> None:
    finding = ask(CHECK, Scripted({21: Answer(429)}, last=Answer(429)))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "a rate limiter let only 0 of 2 members through" in finding.evidence.summary


@pytest.mark.usefixtures("few")
def test_a_burst_that_is_cut_off_early_is_void_and_sent_again_smaller() -> None:
    class WarmsUp(Shop):
        """Copes with more connections once some orders have come."""

        def apply(self, order: dict[str, object], asked: Asked) -> Answer:
            if self.applied.total() > 3:
                self.most_connections = 1000
            return super().apply(order, asked)

    shop = WarmsUp()
    shop.most_connections = 12
    finding = ask(CHECK, shop)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert finding.bound is not None
    assert finding.bound.void >= 1
    assert set(fact(finding, "mixture")) & {"last-byte n=10", "last-byte n=5"}
    assert "last-byte n=20" in fact(finding, "mixture")
    assert any("before the gate opened" in reason for reason in fact(finding, "void_bursts"))


def test_a_service_that_closes_every_burst_of_twenty_is_not_called_clean_for_what_it_makes_of_ten() -> None:
    shop = Shop()
    shop.most_connections = 12
    finding = ask(CHECK, shop)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.startswith("the service closed connections of every burst of 20 before")


@pytest.mark.usefixtures("few")
def test_a_small_limit_spreads_the_requests_over_several_resources() -> None:
    class Stocked(Shop):
        def other(self, asked: Asked) -> Answer:
            if asked.path != "/items":
                return Answer(404)
            self.stock[f"sku-{len(self.stock)}"] = 5
            return Answer(201, {"item": f"sku-{len(self.stock) - 1}"})

        def apply(self, order: dict[str, object], asked: Asked) -> Answer:
            item = str(order["item"])
            if not self.stock[item]:
                return Answer(409)
            self.stock[item] -= 1
            return super().apply(order, asked)

    shop = Stocked()
    finding = ask(
        CHECK,
        shop,
        request={"body": '{"id":"{{uuid}}","item":"{{item}}"}'},
        setup=[{"request": "POST /items", "extract": {"item": "/item"}}],
        limits={"effects": 5, "per": ["item"]},
    )
    assert finding.verdict is Verdict.NOT_OBSERVED
    # One for the control, and four for each burst.
    assert len(shop.stock) == 1 + 3 * 4
    assert set(list(shop.stock.values())[1:]) == {0}


def test_a_budget_that_ends_gives_the_bound_of_what_was_sent() -> None:
    finding = ask(CHECK, Shop(), budget={"effects": 70})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert finding.bound is not None
    assert finding.bound.trials == 3
    assert "70 effects" in finding.bound.detail


def test_a_budget_that_ends_before_the_first_burst_tells_nothing() -> None:
    finding = ask(CHECK, Shop(), budget={"effects": 20})
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "20 effects" in finding.evidence.summary


def test_a_share_of_the_time_that_is_over_gives_the_bound_of_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contention_errors, "_WANTED_BURSTS", 10**6)
    finding = ask(CHECK, Shop(), budget={"seconds": 2})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert finding.bound is not None
    assert "its share of the time ended" in finding.bound.detail or "2 s is used up" in finding.bound.detail


def test_a_hit_stays_one_where_the_budget_leaves_nothing_to_repeat_it() -> None:
    finding = ask(CHECK, Crowded(Answer(0)), budget={"effects": 25})
    assert finding.verdict is Verdict.VIOLATED
    assert fact(finding, "came_back") == "0 of 0"
    assert "25 effects" in fact(finding, "cut_short")
    assert "One after the other: not asked." in finding.evidence.summary


def test_without_a_fresh_variable_no_two_requests_are_distinct() -> None:
    finding = ask(CHECK, Shop(), request={"body": '{"id":"always"}'})
    assert finding.verdict is Verdict.NOT_APPLICABLE


def test_silence_and_an_answer_to_half_a_request_are_no_errors() -> None:
    """Only what is sent whole and then answered, or cut off, tells of the service."""
    failed = Response(500, (), b"")
    silent = Delivery(History(()), (None, failed), "", "unverified", 0, (Failure.TIMED_OUT, None), gate_opened_ns=1)
    assert contention_errors._errors(silent) == {"500": 1}
    assert too_few_answered(silent) == "1 of 2 members had no complete answer in time"
    assert contention_errors._errors(replace(silent, gate_opened_ns=None)) == {}
