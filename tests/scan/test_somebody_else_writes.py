"""Somebody else writes now and then to a state that all trials share: no verdict, though it came within a trial."""

from typing import Any

import pytest

from tests.scan.services.limited import BuysSeldom
from tests.scan.services.scanning import DUPLICATES, REPLAYS, TOTAL, Scan, scan
from tocsin.findings import Verdict
from tocsin.scan import _race
from tocsin.scan.checks import sequential_replay

SHARED: dict[str, Any] = {
    "state": [TOTAL],
    "setup": None,
    "limits": None,
    "request": {"body": '{"order_id":"{{uuid}}","item":"x"}'},
}
# A control, two orders that ask for room, and then a twin of twenty and the first burst; or blocks of nine and three
# replays, and a message that is replayed after waits.
IN_A_TWIN, IN_A_BURST = 10, 30
IN_REPLAYS, IN_SPELLINGS, AFTER_A_WAIT = 6, 15, 19
EVERYWHERE = [
    (DUPLICATES, IN_A_TWIN),
    (DUPLICATES, IN_A_BURST),
    (REPLAYS, IN_REPLAYS),
    (REPLAYS, IN_SPELLINGS),
    (REPLAYS, AFTER_A_WAIT),
]
pytestmark = pytest.mark.usefixtures("brisk")


def watched(check: str, at_order: int, *, goes_on: bool) -> Scan:
    return scan(BuysSeldom(at_order, goes_on=goes_on), check, **SHARED)


@pytest.mark.parametrize(("check", "at_order"), EVERYWHERE)
def test_a_hit_that_does_not_come_back_is_none_if_the_state_then_moves_by_itself(check: str, at_order: int) -> None:
    finding = watched(check, at_order, goes_on=True).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the state moves while nothing is sent (taken = " in finding.evidence.summary


@pytest.mark.parametrize(("check", "at_order"), EVERYWHERE)
def test_without_a_look_at_the_state_for_longer_it_would_be_taken_for_one(
    check: str, at_order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (_race, sequential_replay):
        monkeypatch.setattr(module, "watch", lambda *_, since: 0.0)  # noqa: ARG005  its name is part of the call
    assert watched(check, at_order, goes_on=True).finding.verdict is Verdict.VIOLATED


@pytest.mark.parametrize(("check", "at_order"), EVERYWHERE)
def test_a_hit_stays_one_where_the_state_stands_still_and_it_is_said_for_how_long(check: str, at_order: int) -> None:
    finding = watched(check, at_order, goes_on=False).finding
    assert finding.verdict is Verdict.VIOLATED
    assert "Nobody else wrote while the state was watched for 0." in finding.evidence.summary
