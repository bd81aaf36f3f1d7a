import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived
from h2.settings import SettingCodes

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import Scan, planned
from tests.scan.services.serving import serving
from tests.wire.h2_peer import Behaviour, H2Peer
from tocsin.events import Event
from tocsin.findings import Severity, Verdict
from tocsin.scan import CHECKS, Options, Plan, _allowance, addresses, run
from tocsin.scan.checks import comparison_timing
from tocsin.scan.checks.comparison_timing import Make, _Pairs, _Timing
from tocsin.signing import secret_from_table

CHECK = "comparison-timing"
# How much longer a slow comparison or a long body takes: many times what two connections differ by here.
_LONGER_S = 0.004


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch, brisk: None) -> None:  # noqa: ARG001  a fixture used for what it does
    monkeypatch.setattr(comparison_timing, "_LOOKS", (40,))
    monkeypatch.setattr(comparison_timing, "_HOLD_S", 0.001)


def timed(desk: Desk, *, opted_in: bool = True, seconds: float = 20) -> Scan:
    with serving(desk):
        return _asked(planned(desk, budget={"seconds": seconds}), opted_in=opted_in)


def timed_over_http_2(front: Callable[[Desk], Behaviour]) -> Scan:
    desk = Desk()
    with H2Peer(lambda: front(desk)) as peer:
        target = {"base_url": str(peer.address), "protocol": "h2c"}
        return _asked(planned(desk, target=target, budget={"seconds": 20}))


def _asked(plan: Plan, *, opted_in: bool = True) -> Scan:
    events: list[Event] = []
    asked = frozenset({CHECK}) if opted_in else frozenset()
    checks = [check for check in CHECKS if check.id == CHECK]
    secret = secret_from_table(plan.signing, allow_value=True)
    run(plan, secret, addresses(plan), Options(checks, 1, ("tocsin", "scan"), asked), events.append)
    return Scan(tuple(events))


class Hashes(Desk):
    """Takes the longer for a long body, and for nothing else."""

    def unsigned(self, asked: Asked) -> Answer:
        if len(asked.body) > 10_000:
            self.closed.wait(_LONGER_S)
        return super().unsigned(asked)


class ComparesByCharacter(Hashes):
    """Takes the longer, the more of the signature is right."""

    def unsigned(self, asked: Asked) -> Answer:
        if asked.signature[:8] == self.expected(asked)[:8]:
            self.closed.wait(_LONGER_S)
        return super().unsigned(asked)


class HashesNothing(Desk):
    """However long a body is, it takes no time: nothing that small can show here."""

    def is_signed(self, asked: Asked) -> bool:
        return len(asked.body) < 10_000 and super().is_signed(asked)


class AcceptsAnything(Desk):
    def is_signed(self, _asked: Asked) -> bool:
        return True


def test_a_comparison_that_stops_at_the_first_difference_shows_in_the_order_of_answers() -> None:
    found = timed(ComparesByCharacter())
    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert found.fact("prefix", "first_answered_last") >= 36
    assert 4 < found.fact("equal", "first_answered_last") < 36


def test_a_constant_comparison_leaves_the_order_to_chance_where_more_to_hash_shows() -> None:
    found = timed(Hashes())
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.finding.bound is not None
    assert (found.finding.bound.trials, found.finding.bound.upper_limit) == (40, None)
    assert found.fact("padded", "first_answered_last") >= 36
    assert "256 KiB more to hash do show, and less than that may not" in found.finding.evidence.summary


def test_where_even_a_long_body_does_not_show_it_says_what_is_missing() -> None:
    finding = timed(HashesNothing()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "over http/1.1 on 2 connections, 256 KiB more to hash did not show" in finding.evidence.summary


def test_it_is_asked_only_of_those_who_ask_for_it() -> None:
    finding = timed(ComparesByCharacter(), opted_in=False).finding
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "ask for it with --opt-in comparison-timing" in finding.evidence.summary


def test_where_forgeries_are_accepted_nothing_is_compared() -> None:
    finding = timed(AcceptsAnything()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "which is for signature-bypass to say" in finding.evidence.summary


def test_a_share_that_ends_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_timing, "_LOOKS", (100_000,))
    said = timed(HashesNothing(), seconds=1).finding.evidence.summary
    assert "its share of the time ended after" in said or "1 s is used up" in said


def test_an_order_that_even_equal_forgeries_have_is_no_finding_and_would_be_one_without_that_control(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one_pair = comparison_timing._Timing._pair

    def first_arrives_last(self: _Timing, pairs: _Pairs, first: Make, second: Make) -> None:
        """A carrier that lets the first of a pair always arrive last."""
        one_pair(self, pairs, first, second)
        pairs.last = pairs.told

    monkeypatch.setattr(_Timing, "_pair", first_arrives_last)
    finding = timed(Desk()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "come in a preferred order: nothing is told" in finding.evidence.summary

    to_the_end = _Timing.until_told

    def without_a_control(self: _Timing) -> str:
        said = to_the_end(self)
        self.equal = _Pairs()
        return said

    monkeypatch.setattr(_Timing, "until_told", without_a_control)
    assert timed(Desk()).finding.verdict is Verdict.VIOLATED


# HTTP/2: both answers of a pair may come in one segment, and what has an order is the frames in it


class TwoAtOnce(Behaviour):
    """A desk behind HTTP/2 that answers the two requests of a connection together, in one write: in its own order."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.heads: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.waiting: list[int] = []

    def asked(self, event: RequestReceived) -> None:
        self.heads[event.stream_id] = {name.decode(): value.decode("latin-1") for name, value in event.headers}

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
        super().data(connection, event)

    def complete(self, connection: H2Connection, number: int) -> None:
        self.waiting.append(number)
        if len(self.waiting) < len(self.heads):
            return
        for place in sorted(self.waiting, key=self.when):
            answer = self.desk.answer(self.asked_in(place))
            connection.send_headers(place, [(":status", str(answer.status))])
            connection.send_data(place, json.dumps(answer.document).encode(), end_stream=True)
        self.waiting.clear()

    def asked_in(self, number: int) -> Asked:
        head = self.heads[number]
        return Asked(head[":method"], head[":path"], tuple(head.items()), self.bodies.get(number, b""))

    def when(self, number: int) -> tuple[float, ...]:
        """Which is answered first: by default, whose last frame came first, long bodies after short ones."""
        return (len(self.bodies.get(number, b"")) > 10_000, self.waiting.index(number))


class TwoByCharacter(TwoAtOnce):
    """The more of the signature is right, the later."""

    def when(self, number: int) -> tuple[float, ...]:
        asked = self.asked_in(number)
        return (asked.signature[:8] == self.desk.expected(asked)[:8], *super().when(number))


class LowestFirst(TwoAtOnce):
    """Goes by the numbers of streams, and not by which was complete first."""

    def when(self, number: int) -> tuple[float, ...]:
        return (len(self.bodies.get(number, b"")) > 10_000, number)


class SmallWindow(TwoAtOnce):
    """Reads a body once it is complete: more than a window of it never comes."""

    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = 65_535
        connection.local_settings.acknowledge()
        connection.initiate_connection()

    def data(self, _connection: H2Connection, event: DataReceived) -> None:
        self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data


def test_two_answers_in_one_segment_are_told_apart_by_their_frames() -> None:
    found = timed_over_http_2(TwoByCharacter)

    assert found.finding.verdict is Verdict.VIOLATED
    assert found.fact("prefix", "ties") == 0
    assert found.fact("prefix", "first_answered_last") == 40


@pytest.mark.parametrize("front", [TwoAtOnce, LowestFirst])
def test_neither_the_number_of_a_stream_nor_the_order_of_last_frames_is_a_preference(
    front: Callable[[Desk], Behaviour],
) -> None:
    found = timed_over_http_2(front)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert 4 < found.fact("equal", "first_answered_last") < 36
    assert found.fact("padded", "first_answered_last") == 40


def test_streams_that_open_in_one_order_always_would_prefer_one_of_two_equal_forgeries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class InOrder(random.Random):
        """Draws nothing."""

        def shuffle(self, x: Any) -> None:
            pass

    monkeypatch.setattr(random, "Random", InOrder)
    finding = timed_over_http_2(LowestFirst).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "come in a preferred order: nothing is told" in finding.evidence.summary


def test_a_body_that_no_window_takes_is_made_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_allowance, "_ANSWER_TIMEOUT_S", 0.5)
    found = timed_over_http_2(SmallWindow)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert "48 KiB more to hash do show" in found.finding.evidence.summary
    assert found.fact("padded", "void") == 1
