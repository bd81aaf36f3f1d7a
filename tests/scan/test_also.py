"""[[also]]: other routes that accept the same key, as a plan declares them and a scan understands them."""

import pytest

from tests.scan.services_more.asking import BODY, tables
from tests.scan.services_more.shop import Shop
from tocsin.scan import CHECKS, Options, Plan, PlanError, RailError, authorise, describe, plan_from_tables


def plan_with(**also: object) -> Plan:
    shop = Shop()
    shop.base_url = "http://127.0.0.1:8000"
    return plan_from_tables(tables(shop, also=[{"request": "POST /bonus"} | also]), "a test's plan")


def test_a_route_has_the_operations_headers_and_body_unless_it_has_its_own() -> None:
    (also,) = plan_with().also
    assert (str(also.request), also.request.body.text, also.request.sign) == ("POST /bonus", BODY, True)
    assert [name for name, _ in also.request.headers] == ["Content-Type"]
    (also,) = plan_with(headers={"X-Id": "{{uuid}}"}, body="").also
    assert ([name for name, _ in also.request.headers], also.request.body.text) == (["X-Id"], "")


def test_a_route_has_the_plans_state_unless_it_has_its_own_and_that_one_is_waited_for() -> None:
    assert plan_with().also[0].state == ()
    plan = plan_with(state={"request": "GET /bonus", "settle_ms": 700})
    assert [str(state.request) for state in plan.also[0].state] == ["GET /bonus"]
    assert plan.settle_s == 0.7


def test_a_plan_without_other_routes_has_none() -> None:
    assert plan_from_tables(tables(_at("http://127.0.0.1:8000")), "a test's plan").also == ()


@pytest.mark.parametrize(
    ("also", "said"),
    [
        ({"sign": False}, r"\[\[also\]\] 1 sign = False: wanted true"),
        ({"stat": {}}, r'\[\[also\]\] 1 has an unknown key "stat"; did you mean "state"\?'),
        ({"request": "/bonus"}, r"\[\[also\]\] 1 request = '/bonus': wanted \"METHOD /path\""),
        ({"state": {"request": "GET /bonus", "per_effect": 0}}, r"\[\[also\]\] 1 state per_effect = 0"),
        ({"body": "{{nobody}}"}, r"\[\[also\]\] POST /bonus mentions \{\{nobody\}\}, which nothing defines"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(also: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan_with(**also)


def test_a_route_elsewhere_needs_a_permission_of_its_own() -> None:
    with pytest.raises(RailError, match=r"--authorized-for bonus\.example"):
        authorise(plan_with(request="POST https://bonus.example/bonus"), [], accept_effects=None)
    with pytest.raises(RailError, match=r"--authorized-for bonus\.example"):
        authorise(plan_with(state={"request": "GET https://bonus.example/"}), [], accept_effects=None)


def test_a_dry_run_shows_the_other_routes_and_what_is_read_for_them() -> None:
    said = describe(plan_with(state={"request": "GET /bonus"}), Options(CHECKS, 1, ()))
    assert "Other routes that accept the same key\n  POST /bonus (signed)" in said
    assert "a trial of those\n  GET /bonus" in said
    assert "[also]" not in said


def _at(base_url: str) -> Shop:
    shop = Shop()
    shop.base_url = base_url
    return shop
