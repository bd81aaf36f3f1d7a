"""An order against a withdrawal: a burst ends as some order of the two ends, or that is a finding."""

import pytest

from tests.scan.services.coupons import WITHDRAWN, Coupons, Fickle, Redeems
from tests.scan.services.desk import Desk
from tests.scan.services.scanning import LIMITS, Scan, scan
from tocsin.findings import Verdict
from tocsin.scan import _bursts, _mixed

MIXED = "POST /withdraw"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, brisk: None) -> None:  # noqa: ARG001  a fixture used for what it does
    monkeypatch.setattr(_mixed, "_WANTED_BURSTS", 6)
    monkeypatch.setattr(_bursts, "_STANDS_S", 0.01)


def raced(desk: Desk, **changed: object) -> Scan:
    return scan(desk, LIMITS, **{**WITHDRAWN, **changed})


def test_two_requests_of_which_one_wins_end_as_some_order_of_them() -> None:
    desk = Coupons()
    found = raced(desk, mix=[WITHDRAWN["mix"][0] | {"offset_us": 300}])
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert "mixed: 0 of 6 bursts" in found.finding.evidence.summary
    assert found.fact("mixed", MIXED, "orders") == {
        "neither": "sold +0, withdrawn +0",
        "operation": "sold +1, withdrawn +0",
        "mixed": "sold +0, withdrawn +1",
        "operation, then mixed": "sold +1, withdrawn +0",
        "mixed, then operation": "sold +0, withdrawn +1",
    }
    assert any(asked.path == "/withdraw" for asked in desk.asked)


def test_what_is_sold_and_withdrawn_at_once_is_the_end_of_no_order() -> None:
    found = raced(Redeems())
    assert found.finding.verdict is Verdict.VIOLATED
    assert "sold +1, withdrawn +1, and no order of the two ends so" in found.finding.evidence.summary
    assert found.finding.evidence.timeline is not None
    assert found.finding.remedy is not None


def test_without_limits_the_mixed_requests_alone_are_raced() -> None:
    assert raced(Coupons(), limits=None).finding.verdict is Verdict.NOT_OBSERVED
    assert raced(Redeems(), limits=None).finding.verdict is Verdict.VIOLATED


def test_an_order_that_ends_differently_the_second_time_measures_nothing() -> None:
    finding = raced(Fickle()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "played twice, the same order ended differently" in finding.evidence.summary
    assert raced(Fickle(), limits=None).finding.verdict is Verdict.INCONCLUSIVE


def test_without_the_orders_played_first_every_burst_would_be_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mixed, "_orders", lambda: [()])
    assert raced(Coupons(), limits=None).finding.verdict is Verdict.VIOLATED
