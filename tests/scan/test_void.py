"""A burst that was not delivered as planned shows nothing: it is sent again, smaller and slower, and is never clean."""

import threading

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.limited import Limited, LimitedById
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, LIMITS, Scan, scan
from tocsin.findings import Verdict
from tocsin.scan import _backoff, _trials

pytestmark = pytest.mark.usefixtures("brisk", "no_pauses")


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(_backoff, "_LONGEST_HOLD_S", 0.005)


def reasons(found: Scan) -> dict[str, int]:
    """Why bursts were void, without the members' names."""
    voids: dict[str, int] = found.fact("variants", "identical").get("void_bursts", {})
    return voids


class Together(Desk):
    """Copies that come together get another answer than a copy alone. Who comes alone waits 20 ms to know."""

    def __init__(self, together: Answer) -> None:
        super().__init__()
        self.together = together
        self.inside: dict[bytes, int] = {}
        self.seen: set[bytes] = set()
        self.changed = threading.Condition()

    def order(self, asked: Asked) -> Answer:
        with self.changed:
            self.inside[asked.body] = self.inside.get(asked.body, 0) + 1
            if self.inside[asked.body] > 1:
                self.seen.add(asked.body)
                self.changed.notify_all()
            together = self.changed.wait_for(lambda: asked.body in self.seen, timeout=0.02)
        answer = self.together if together else super().order(asked)
        with self.changed:
            self.inside[asked.body] -= 1
        return answer


@pytest.mark.parametrize(
    ("together", "reason"),
    [
        (Answer(429), "a rate limiter let only 0 of 2 members through"),
        (Answer(503), "a rate limiter let only 0 of 2 members through"),
        (Answer(421), "2 of 2 members were not looked at (2 x 421)"),
        (Answer(425), "2 of 2 members were not looked at (2 x 425)"),
        (Answer(0), "2 of 2 members were not answered"),
        (Answer(401), "no member was accepted (2 x 401)"),
        (Answer(200), "no member was accepted (2 x 200)"),
    ],
)
def test_bursts_that_never_get_through_are_void_and_twelve_in_a_row_leave_the_check_open(
    together: Answer, reason: str
) -> None:
    found = scan(Together(together), DUPLICATES)

    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert f"12 bursts in a row were void: {reason}" in found.finding.evidence.summary
    assert found.fact("variants", "identical", "valid_bursts") == 0
    assert sum(reasons(found).values()) == 12
    assert len([burst for burst in found.bursts if burst.void]) == 12


def test_void_bursts_get_smaller_until_two_members_are_left() -> None:
    found = scan(Together(Answer(429)), DUPLICATES)
    assert [len(burst.history) for burst in found.bursts] == [20, 10, 5, *([2] * 9)]


def test_a_limiter_that_lets_one_copy_through_lets_no_race_happen_and_is_no_defence() -> None:
    found = scan(LimitedById(1), DUPLICATES)

    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert "a rate limiter let only 1 of 2 members through" in found.finding.evidence.summary


def test_a_limiter_that_lets_two_copies_through_leaves_a_burst_worth_something() -> None:
    found = scan(LimitedById(2), DUPLICATES)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("variants", "identical", "valid_bursts") == 6


class OneUnheard(Desk):
    """Somebody in front of the service gives the third copy of a message back unread: the others run."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status
        self.copies: dict[bytes, int] = {}

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.copies[asked.body] = self.copies.get(asked.body, 0) + 1
            unheard = self.copies[asked.body] == 3
        return Answer(self.status) if unheard else super().order(asked)


@pytest.mark.parametrize("status", [421, 425])
def test_one_member_that_nobody_looked_at_voids_a_burst_as_a_refused_stream_does(status: int) -> None:
    found = scan(OneUnheard(status), DUPLICATES)
    bound = found.finding.bound

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert bound is not None
    assert {kind.partition(" ")[2] for kind in bound.mixture} == {"n=2"}
    assert reasons(found)[f"1 of 20 members were not looked at (1 x {status})"] == 1


def test_a_member_that_nobody_looked_at_would_count_as_one_that_did_not_race(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trials, "UNHEARD", frozenset())
    found = scan(OneUnheard(421), DUPLICATES)
    bound = found.finding.bound

    assert bound is not None
    assert "n=20" in {kind.partition(" ")[2] for kind in bound.mixture}


@pytest.mark.parametrize("status", [421, 425])
def test_an_honest_burst_that_was_not_looked_at_says_nothing_of_contention(status: int) -> None:
    class Unheard(Desk):
        """Looks at one order at a time only when it has seen three."""

        def order(self, asked: Asked) -> Answer:
            with self.lock:
                alone = self.taken < 1
            return super().order(asked) if alone else Answer(status)

    finding = scan(Unheard(), "contention-errors").finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert f"2 of 2 members were not looked at (2 x {status})" in finding.evidence.summary


@pytest.mark.parametrize("status", [421, 425])
def test_a_control_that_was_not_looked_at_is_sent_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trials, "LIMITED_WAITS_S", (0.0,))
    found = scan(Limited(range(2, 10_000), status=status), DUPLICATES)
    assert found.finding.verdict is Verdict.NOT_OBSERVED


class TurnsSomeAway(Desk):
    """The first burst is turned away whole; what comes later is not."""

    def __init__(self) -> None:
        super().__init__()
        self.bursts: list[bytes] = []

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            # Control, room (two orders) and the twin come before the first burst.
            if asked.body not in self.bursts:
                self.bursts.append(asked.body)
            limited = self.bursts.index(asked.body) in {4, 5}
        return Answer(429) if limited else super().order(asked)


def test_void_bursts_are_counted_beside_the_clean_ones_and_do_not_count_as_such() -> None:
    found = scan(TurnsSomeAway(), DUPLICATES)
    bound = found.finding.bound

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert bound is not None
    assert (bound.trials, bound.void) == (6, 2)
    assert reasons(found) == {
        "a rate limiter let only 0 of 20 members through": 1,
        "a rate limiter let only 0 of 10 members through": 1,
    }


class AnswersEarly(Desk):
    """Answers as soon as the head of a request is there: nobody can hold a last byte back."""

    reads_bodies = False


def test_a_burst_that_is_answered_before_its_gate_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "_HOLD_S", 0.1)
    monkeypatch.setattr(_backoff, "_LONGEST_HOLD_S", 0.1)
    found = scan(AnswersEarly(), DUPLICATES)
    early = [reason for reason in reasons(found) if "answered 401 before the gate opened" in reason]

    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert early
    assert "only the style whole can be delivered, and none is trusted alone" in found.finding.evidence.summary


class RacesAndHangsUp(Unlocked):
    """Applies copies twice, and tells nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[bytes, int] = {}

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.copies[asked.body] = self.copies.get(asked.body, 0) + 1
        answer = super().order(asked)
        return Answer(0) if self.orders[asked.document["order_id"]] > 1 else answer


def test_an_effect_too_many_is_one_even_where_the_burst_was_void() -> None:
    found = scan(RacesAndHangsUp(), DUPLICATES)

    assert found.finding.verdict is Verdict.VIOLATED
    decisive = next(burst for burst in found.bursts if burst.effects and burst.effects > 1)
    assert "members were not answered" in decisive.void


def test_over_allocation_needs_more_members_than_remain() -> None:
    class LetsFiveThrough(Desk):
        """As many orders for an item as there are pieces, and then no more."""

        def __init__(self) -> None:
            super().__init__()
            self.of_item: dict[str, int] = {}

        def order(self, asked: Asked) -> Answer:
            with self.lock:
                item = asked.document["item"]
                self.of_item[item] = self.of_item.get(item, 0) + 1
                through = self.of_item[item] <= 5
            return super().order(asked) if through else Answer(429)

    finding = scan(LetsFiveThrough(), LIMITS).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "a rate limiter let only 5 of 6 members through" in finding.evidence.summary
