import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.scan.services_more.asking import BODY, ask, fact
from tests.scan.services_more.shop import Answer, Asked, Shop
from tocsin.findings import Severity, Verdict
from tocsin.scan.checks.signature_coverage import CHECK

ALL = {
    "content": "{timestamp}.{nonce}.{method}.{path}.{query}.{header:X-Delivery}.{header:Content-Type}.{body}",
    "timestamp_header": "X-Timestamp",
    "nonce_header": "X-Nonce",
    "id_header": "X-Delivery",
}
HEADERS = {"Content-Type": "application/json", "X-Delivery": "{{delivery}}"}
DELIVERY = {"delivery": {"fresh": "uuid4"}}
WITH_ID = {"variables": DELIVERY, "identity": {"variables": ["uuid"]}}
QUERY = {"path": "/orders?shop=north"}


class Everything(Shop):
    """All parts are under the signature, and all that says that a message is new is looked at."""

    uncovered: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.nonces: set[str] = set()
        self.deliveries: set[str] = set()

    def parts(self, asked: Asked) -> Mapping[str, str]:
        return {
            "timestamp": asked.header("X-Timestamp"),
            "nonce": asked.header("X-Nonce"),
            "method": asked.method,
            "path": asked.path,
            "query": asked.target.partition("?")[2],
            "id": asked.header("X-Delivery"),
            "content_type": asked.header("Content-Type"),
        }

    def content(self, asked: Asked) -> bytes:
        signed = [value for part, value in self.parts(asked).items() if part not in self.uncovered]
        return ".".join([*signed, asked.body.decode("latin-1")]).encode("latin-1")

    def is_timely(self, asked: Asked) -> bool:
        return abs(self.now() - int(asked.header("X-Timestamp"))) <= 300

    def is_new(self, order: dict[str, Any], asked: Asked) -> bool:
        nonce, delivery = asked.header("X-Nonce"), asked.header("X-Delivery")
        if nonce in self.nonces or delivery in self.deliveries:
            return False
        self.nonces.add(nonce)
        self.deliveries.add(delivery)
        return super().is_new(order, asked)


class Careless(Everything):
    """Looks at no timestamp, nonce or id: only the order's own id makes it new."""

    def is_timely(self, _asked: Asked) -> bool:
        return True

    def is_new(self, order: dict[str, Any], asked: Asked) -> bool:
        return Shop.is_new(self, order, asked)


def without(shop: type[Everything], part: str) -> Everything:
    """The key defence removed: one part is not under the signature."""
    made = shop()
    made.uncovered = frozenset({part})
    return made


def signing_without(part: str) -> dict[str, str]:
    placeholder = {"id": "{header:X-Delivery}", "content_type": "{header:Content-Type}"}.get(part, f"{{{part}}}")
    return ALL | {"content": ALL["content"].replace(f"{placeholder}.", "")}


class Reserialised(Shop):
    """Verifies what it has parsed and written again, not the bytes that came."""

    def content(self, asked: Asked) -> bytes:
        return json.dumps(json.loads(asked.body), separators=(",", ":"), sort_keys=True).encode()


class TwoRoutes(Shop):
    """A second route under the same key."""

    binds = False

    def content(self, asked: Asked) -> bytes:
        return f"{asked.method} {asked.path} ".encode() + asked.body if self.binds else asked.body

    def other(self, asked: Asked) -> Answer:
        if asked.path != "/bonus" or not self.is_signed(asked):
            return Answer(401)
        self.stock["bonus"] += 1
        return self.verified(asked)

    def read(self, asked: Asked) -> Answer:
        return Answer(200, {"count": self.stock["bonus"]}) if asked.path == "/bonus" else super().read(asked)


class Bound(TwoRoutes):
    """The same with method and path under the signature."""

    binds = True


BONUS = {"request": "POST /bonus"}
BONUS_STATE = {"state": {"request": "GET /bonus", "pointer": "/count", "settle_ms": 0}}
SIGNED_ROUTE = {"content": "{method} {path} {body}"}


def test_all_parts_of_a_service_that_signs_them_all_are_covered() -> None:
    finding = ask(CHECK, Everything(), request=QUERY | {"headers": HEADERS}, signing=ALL, **WITH_ID)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "parts") == dict.fromkeys(
        ("raw_body", "method", "path", "query", "timestamp", "nonce", "id", "content_type"), "covered"
    )
    assert {"raw_body spacing", "raw_body member_order", "raw_body escapes"} <= set(fact(finding, "probes"))


def test_what_a_request_does_not_have_is_absent_and_what_is_not_covered_is_said() -> None:
    finding = ask(CHECK, Shop(), request={"headers": {}})
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "parts") == {
        "raw_body": "covered", "method": "not covered", "path": "not covered", "query": "absent",
        "timestamp": "absent", "nonce": "absent", "id": "absent", "content_type": "absent",
    }  # fmt: skip
    assert "not covered: method, path; absent: query, timestamp" in str(finding.bound)


def test_a_body_that_is_serialised_again_before_it_is_verified_is_accepted_in_other_bytes() -> None:
    finding = ask(CHECK, Reserialised(), request={"body": '{"id":"{{uuid}}","qty":1.50}'})
    assert finding.verdict is Verdict.INCONCLUSIVE, "1.50 is 1.5 once parsed: the honest request is refused"
    finding = ask(CHECK, Reserialised(), request={"body": BODY.replace('"item":"sku-1",', "")})
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert fact(finding, "parts", "raw_body") == "not covered"
    assert fact(finding, "probes", "raw_body spacing") == "accepted"
    assert finding.remedy is not None
    assert finding.remedy.guard_call


def test_a_body_that_is_no_json_has_no_other_spelling() -> None:
    class Plain(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            return {"id": asked.body.decode()}

    finding = ask(CHECK, Plain(), request={"body": "{{uuid}}"})
    assert fact(finding, "parts", "raw_body") == "not applicable"


def test_a_request_without_a_body_has_none_to_cover() -> None:
    class ById(Shop):
        def parse(self, asked: Asked) -> dict[str, Any] | None:
            return {"id": asked.header("X-Id")}

    finding = ask(CHECK, ById(), request={"body": "", "headers": {"X-Id": "{{uuid}}"}})
    assert fact(finding, "parts", "raw_body") == "absent"


@pytest.mark.parametrize("part", ["timestamp", "nonce", "id"])
def test_a_part_that_the_service_goes_by_and_does_not_sign_is_a_hole(part: str) -> None:
    shop = without(Everything, part)
    finding = ask(CHECK, shop, request={"headers": HEADERS}, signing=signing_without(part), **WITH_ID)
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert fact(finding, "parts", part) == "not covered"
    assert fact(finding, "demonstrably_used") == {part: True}
    assert f"the service goes by the {part}" in finding.evidence.summary
    assert finding.remedy is not None
    assert not finding.remedy.guard_call


@pytest.mark.parametrize("part", ["timestamp", "nonce", "id", "content_type"])
def test_a_part_that_the_service_does_not_go_by_is_told_and_no_hole(part: str) -> None:
    shop = without(Careless, part)
    finding = ask(CHECK, shop, request={"headers": HEADERS}, signing=signing_without(part), **WITH_ID)
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "parts", part) == "not covered"
    assert not any(fact(finding, "demonstrably_used").values())


def test_a_query_that_is_not_covered_is_a_hole() -> None:
    finding = ask(CHECK, Shop(), request=QUERY)
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.MEDIUM)
    assert "query: the query can be changed" in finding.evidence.summary


def test_a_message_for_one_route_that_is_accepted_by_another_is_a_hole() -> None:
    finding = ask(CHECK, TwoRoutes(), also=[BONUS])
    assert (finding.verdict, finding.severity) == (Verdict.VIOLATED, Severity.HIGH)
    assert fact(finding, "other_routes") == {"POST /bonus": "accepted"}
    assert "path: a message signed for POST /orders is accepted by POST /bonus" in finding.evidence.summary


def test_a_message_for_one_route_that_is_refused_by_another_is_no_hole() -> None:
    finding = ask(CHECK, Bound(), signing=SIGNED_ROUTE, also=[BONUS | BONUS_STATE])
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert fact(finding, "other_routes") == {"POST /bonus": "refused"}
    assert fact(finding, "parts", "path") == "covered"


def test_a_route_with_another_method_and_a_state_of_its_own_is_told_apart_by_both() -> None:
    finding = ask(CHECK, TwoRoutes(), also=[{"request": "PUT /bonus"} | BONUS_STATE])
    assert "method and path: a message signed for POST /orders" in finding.evidence.summary


def test_a_route_that_accepts_no_honest_message_either_tells_nothing() -> None:
    finding = ask(CHECK, TwoRoutes(), also=[{"request": "POST /nowhere"}])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary.startswith("[[also]] POST /nowhere: after the probes an honest request")


def test_a_hole_outweighs_a_route_that_tells_nothing() -> None:
    finding = ask(CHECK, Shop(), request=QUERY, also=[{"request": "POST /nowhere"}])
    assert finding.verdict is Verdict.VIOLATED


def test_a_route_on_the_operations_own_path_tells_nothing_new_of_the_path() -> None:
    class AnyMethod(TwoRoutes):
        def content(self, asked: Asked) -> bytes:
            return asked.body

    finding = ask(CHECK, AnyMethod(), also=[{"request": "PUT /orders"}])
    assert "method: a message signed for POST /orders" in finding.evidence.summary


def test_a_route_that_refuses_one_honest_message_and_takes_the_next_is_unsure_ground() -> None:
    class Fickle(TwoRoutes):
        seen = 0

        def other(self, asked: Asked) -> Answer:
            self.seen += 1
            return Answer(409) if self.seen == 1 else super().other(asked)

    finding = ask(CHECK, Fickle(), also=[BONUS])
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "one valid request was refused" in finding.evidence.summary


def test_a_nonce_that_could_not_be_given_to_two_operations_tells_nothing() -> None:
    class Fickle(Everything):
        uncovered = frozenset({"nonce"})
        orders = 0
        refuses = 0

        def order(self, asked: Asked) -> Answer:
            self.orders += 1
            return Answer(409) if self.orders == self.refuses else super().order(asked)

    def asked_of(shop: Shop) -> Verdict:
        return ask(CHECK, shop, request={"headers": HEADERS}, signing=signing_without("nonce"), **WITH_ID).verdict

    steady, fickle = Fickle(), Fickle()
    assert asked_of(steady) is Verdict.VIOLATED
    # The last three are: the first operation with a nonce, another one with the same, and an honest one.
    fickle.refuses = steady.orders - 2
    assert asked_of(fickle) is Verdict.INCONCLUSIVE
