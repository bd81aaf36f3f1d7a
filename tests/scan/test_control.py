"""Where the control fails, nothing can be told: the verdict is INCONCLUSIVE, and says what was wanted."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.scan.services.desk import DUPLICATE, Answer, Asked, Desk
from tests.scan.services.limited import Buyer, Limited, Restless
from tests.scan.services.scanning import BEFORE, BYPASS, DUPLICATES, FIVE, LIMITS, REPLAYS, TOTAL, scan
from tocsin.findings import Verdict
from tocsin.scan import _session

pytestmark = pytest.mark.usefixtures("brisk")


class SaysYes(Desk):
    """200 to everything, and nothing happens."""

    def order(self, _asked: Asked) -> Answer:
        return self.accepted()


class TakesTwo(Desk):
    """Every order takes two pieces."""

    def take(self, order: Mapping[str, Any]) -> None:
        super().take(order)
        self.stock[order["item"]] -= 1


class TakesAndRefuses(Desk):
    """The effect happens, and the answer says that it did not."""

    def accepted(self) -> Answer:
        return Answer(409)


class AnotherSecret(Desk):
    """Verifies by a secret that the plan does not have."""

    def expected(self, asked: Asked) -> str:
        return super().expected(asked)[::-1]


class HangsUp(Desk):
    """Takes the order and closes the connection."""

    def accepted(self) -> Answer:
        return Answer(0)


class NoState(Desk):
    """The read endpoint is down."""

    def read(self, _asked: Asked) -> Answer:
        return Answer(500)


class WordyState(Desk):
    """The read endpoint speaks of the stock and does not count it."""

    def read(self, _asked: Asked) -> Answer:
        return Answer(200, {"stock": "plenty"})


class NoItems(Desk):
    """No item can be made."""

    def make_item(self) -> Answer:
        return Answer(500)


@pytest.mark.parametrize("check", FIVE)
@pytest.mark.parametrize(
    ("desk", "said"),
    [
        (SaysYes(), "a fresh valid request was answered 200 and had 0 effects"),
        (TakesTwo(), "a fresh valid request was answered 200 and had 2 effects"),
        (TakesAndRefuses(), "a fresh valid request was answered 409 and had 1 effects"),
        (AnotherSecret(), "a fresh valid request was answered 401 and had 0 effects"),
        (HangsUp(), "a fresh valid request was answered none and had 1 effects"),
        (NoState(), "[[state]] stock was answered 500: wanted 2xx"),
        (WordyState(), '[[state]] stock: "/stock" holds no number'),
        (NoItems(), "the set-up POST /items was answered 500: wanted 2xx"),
        (Restless(), "the state moves while nothing is sent (stock = "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Desk) else "",
)
def test_no_check_makes_a_verdict_of_a_service_that_is_not_understood(desk: Desk, said: str, check: str) -> None:
    finding = scan(desk, check).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.startswith(said)


def test_a_state_that_moves_by_itself_has_two_causes_which_look_the_same_from_outside() -> None:
    said = scan(Restless(), DUPLICATES).finding.evidence.summary
    assert said.endswith("): somebody else writes, or effects arrive later than settle_ms says")


@pytest.mark.parametrize("status", [429, 503])
def test_a_limiter_that_lets_nothing_through_leaves_every_check_open(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session.Session, "wait", lambda *_: None)
    found = scan(Limited((), status=status), *FIVE)

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.INCONCLUSIVE}
    for finding in found.findings.values():
        assert f"a fresh valid request was answered {status} and had 0 effects" in finding.evidence.summary


def test_a_limiter_is_given_time_and_a_new_identity_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(_session.Session, "wait", lambda _self, seconds: waited.append(seconds))
    desk = Limited(range(4, 10**9))
    found = scan(desk, BEFORE)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert waited == [0.4, 0.8, 1.6]
    assert len({asked.body for asked in desk.orders_asked()[:4]}) == 4


def test_somebody_elses_write_between_two_trials_is_noticed_where_all_trials_share_a_state() -> None:
    shared: dict[str, Any] = {
        "state": [TOTAL],
        "setup": None,
        "limits": None,
        "request": {"body": '{"order_id":"{{uuid}}","item":"x"}'},
    }

    class AnyItem(Buyer):
        def is_left(self, _order: object) -> bool:
            return True

    # The control reads twice and once more, the twin of the second trial reads once: the fourth read comes in between.
    finding = scan(AnyItem(at_read=4), DUPLICATES, **shared).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the state moves while nothing is sent (taken = 1; then taken = 2)" in finding.evidence.summary


def test_a_resource_with_room_for_one_could_not_show_a_second_effect() -> None:
    for check in (DUPLICATES, REPLAYS):
        finding = scan(Desk(stock=1), check, limits=None).finding
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert (
            "two distinct valid requests on one resource had 1 effects (1 x 200, 1 x 409)" in finding.evidence.summary
        )


def test_a_resource_that_is_declared_to_admit_one_effect_is_raced_all_the_same() -> None:
    for check in (DUPLICATES, REPLAYS, LIMITS, BEFORE, BYPASS):
        finding = scan(Desk(stock=1), check, limits={"effects": 1, "per": ["item"]}).finding
        assert finding.verdict is Verdict.NOT_OBSERVED


def test_a_limit_that_nothing_renews_ends_the_checks_and_no_verdict_is_made_of_refusals() -> None:
    class OneItem(Desk):
        def is_left(self, _order: object) -> bool:
            return self.taken < 5

    plain = {"body": '{"order_id":"{{uuid}}","item":"x"}'}
    whole = {"effects": 5, "per": []}
    found = scan(
        OneItem(), *FIVE, reset=None, setup=None, state=[TOTAL], request=plain, limits=whole, accept_effects=400
    )

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.INCONCLUSIVE}
    assert "[limits] effects = 5 are used up, and nothing renews them" in found.findings[LIMITS].evidence.summary


def test_a_duplicate_that_is_answered_as_such_is_a_success_without_an_effect() -> None:
    assert DUPLICATE.status == 200
    assert scan(Desk(), REPLAYS, budget={"seconds": 3}).finding.verdict is Verdict.NOT_OBSERVED
