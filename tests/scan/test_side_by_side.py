"""What checks share, and what is sent a few at a time: nothing is told otherwise for it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import BEFORE, BYPASS, REPLAYS, scan
from tocsin.findings import Verdict
from tocsin.scan import _sending, _trials

pytestmark = pytest.mark.usefixtures("brisk")
INJECTION = "instruction-injection"


class Counts(Desk):
    """Knows how many forgeries are inside at once, and lets them wait for each other for a moment."""

    wait_s = 0.05

    def __init__(self) -> None:
        super().__init__()
        self.inside = self.most = self.forged = 0
        self.changed = threading.Condition()

    @contextmanager
    def company(self) -> Iterator[int]:
        """How many are inside, oneself included."""
        with self.changed:
            self.inside, self.forged = self.inside + 1, self.forged + 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.inside > 1, self.wait_s)
            inside = self.inside
        try:
            yield inside
        finally:
            with self.changed:
                self.inside -= 1

    def unsigned(self, asked: Asked) -> Answer:
        with self.company():
            return super().unsigned(asked)


class MindsCompany(Counts):
    """Turns away whatever comes beside another one."""

    wait_s = 0.0

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.busy = answer
        self.turned_away = 0

    def unsigned(self, _asked: Asked) -> Answer:
        with self.company() as inside:
            if inside > 1 or self.forged == 1:
                self.turned_away += 1
                return self.busy
            return Answer(401)


def test_forgeries_are_sent_a_few_at_a_time() -> None:
    desk = Counts()
    assert scan(desk, INJECTION).finding.verdict is Verdict.NOT_OBSERVED
    assert 1 < desk.most <= _sending.SIDE_BY_SIDE


@pytest.mark.parametrize("answer", [Answer(429), Answer(503), Answer(0)], ids=lambda answer: str(answer.status))
def test_a_service_that_minds_company_is_asked_one_by_one_from_then_on(answer: Answer) -> None:
    desk = MindsCompany(answer)
    found = scan(desk, INJECTION, BEFORE)
    assert {finding.verdict for finding in found.findings.values()} == {Verdict.NOT_OBSERVED}
    # Those of the first few that met company, or were the first; none later.
    assert 1 <= desk.turned_away <= _sending.SIDE_BY_SIDE
    if answer.status:
        told = found.findings[INJECTION].evidence.facts["statuses"]
        assert isinstance(told, dict)
        assert set(told.values()) == {"401"}


def test_without_asking_again_alone_a_service_that_minds_company_would_hide_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert scan(MindsCompany(Answer(429)), BYPASS).finding.verdict is Verdict.NOT_OBSERVED
    monkeypatch.setattr(_sending, "LIMITED", frozenset())
    finding = scan(MindsCompany(Answer(429)), BYPASS).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "a rate limiter turned" in finding.evidence.summary


class OfTheirOwn(Desk):
    """Every order has a number of its own to read."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = self.most = 0
        self.changed = threading.Condition()

    def read(self, asked: Asked) -> Answer:
        with self.changed:
            self.reading += 1
            self.most = max(self.most, self.reading)
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.reading > 1, 0.02)
        answer = super().read(asked)
        with self.changed:
            self.reading -= 1
        return answer


def test_states_of_several_trials_are_read_a_few_at_a_time() -> None:
    desk = OfTheirOwn()
    assert scan(desk, BEFORE).finding.verdict is Verdict.NOT_OBSERVED
    assert desk.most > 1


def test_reads_that_are_turned_away_in_company_are_asked_again_alone() -> None:
    class OneReader(OfTheirOwn):
        def read(self, asked: Asked) -> Answer:
            answer = super().read(asked)
            with self.changed:
                return Answer(429) if self.reading else answer

    desk = OneReader()
    assert scan(desk, BEFORE).finding.verdict is Verdict.NOT_OBSERVED


def test_checks_that_follow_closely_share_a_control_and_the_room_of_a_resource() -> None:
    def honest(desk: Desk) -> int:
        return sum(desk.is_signed(asked) for asked in desk.orders_asked())

    one, other, both = Desk(), Desk(), Desk()
    scan(one, REPLAYS)
    scan(other, BYPASS)
    scan(both, REPLAYS, BYPASS)
    assert honest(both) < honest(one) + honest(other)


def test_a_control_is_asked_anew_once_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_trials, "LOOK_AGAIN_S", 0.0)
    found = scan(Desk(), BYPASS, BEFORE)
    controls = [finding.evidence.facts["control"] for finding in found.findings.values()]
    monkeypatch.setattr(_trials, "LOOK_AGAIN_S", 60.0)
    shared = [finding.evidence.facts["control"] for finding in scan(Desk(), BYPASS, BEFORE).findings.values()]
    assert controls[0] is not controls[1]
    assert shared[0] == shared[1]
