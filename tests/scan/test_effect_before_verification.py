"""A forgery that changes state under a refusal, or uses up the ids of the honest request."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.scan.services.desk import SOLD_OUT, Answer, Asked, Desk
from tests.scan.services.limited import LimitsForgeries
from tests.scan.services.scanning import BEFORE, BYPASS, Scan, scan
from tests.scan.services.stamped import NONCED, Nonced
from tocsin.findings import Severity, Verdict

pytestmark = pytest.mark.usefixtures("brisk")


def asked_first(desk: Desk, **changed: Any) -> Scan:
    return scan(desk, BEFORE, **changed)


class WritesFirst(Desk):
    """Applies the order, and then looks at the signature."""

    def order(self, asked: Asked) -> Answer:
        applied = self.signed(asked)
        return applied if self.is_signed(asked) else self.unsigned(asked)


def test_an_effect_under_a_refusal_is_violated_whatever_the_answer() -> None:
    finding = asked_first(WritesFirst()).finding

    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert (finding.effects, finding.allowed_effects) == (5, 0)
    assert finding.evidence.summary == (
        "10 requests with a wrong signature had 5 effects under 0 successes: stock = 5, then stock = 0."
    )
    assert finding.remedy is not None
    assert finding.remedy.text.startswith("Verify the signature over the raw body before")


def test_that_effect_is_no_bypass_for_nothing_was_accepted() -> None:
    found = scan(WritesFirst(), BYPASS)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert set(found.fact("probes").values()) == {"refused"}


class Trusting(Desk):
    """Never looks at a signature."""

    def is_signed(self, _asked: Asked) -> bool:
        return True


class TrustingOnce(Trusting):
    """The same, and says no to an order that it has."""

    def duplicate(self) -> Answer:
        return SOLD_OUT


@pytest.mark.parametrize("desk", [Trusting, TrustingOnce])
def test_an_accepted_forgery_is_for_signature_bypass_to_say_and_burns_no_ids(desk: type[Desk]) -> None:
    found = asked_first(desk())

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.finding.bound is not None
    assert found.finding.bound.detail == "forgeries were accepted, which is for signature-bypass to say"
    assert "after_a_forgery" not in found.finding.evidence.facts


class ClaimsFirst(Desk):
    """Writes down the order's id before it looks at the signature."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: Counter[str] = Counter()

    def order(self, asked: Asked) -> Answer:
        self.claimed[asked.document["order_id"]] += 1
        return super().order(asked)

    def is_new(self, order: Mapping[str, Any], _asked: Asked) -> bool:
        return self.claimed[order["order_id"]] == 1


class ClaimsNonceFirst(Nonced):
    """Writes down the nonce before it looks at the signature."""

    def is_signed(self, asked: Asked) -> bool:
        nonce = "".join(asked.values("X-Nonce"))
        is_new = nonce not in self.nonces
        self.nonces.add(nonce)
        return super().is_signed(asked) and is_new

    def is_new(self, order: Mapping[str, Any], _asked: Asked) -> bool:
        return order["order_id"] not in self.orders


@pytest.mark.parametrize(("desk", "changed"), [(ClaimsFirst, {}), (ClaimsNonceFirst, {"signing": NONCED})])
def test_ids_that_a_forgery_burns_are_violated_three_times_of_three(desk: type[Desk], changed: dict[str, Any]) -> None:
    found = asked_first(desk(), **changed)

    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert found.finding.effects is None
    assert found.fact("after_a_forgery") == [{"same_ids": False, "other_ids": True}] * 3
    assert "(3 of 3 times): the forgery used up the ids." in found.finding.evidence.summary
    assert found.finding.remedy is not None
    assert found.finding.remedy.text.startswith("Claim an id only once the signature has been verified")


class ClaimsNowAndThen(ClaimsFirst):
    """Burns the first ids only."""

    def is_new(self, order: Mapping[str, Any], asked: Asked) -> bool:
        return len(self.claimed) > 14 or super().is_new(order, asked)


def test_ids_that_are_burnt_now_and_then_are_not_taken_for_a_rule() -> None:
    found = asked_first(ClaimsNowAndThen())

    assert found.fact("after_a_forgery")[0] == {"same_ids": False, "other_ids": True}
    assert found.finding.verdict is Verdict.NOT_OBSERVED


class LocksOut(Desk):
    """After two requests without a valid signature nobody gets in any more."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.forgeries = 0
        self.status = status

    def order(self, asked: Asked) -> Answer:
        if not self.is_signed(asked):
            self.forgeries += 1
            return self.unsigned(asked)
        return Answer(self.status) if self.forgeries > 10 else super().order(asked)


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_limiter_that_locks_a_sender_out_is_not_mistaken_for_burnt_ids(status: int) -> None:
    finding = asked_first(LocksOut(status)).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == (
        "after a forgery, honest requests are refused whatever their ids: a lock-out may hide the answer"
    )


def test_forgeries_that_a_limiter_turns_away_were_never_judged() -> None:
    finding = asked_first(LimitsForgeries()).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == "a rate limiter turned all 10 forgeries away"


def test_a_correct_service_is_clean_with_the_number_of_forgeries() -> None:
    found = asked_first(Desk())

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert str(found.finding.bound) == "0 of 16 forgeries"
    assert found.fact("after_a_forgery") == [{"same_ids": True, "other_ids": True}] * 3


def test_a_state_that_somebody_else_moves_after_the_forgeries_is_no_effect_of_theirs() -> None:
    class Busy(Desk):
        """Somebody else buys while the forgeries come in, and goes on."""

        def unsigned(self, asked: Asked) -> Answer:
            self.stock[asked.document["item"]] -= 1
            return super().unsigned(asked)

        def read(self, asked: Asked) -> Answer:
            answer = super().read(asked)
            item = asked.path.rpartition("/")[2]
            if self.stock[item] < 0:
                self.stock[item] -= 1
            return answer

    finding = asked_first(Busy()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "somebody else writes" in finding.evidence.summary


def test_what_a_plan_lacks_for_it_is_said() -> None:
    assert asked_first(Desk(), state=None).finding.verdict is Verdict.NOT_APPLICABLE
