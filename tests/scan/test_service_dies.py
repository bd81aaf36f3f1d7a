"""A service that dies during a scan: what was read before stays read, and one clear sentence says the rest."""

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BYPASS, DUPLICATES, FIVE, LIMITS, REPLAYS, Scan, scan
from tocsin.findings import Verdict
from tocsin.scan import _sending

pytestmark = pytest.mark.usefixtures("brisk", "impatient")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sending, "_RETRY_AFTER_S", (0.001, 0.002))


class Dies(Desk):
    """Dies when the order with a given number comes in."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.come = 0

    def order(self, asked: Asked) -> Answer:
        answer = super().order(asked)
        with self.lock:
            self.come += 1
            if self.come == self.at:
                self.is_open = False
        return answer


def gone(found: Scan) -> str:
    return f"{found.started.target}: the connection was refused; nothing listens on that port"


# Control, room for two and a twin of twenty come before the first burst, of which the fifth member is the last straw.
IN_A_BURST = 1 + 2 + 20 + 5


def test_a_service_that_dies_in_a_burst_leaves_that_check_and_all_later_ones_open() -> None:
    found = scan(Dies(IN_A_BURST), *FIVE)

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.INCONCLUSIVE}
    assert found.findings[DUPLICATES].evidence.summary == f"identical: {gone(found)}"
    for check in (REPLAYS, LIMITS, BYPASS):
        assert found.findings[check].evidence.summary == f"not asked: {gone(found)}"
    assert found.ended.interrupted == gone(found)
    assert found.ended.left_behind == (
        "4 effects that were read, and at most 20 more that were not, and what [[setup]] made; "
        "the last [reset] is missing"
    )


def test_a_service_that_dies_between_bursts_is_told_by_the_check_that_noticed() -> None:
    found = scan(Dies(2), REPLAYS, DUPLICATES)

    assert found.findings[DUPLICATES].evidence.summary == f"during this check, {gone(found)}"
    assert found.findings[REPLAYS].evidence.summary == f"not asked: {gone(found)}"


def test_a_service_that_is_not_there_from_the_start_is_asked_nothing() -> None:
    desk = Dies(1)
    desk.is_open = False
    found = scan(desk, *FIVE)

    assert len(desk.asked) == 1
    assert found.ended.interrupted == gone(found)
    assert found.ended.left_behind == ""


class DiesAtOnceAfterAHit(Unlocked):
    """Applies copies twice; the first order of another message after that kills it."""

    def __init__(self) -> None:
        super().__init__()
        self.hit = ""

    def order(self, asked: Asked) -> Answer:
        name = asked.document["order_id"]
        with self.lock:
            if self.hit and self.hit != name:
                self.is_open = False
                return Answer(0)
        answer = super().order(asked)
        with self.lock:
            if self.orders[name] > 1:
                self.hit = name
        return answer


def test_a_hit_that_was_read_stays_violated_when_the_service_dies_of_the_next_burst() -> None:
    found = scan(DiesAtOnceAfterAHit(), DUPLICATES, BYPASS)

    assert found.findings[DUPLICATES].verdict is Verdict.VIOLATED
    assert "It was not tried again: the time or the budget was over." in found.findings[DUPLICATES].evidence.summary
    assert found.findings[BYPASS].evidence.summary == f"not asked: {gone(found)}"


class RestartsAtOnce(Desk):
    """Hangs up on the reads with some numbers, as a service does that its supervisor restarts."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def read(self, asked: Asked) -> Answer:
        self.reads += 1
        return Answer(0) if self.reads in {2, 5} else super().read(asked)


def test_a_read_that_is_not_answered_is_asked_again_for_a_while() -> None:
    assert scan(RestartsAtOnce(), BYPASS).finding.verdict is Verdict.NOT_OBSERVED


def test_a_reset_that_is_refused_keeps_every_check_from_starting() -> None:
    class NoReset(Desk):
        def reset(self) -> Answer:
            return Answer(403)

    found = scan(NoReset(), BYPASS)

    assert found.finding.evidence.summary == "not asked: the reset POST /__reset was answered 403: wanted 2xx"
    assert found.ended.interrupted == "the reset POST /__reset was answered 403: wanted 2xx"
