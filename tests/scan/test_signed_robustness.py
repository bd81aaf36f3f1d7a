import json
from typing import Any

import pytest

from tests.scan.services_more.asking import ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks import signed_robustness
from tocsin.scan.checks.signed_robustness import CHECK

PER_ORDER = [{"name": "order", "request": "GET /orders/{{uuid}}", "pointer": "/count", "settle_ms": 0}]
ODD = {f"/id {form}" for form in ("null", "missing", "empty", "list", "other type", "huge")}
NO_OBJECTS = {
    f"body: {form}" for form in ("a list", "a text", "a number", "null", "nothing", "half of it", "not UTF-8")
}


class Trusting(Shop):
    """The key defence removed: whatever is well signed is taken for an order."""

    def parse(self, asked: Asked) -> dict[str, Any] | None:
        try:
            order = json.loads(asked.body)
        except ValueError:
            return None
        return order if isinstance(order, dict) else None

    def is_new(self, order: dict[str, Any], _asked: Asked) -> bool:
        # As a unique column does: NULL equals nothing, not even NULL.
        return order.get("id") is None or str(order["id"]) not in self.applied

    def apply(self, order: dict[str, Any], _asked: Asked) -> Answer:
        self.applied[str(order.get("id"))] += 1
        return Answer(200)


class Failing(Shop):
    """Fails at some well-signed bodies."""

    status = 500

    def fails_at(self, asked: Asked) -> bool:
        return self.parse(asked) is None

    def verified(self, asked: Asked) -> Answer:
        return Answer(self.status) if self.fails_at(asked) else super().verified(asked)


def test_a_service_that_refuses_every_odd_message_with_400_is_clean() -> None:
    finding = ask(CHECK, Shop())
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses")) == ODD | NO_OBJECTS
    assert fact(finding, "effects_of_an_honest_one") == [1, 0]
    assert str(finding.bound) == "0 of 13 messages; 3 of them were replayed"


def test_an_id_null_or_missing_that_is_applied_again_is_found() -> None:
    finding = ask(CHECK, Trusting())
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert fact(finding, "effects_of_both_sendings") == {
        "/id null": [1, 1],
        "/id missing": [1, 1],
        "/id empty": [1, 0],
    }
    assert (finding.effects, finding.allowed_effects) == (2, 1)
    assert "sent again: /id null, /id missing." in finding.evidence.summary


def test_it_shows_where_the_state_is_read_by_id_too() -> None:
    finding = ask(CHECK, Trusting(), state=PER_ORDER)
    assert finding.verdict is Verdict.VIOLATED
    assert fact(finding, "effects_of_both_sendings", "/id null") == [1, 1]


def test_an_id_that_cannot_be_read_by_is_left_out_of_the_reading() -> None:
    class NoCollection(Trusting):
        def read(self, asked: Asked) -> Answer:
            return Answer(404) if asked.path in {"/orders/", "/orders/undefined"} else super().read(asked)

    finding = ask(CHECK, NoCollection(), state=PER_ORDER)
    assert fact(finding, "effects_of_both_sendings", "/id missing") == [1, 1]
    assert fact(finding, "effects_of_both_sendings", "/id empty") == [0, 0]


def test_an_empty_id_that_is_applied_again_is_found() -> None:
    class EmptyIsNone(Trusting):
        def is_new(self, order: dict[str, Any], _asked: Asked) -> bool:
            return not order.get("id") or str(order["id"]) not in self.applied

        def parse(self, asked: Asked) -> dict[str, Any] | None:
            order = super().parse(asked)
            return order if order and order.get("id") is not None else None

    finding = ask(CHECK, EmptyIsNone())
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert "sent again: /id empty." in finding.evidence.summary


def test_where_an_honest_message_is_applied_again_too_that_is_said() -> None:
    class Forgetful(Trusting):
        def is_new(self, _order: dict[str, Any], _asked: Asked) -> bool:
            return True

    finding = ask(CHECK, Forgetful())
    assert finding.verdict is Verdict.VIOLATED
    assert fact(finding, "honest_applied_again") is True
    assert "see sequential-replay" in finding.evidence.summary


class SoldOut(Trusting):
    """There is one piece, whatever the plan says."""

    def apply(self, order: dict[str, Any], asked: Asked) -> Answer:
        return Answer(409) if self.applied.total() % 100 else super().apply(order, asked)

    def other(self, _asked: Asked) -> Answer:
        # A new item: the count goes on from the next hundred.
        self.applied["other items"] += -self.applied.total() % 100
        return Answer(201)


def test_used_up_stock_does_not_pass_for_a_memory() -> None:
    finding = ask(CHECK, SoldOut(), setup=[{"request": "POST /items"}])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "room for two" in finding.evidence.summary


def test_a_server_error_at_a_well_signed_message_is_found() -> None:
    finding = ask(CHECK, Failing())
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.LOW)
    assert set(fact(finding, "server_errors")) == (ODD | NO_OBJECTS) - {"/id huge"}
    assert "/id missing (500)" in finding.evidence.summary


class FailsTwice(Failing):
    """Fails at two bodies of every oddness, and at no third one."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = 0

    def fails_at(self, asked: Asked) -> bool:
        self.failed += asked.body == b"7"
        return asked.body == b"7" and self.failed < 3


def test_a_server_error_that_comes_twice_of_three_times_is_no_finding() -> None:
    shop = FailsTwice()
    assert ask(CHECK, shop).verdict is Verdict.NOT_OBSERVED
    assert shop.failed == 3


def test_where_honest_messages_fail_beside_odd_ones_nothing_is_told_of_these() -> None:
    class FailsAtWhatFollows(Failing):
        """Fails at numbers, and at the order after each of them."""

        has_failed = False

        def fails_at(self, asked: Asked) -> bool:
            fails = asked.body == b"7" or (self.has_failed and asked.body.startswith(b"{"))
            self.has_failed = asked.body == b"7" and sum(one.body == b"7" for one in self.asked) > 1
            return fails

    finding = ask(CHECK, FailsAtWhatFollows())
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "an honest one got one too" in finding.evidence.summary


def test_a_server_error_that_does_not_come_again_is_no_finding() -> None:
    class Once(Failing):
        failed = False

        def fails_at(self, asked: Asked) -> bool:
            first = not self.failed and super().fails_at(asked)
            self.failed |= first
            return first

    finding = ask(CHECK, Once())
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert "500" in fact(finding, "statuses").values()


@pytest.mark.parametrize("status", [503, 429])
def test_a_service_that_is_busy_is_no_finding(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_robustness, "_LIMITED_WAITS_S", (0.0, 0.0))

    class Busy(Failing):
        def fails_at(self, asked: Asked) -> bool:
            return asked.body == b"null"

    shop = Busy()
    shop.status = status
    finding = ask(CHECK, shop)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert str(finding.bound).startswith("0 of 12 messages")


def test_a_service_that_is_busy_for_every_odd_message_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signed_robustness, "_LIMITED_WAITS_S", (0.0, 0.0))

    class Busy(Failing):
        status = 503

        def fails_at(self, asked: Asked) -> bool:
            return super().fails_at(asked) or len(asked.body) > 1000

    finding = ask(CHECK, Busy())
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "429 or 503" in finding.evidence.summary


def test_an_id_outside_the_body_leaves_the_bodies_that_are_no_object() -> None:
    class ByHeader(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            return {"id": asked.header("X-Id")} if asked.body.startswith(b'{"qty"') else None

    finding = ask(CHECK, ByHeader(), request={"headers": {"X-Id": "{{uuid}}"}, "body": '{"qty":1}'})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses")) == NO_OBJECTS


def test_a_body_that_cannot_be_signed_behind_the_url_is_left_out() -> None:
    class ByUrl(Shop):
        def content(self, asked: Asked) -> bytes:
            return f"{self.base_url}{asked.target}".encode() + asked.body

    finding = ask(CHECK, ByUrl(), signing={"content": "{url}{body}"})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses")) == ODD | NO_OBJECTS - {"body: a number", "body: null"}


def test_ids_are_found_wherever_they_stand_by_what_changes_with_them() -> None:
    class Deep(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            try:
                order = json.loads(asked.body)
                ids = [order["order"]["ids"][1], order["no"]]
            except (ValueError, TypeError, KeyError, IndexError):
                return None
            return {"id": str(ids)} if isinstance(ids[0], str) and isinstance(ids[1], int) and ids[0] else None

    finding = ask(
        CHECK,
        Deep(),
        request={"body": '{"order":{"ids":["a","o-{{uuid}}"]}, "no":{{no}}, "of":{{timestamp}}, "qty":1}'},
        variables={"no": {"fresh": "counter"}},
        identity={"variables": ["uuid", "no"]},
    )
    assert finding.verdict is Verdict.NOT_OBSERVED
    pointers = {name.split()[0] for name in fact(finding, "statuses")} - {"body:"}
    assert pointers == {"/order/ids/1", "/no"}
    assert fact(finding, "statuses", "/no huge") == "200"


def test_a_body_that_is_an_id_alone_has_no_member_to_leave_out_and_is_no_object() -> None:
    class Bare(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            try:
                found = json.loads(asked.body)
            except ValueError:
                return None
            return {"id": found} if isinstance(found, str) and found else None

    finding = ask(CHECK, Bare(), request={"body": '"{{uuid}}"'})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert set(fact(finding, "statuses")) == {name.replace("/id", "the body") for name in ODD}


def test_a_body_that_is_no_json_has_no_field_to_give_an_odd_value() -> None:
    finding = ask(CHECK, Shop(), request={"body": "id={{uuid}}"})
    assert finding.verdict is Verdict.NOT_APPLICABLE
    assert "not JSON" in finding.evidence.summary
