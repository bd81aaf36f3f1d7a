"""Probes under a rate limiter, and on resources that run out: as every check that probes meets them."""

from typing import Any

import pytest

from tests.scan.services_more.asking import ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Verdict
from tocsin.scan import _probes
from tocsin.scan.checks.signature_coverage import CHECK


class Limited(Shop):
    """Answers some orders by their number, the control being the first, with what a rate limiter answers."""

    def __init__(self, *limited: int, for_ever_from: int = 10**6) -> None:
        super().__init__()
        self.limited = limited
        self.for_ever_from = for_ever_from
        self.orders = 0

    def content(self, asked: Asked) -> bytes:
        return f"{asked.method} {asked.path} {asked.header('Content-Type')} ".encode() + asked.body

    def order(self, asked: Asked) -> Answer:
        self.orders += 1
        if self.orders in self.limited or self.orders >= self.for_ever_from:
            return Answer(429)
        return super().order(asked)


class Stocked(Limited):
    """Every item can be ordered once."""

    def other(self, _asked: Asked) -> Answer:
        self.stock[f"sku-{len(self.stock)}"] = 1
        return Answer(201, {"item": f"sku-{len(self.stock) - 1}"})

    def apply(self, order: dict[str, Any], asked: Asked) -> Answer:
        if not self.stock[order["item"]]:
            return Answer(409)
        self.stock[order["item"]] -= 1
        return super().apply(order, asked)


SIGNING = {"content": "{method} {path} {header:Content-Type} {body}"}
STOCKED = {
    "request": {"body": '{"id":"{{uuid}}","item":"{{item}}"}'},
    "setup": [{"request": "POST /items", "extract": {"item": "/item"}}],
    "limits": {"effects": 1, "per": ["item"]},
}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_probes, "LIMITED_WAITS_S", (0.0, 0.0))


def test_a_probe_that_a_limiter_refuses_is_sent_again_until_it_is_looked_at() -> None:
    shop = Limited(2, 9)
    finding = ask(CHECK, shop, signing=SIGNING)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "statuses", "raw_body spacing") == "401"
    # The control, six probes and an honest request; the limited probe again, twice, and an honest request.
    assert shop.orders == 1 + 6 + 1 + 2 + 1


def test_an_honest_request_that_a_limiter_refuses_is_sent_again() -> None:
    assert ask(CHECK, Limited(8), signing=SIGNING).verdict is Verdict.NOT_OBSERVED


def test_a_probe_that_a_limiter_refuses_for_ever_tells_nothing() -> None:
    finding = ask(CHECK, Limited(2, 9, 10, 11), signing=SIGNING)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "a probe is answered 429 however long one waits" in finding.evidence.summary


def test_an_honest_request_that_a_limiter_refuses_for_ever_tells_nothing() -> None:
    finding = ask(CHECK, Limited(for_ever_from=8), signing=SIGNING)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "an honest request was answered 429" in finding.evidence.summary


def test_a_refusal_for_used_up_stock_does_not_pass_for_a_defence() -> None:
    """All probes are on one item first; the first one that is accepted leaves nothing for the others."""

    class SignsTheBodyAlone(Stocked):
        def content(self, asked: Asked) -> bytes:
            return asked.body

    finding = ask(CHECK, SignsTheBodyAlone(), **STOCKED)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert {part for part, word in fact(finding, "parts").items() if word == "not covered"} == {
        "method", "path", "content_type",
    }  # fmt: skip


def test_an_effect_under_a_refusal_leaves_no_stock_for_an_honest_request_and_is_no_acceptance() -> None:
    class EffectFirst(Stocked):
        def before_verification(self, asked: Asked) -> Answer | None:
            if not self.is_signed(asked):
                order = self.parse(asked)
                assert order is not None
                self.apply(order, asked)
            return None

    finding = ask(CHECK, EffectFirst(), signing=SIGNING, **STOCKED)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "probes").values()) == {"refused"}


def test_no_answer_is_a_word_too() -> None:
    assert _probes.shown(None) == "none"
    assert not _probes.is_server_error(None)
