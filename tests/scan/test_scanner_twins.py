"""Each defence of the scanner against its own mistakes, removed: the twin says what is not true."""

import itertools
import uuid
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.limited import LimitedById
from tests.scan.services.scanning import BYPASS, DUPLICATES, REPLAYS, Scan, scan
from tests.scan.services.serving import serving
from tocsin.findings import Verdict
from tocsin.scan import _backoff, _fresh, _race, _rails, _sending, _trial, _trials
from tocsin.scan.checks import concurrent_duplicate, sequential_replay
from tocsin.wire import Address, Response, exchange, request_bytes

pytestmark = pytest.mark.usefixtures("brisk")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.0)


def verdict(found: Scan) -> Verdict:
    return found.finding.verdict


def test_counting_successes_in_place_of_effects_sees_a_race_in_every_polite_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert verdict(scan(Desk(), DUPLICATES)) is Verdict.NOT_OBSERVED

    def by_answers(trial: _trial.Trial, _twin: _trial.Trial) -> str:
        return "duplicate" if trial.successes > trial.allowed else ""

    monkeypatch.setattr(concurrent_duplicate, "_too_many", by_answers)
    assert verdict(scan(Desk(), DUPLICATES)) is Verdict.VIOLATED


class BusyLater(Desk):
    """Somebody else begins to buy at every read, once control, room and twin are over."""

    def read(self, asked: Asked) -> Answer:
        answer = super().read(asked)
        if len(self.orders_asked()) > 23:
            self.stock[asked.path.rpartition("/")[2]] -= 1
        return answer


def test_without_a_look_at_the_idle_state_somebody_elses_write_is_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scan(BusyLater(), DUPLICATES)
    assert verdict(found) is Verdict.INCONCLUSIVE
    assert "somebody else writes" in found.finding.evidence.summary

    monkeypatch.setattr(_race, "confirm", lambda *_: None)
    assert verdict(scan(BusyLater(), DUPLICATES)) is Verdict.VIOLATED


class LateSecondEffect(Desk):
    """Applies once, and writes the number down in two steps: the state is still on its way when it is first read."""

    def __init__(self) -> None:
        super().__init__()
        self.late: dict[str, int] = {}

    def read(self, asked: Asked) -> Answer:
        answer = super().read(asked)
        item = asked.path.rpartition("/")[2]
        self.stock[item] += self.late.pop(item, 0)
        return answer

    def duplicate(self) -> Answer:
        if len(self.orders_asked()) > 24:
            item = next(reversed(self.stock))
            if item not in self.late:
                self.stock[item] -= 1
                self.late[item] = 1
        return super().duplicate()


def test_a_state_that_goes_on_moving_after_it_was_read_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    found = scan(LateSecondEffect(), DUPLICATES)
    assert verdict(found) is Verdict.INCONCLUSIVE
    assert "the state moved after it had settled" in found.finding.evidence.summary

    monkeypatch.setattr(_race, "confirm", lambda session, drafts, _trial: session.idle(drafts))
    assert verdict(scan(LateSecondEffect(), DUPLICATES)) is Verdict.VIOLATED


def test_void_bursts_that_count_as_clean_make_a_rate_limiter_a_defence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(scan(LimitedById(1), DUPLICATES)) is Verdict.INCONCLUSIVE

    monkeypatch.setattr(_trials, "_void", lambda *_: "")
    assert verdict(scan(LimitedById(1), DUPLICATES)) is Verdict.NOT_OBSERVED


def test_replays_that_count_although_a_limiter_turned_them_away_make_it_a_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = {"seconds": 3}
    assert verdict(scan(LimitedById(1), REPLAYS, budget=short)) is Verdict.INCONCLUSIVE

    monkeypatch.setattr(sequential_replay, "_replays", lambda _trial, sent: sent)
    assert verdict(scan(LimitedById(1), REPLAYS, budget=short)) is Verdict.NOT_OBSERVED


class ForgetfulWithOnePiece(Desk):
    """Remembers nothing; a duplicate is refused for want of stock alone."""

    def __init__(self) -> None:
        super().__init__(stock=1)

    def is_new(self, *_: object) -> bool:
        return True


def test_without_room_for_a_second_effect_used_up_stock_passes_for_a_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for check in (DUPLICATES, REPLAYS):
        assert verdict(scan(ForgetfulWithOnePiece(), check, limits=None, budget={"seconds": 3})) is Verdict.INCONCLUSIVE

    monkeypatch.setattr(concurrent_duplicate, "room", lambda *_: None)
    monkeypatch.setattr(sequential_replay, "room", lambda *_: None)
    for check in (DUPLICATES, REPLAYS):
        assert verdict(scan(ForgetfulWithOnePiece(), check, limits=None, budget={"seconds": 3})) is Verdict.NOT_OBSERVED


def test_ids_drawn_from_the_seed_make_the_second_scan_one_of_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Keeps(Desk):
        """The reset clears the stock, and not what the desk remembers."""

        def reset(self) -> Answer:
            self.stock.clear()
            return Answer(204)

    desk = Keeps()
    assert [verdict(scan(desk, BYPASS, seed=7)) for _ in range(2)] == [Verdict.NOT_OBSERVED] * 2

    desk = Keeps()
    for expected in (Verdict.NOT_OBSERVED, Verdict.INCONCLUSIVE):
        drawn = SimpleNamespace(uuid4=map(uuid.UUID, map("{:032}".format, itertools.count())).__next__)
        monkeypatch.setattr(_fresh, "uuid", drawn)
        assert verdict(scan(desk, BYPASS, seed=7)) is expected


class Elsewhere(Desk):
    """Sends whoever wants to make an item to another desk."""

    def __init__(self, other: Desk) -> None:
        super().__init__()
        self.other = other

    def make_item(self) -> Answer:
        return Answer(307, None, {"Location": f"{self.other.base_url}/items"})


def following(raw: bytes, address: Address, *, timeout_s: float) -> Response:
    """Goes wherever it is sent."""
    response = exchange(raw, address, timeout_s=timeout_s)
    for location in response.values("Location"):
        parts = urlsplit(location)
        again = request_bytes("POST", parts.path, (("Host", parts.netloc),), b"")
        return exchange(again, Address.resolve(location), timeout_s=timeout_s)
    return response


def test_a_scanner_that_follows_redirects_goes_where_nobody_has_allowed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Desk()
    with serving(other):
        assert verdict(scan(Elsewhere(other), BYPASS)) is Verdict.INCONCLUSIVE
        assert other.asked == []

        monkeypatch.setattr(_sending, "exchange", following)
        scan(Elsewhere(other), BYPASS)
        assert [asked.path for asked in other.asked] == ["/items"]


def test_a_look_at_the_beginning_of_a_host_takes_a_strangers_name_for_this_machine() -> None:
    stranger = "http://127.0.0.1.evil.example"

    def by_prefix(url: str) -> bool:
        return (urlsplit(url).hostname or "").startswith(("127.", "localhost"))

    assert by_prefix(stranger)
    assert not _rails.is_loopback(stranger)
