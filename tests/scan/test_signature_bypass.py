"""Requests without a valid signature: accepted is critical, a server error is not, and everything else is a refusal."""

import base64
import hashlib
import hmac

import pytest

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.limited import LimitsForgeries
from tests.scan.services.scanning import BEFORE, BYPASS, Scan, scan
from tocsin.findings import Severity, Verdict

pytestmark = pytest.mark.usefixtures("brisk")


def probed(desk: Desk) -> Scan:
    return scan(desk, BYPASS)


def accepted(found: Scan) -> set[str]:
    return {name for name, word in found.fact("probes").items() if word == "accepted"}


class Unsigned(Desk):
    """Takes whatever comes without a signature header at all."""

    def is_signed(self, asked: Asked) -> bool:
        return not asked.values("X-Signature") or super().is_signed(asked)


class AnyOf(Desk):
    """Takes a request if its signature is one of a few that no key has made."""

    takes: frozenset[str] = frozenset({"", "none"})

    def is_signed(self, asked: Asked) -> bool:
        return asked.signature in self.takes or super().is_signed(asked)


class Prefix(Desk):
    """Compares as much of the signature as was sent."""

    def is_signed(self, asked: Asked) -> bool:
        return self.expected(asked).startswith(asked.signature)


class Keyless(Desk):
    """Forgot the key: a hash of the body will do."""

    def expected(self, asked: Asked) -> str:
        keyed = super().expected(asked)
        return hashlib.sha256(asked.body).hexdigest() if asked.signature != keyed else keyed


class EmptyBody(Desk):
    """Has read the body away before it verifies: what was signed is nothing."""

    def is_signed(self, asked: Asked) -> bool:
        empty = hmac.new(SECRET.encode(), b"", hashlib.sha256).hexdigest()
        return asked.signature == empty or super().is_signed(asked)


class Trusting(Desk):
    """Never looks at a signature."""

    def is_signed(self, _asked: Asked) -> bool:
        return True


@pytest.mark.parametrize(
    ("desk", "probes"),
    [
        (Unsigned, {"missing"}),
        (AnyOf, {"missing", "empty", "none"}),
        (Prefix, {"missing", "empty"}),
        (Keyless, {"unkeyed_hash"}),
        (EmptyBody, {"of_empty_body"}),
    ],
)
def test_a_request_that_is_accepted_without_a_valid_signature_is_critical(desk: type[Desk], probes: set[str]) -> None:
    found = probed(desk())
    finding = found.finding

    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.CRITICAL)
    assert accepted(found) == probes
    assert (finding.effects, finding.allowed_effects) == (len(probes), 0)
    assert finding.evidence.summary == f"Accepted without a valid signature: {', '.join(found_in_order(found))}."
    assert finding.remedy is not None
    assert finding.remedy.text.startswith("Refuse whatever has no valid signature")


def found_in_order(found: Scan) -> list[str]:
    return [name for name, word in found.fact("probes").items() if word == "accepted"]


def test_the_same_service_is_clean_of_effects_before_verification() -> None:
    assert scan(Unsigned(), BEFORE).finding.verdict is Verdict.NOT_OBSERVED


def test_used_up_stock_does_not_pass_for_a_refusal() -> None:
    found = probed(Trusting())
    assert len(found.fact("probes")) == 13
    assert accepted(found) == set(found.fact("probes"))


class Raises(Desk):
    """Compares text, which is an exception for anything outside ASCII."""

    def is_signed(self, asked: Asked) -> bool:
        return hmac.compare_digest(self.expected(asked), asked.signature)

    def order(self, asked: Asked) -> Answer:
        try:
            return super().order(asked)
        except TypeError:
            return Answer(500)


def test_a_server_error_that_a_stranger_causes_each_time_is_medium() -> None:
    found = probed(Raises())

    assert (found.finding.verdict, found.finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert (
        found.finding.evidence.summary == "A stranger without a key causes a server error, each time: non_ascii (500)."
    )
    assert found.fact("probes", "non_ascii") == "server_error"
    assert found.fact("statuses", "non_ascii") == "500"


class RaisesOnce(Desk):
    """Fails the first time that something odd comes."""

    failed = False

    def unsigned(self, asked: Asked) -> Answer:
        if asked.signature.isascii() or self.failed:
            return super().unsigned(asked)
        self.failed = True
        return Answer(500)


def test_a_server_error_that_does_not_come_again_is_a_refusal() -> None:
    found = probed(RaisesOnce())

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert (found.fact("probes", "non_ascii"), found.fact("statuses", "non_ascii")) == ("refused", "500")


class RaisesAndApplies(Trusting):
    """Applies forgeries, and answers the first of them 500."""

    failed = False

    def order(self, asked: Asked) -> Answer:
        answer = super().order(asked)
        forged = not Desk.is_signed(self, asked)
        if forged and not self.failed:
            self.failed = True
            return Answer(500)
        return answer


def test_a_probe_that_fails_once_and_is_then_accepted_was_accepted() -> None:
    assert accepted(probed(RaisesAndApplies())) == set(probed(Trusting()).fact("probes"))


class SaysYesToForgeries(Desk):
    """Answers forgeries 200, and does nothing."""

    def unsigned(self, _asked: Asked) -> Answer:
        return self.accepted()


class HangsUpOnForgeries(Desk):
    """Answers forgeries not at all."""

    def unsigned(self, _asked: Asked) -> Answer:
        return Answer(0)


@pytest.mark.parametrize("desk", [Desk, SaysYesToForgeries, HangsUpOnForgeries])
def test_a_success_without_an_effect_and_no_answer_at_all_are_refusals(desk: type[Desk]) -> None:
    found = probed(desk())

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert set(found.fact("probes").values()) == {"refused"}
    assert found.finding.evidence.summary == "0 of 13 probes accepted"


class AnyCase(Desk):
    """Takes hex in upper case."""

    def is_signed(self, asked: Asked) -> bool:
        return asked.signature.lower() == self.expected(asked)


def test_a_valid_signature_in_another_spelling_is_information_and_no_violation() -> None:
    assert probed(Desk()).fact("malleable") == {"header_case": "accepted", "hex_case": "refused"}
    found = probed(AnyCase())
    assert found.fact("malleable") == {"header_case": "accepted", "hex_case": "accepted"}
    assert found.finding.verdict is Verdict.NOT_OBSERVED


def test_probes_that_a_limiter_turns_away_were_never_judged() -> None:
    finding = probed(LimitsForgeries()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == "a rate limiter turned 13 of 13 probes away"


class LocksOut(Desk):
    """After a forgery nobody gets in any more."""

    locked = False

    def order(self, asked: Asked) -> Answer:
        self.locked = self.locked or not self.is_signed(asked)
        return Answer(403) if self.locked else super().order(asked)


def test_refusals_after_which_an_honest_request_is_refused_too_prove_nothing() -> None:
    finding = probed(LocksOut()).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == (
        "after the probes an honest request was answered 403 and had 0 effects: wanted a success and an effect"
    )


class Base64(Desk):
    """Wants the signature in base64, as its alphabet and its padding have it."""

    def expected(self, asked: Asked) -> str:
        return base64.b64encode(hmac.new(SECRET.encode(), asked.body, hashlib.sha256).digest()).decode()


@pytest.mark.parametrize("run", range(4))
def test_a_signature_that_happens_to_need_no_special_character_is_drawn_again(run: int) -> None:
    """Half of all signatures have a "+" and half a "/": one that has none cannot be spelled in the other alphabet."""
    found = scan(Base64(), BYPASS, seed=run, signing={"preset": "base64-sha256-body", "header": "X-Signature"})
    assert found.fact("malleable") == {"header_case": "accepted", "padding": "refused", "alphabet": "refused"}
    assert found.finding.verdict is Verdict.NOT_OBSERVED
