"""What a plan says, as it is understood."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.scan.services.plans import plan
from tocsin.scan import Plan, plan_from_toml, quick, rehearse

# A plan that uses every key of the format, in the order in which the format's document has them.
WHOLE = r"""
[target]
base_url = "http://127.0.0.1:9000/"
protocol = "http/1.1"

[request]
method = "PUT"
path = "/seats/{{seat}}?trace={{n}}"
headers = { Content-Type = "application/json", X-Trace = "{{uuid}}" }
body = '{"seat":"{{seat}}","id":"{{uuid}}","nonce":"{{nonce}}","n":{{n}},"at":"{{timestamp_iso}}"}'
success = ["201", "3xx"]

[variables]
uuid = { fresh = "uuid4" }
nonce = { fresh = "hex16" }
n = { fresh = "counter", start = 7 }
zone = { fresh = "list", values = ["a", "b"] }
tag = { fresh = "template", value = "tag-{{n}}" }
venue = { value = "hall" }

[identity]
variables = ["uuid"]

[signing]
hash = "sha512"
encoding = "base64url="
content = "{timestamp}\n{nonce}\n{key_id}\n{method}\n{path}\n{query}\n{header:Content-Type}\n{body_sha256}"
header = "X-Sig"
value = "v1={signature}"
timestamp_header = "X-Time"
timestamp_format = "unix_ms"
nonce_header = "X-Nonce"
id_header = "X-Delivery"
key_id_header = "X-Key"
secret = { file = "secret.txt" }
secret_encoding = "base64"
secret_prefix = "whsec_"
key_id = "k1"

[[setup]]
request = "POST /venues/{{venue}}/seats"
headers = { X-Tag = "{{tag}}" }
body = "{}"
extract = { seat = "/seat/id" }

[[setup]]
request = "POST /seats/{{seat}}/open"
headers = { Content-Type = "text/plain" }
sign = true

[[state]]
name = "free"
request = "GET /seats/{{seat}}"
pointer = "/free"
absent = 0
per_effect = -0.5
settle_ms = 20

[[state]]
request = "GET /log?zone={{zone}}"
count = true
settle_ms = 70

[limits]
effects = 3
per = ["seat"]
floor = 1

[reset]
request = "DELETE /log"

[budget]
requests = 900
effects = 800
seconds = 2.5
"""

CHECKED = """
[[invariant]]
request = "GET /accounts"
sum_of = ["/a", "/b"]
equals = 1000

[sequence]
variable = "n"
applied = { request = "GET /documents/1", pointer = "/version" }

[[mix]]
request = "POST /cancel"
body = '{"seat":"{{seat}}"}'
offset_us = 250

[[actor]]
key_id = "k2"
secret = { env = "OTHER_SECRET" }
"""


def test_every_key_of_the_format_is_understood() -> None:
    understood = plan_from_toml(WHOLE, "whole.toml")

    assert (understood.source, understood.base_url) == ("whole.toml", "http://127.0.0.1:9000")
    assert str(understood.request) == "PUT /seats/{{seat}}?trace={{n}}"
    assert understood.success == ("201", "3xx")
    assert understood.identity == ("uuid",)
    assert understood.variables["n"].start == 7
    assert understood.variables["zone"].values == ("a", "b")
    assert not understood.variables["venue"].fresh
    assert understood.variables["tag"].fresh
    assert (understood.scheme.hash, understood.scheme.timestamp_format) == ("sha512", "unix_ms")
    assert [setup.extract for setup in understood.setup] == [{"seat": "/seat/id"}, {}]
    assert [setup.request.sign for setup in understood.setup] == [False, True]
    free, log = understood.state
    assert (free.name, free.pointer, free.absent, free.per_effect) == ("free", "/free", 0, Decimal("-0.5"))
    assert (log.name, log.pointer, log.count, log.absent) == ("GET /log?zone={{zone}}", "", True, None)
    assert understood.settle_s == 0.07
    assert understood.limits is not None
    assert (understood.limits.effects, understood.limits.per, understood.limits.floor) == (3, ("seat",), 1)
    assert str(understood.reset) == "DELETE /log"
    budget = understood.budget
    assert (budget.requests, budget.effects, budget.seconds, understood.notes) == (900, 800, 2.5, ())
    assert understood.extracted == {"seat"}


def test_every_request_of_such_a_plan_can_be_built_and_signed() -> None:
    rehearse(plan_from_toml(WHOLE, "whole.toml"))


def test_invariants_sequences_mixed_requests_and_actors_are_understood() -> None:
    understood = plan_from_toml(WHOLE + CHECKED, "whole.toml")

    [invariant] = understood.invariants
    assert (str(invariant.request), invariant.sum_of, invariant.equals) == (
        "GET /accounts",
        ("/a", "/b"),
        Decimal(1000),
    )
    assert understood.sequence is not None
    assert (understood.sequence.variable, understood.sequence.applied.pointer) == ("n", "/version")
    [mixed] = understood.mix
    assert (str(mixed.request), mixed.request.sign, mixed.offset_us) == ("POST /cancel", True, 250)
    assert [name for name, _ in mixed.request.headers] == ["Content-Type", "X-Trace", "X-Delivery"]
    assert understood.actors == ({"key_id": "k2", "secret": {"env": "OTHER_SECRET"}},)
    assert [where for where, _ in understood.requests()][-4:] == [
        "[[invariant]]",
        "[sequence] applied",
        "[[mix]]",
        "[reset]",
    ]
    rehearse(understood)


def test_the_plan_of_the_formats_own_document_is_understood() -> None:
    document = Path(__file__).parents[3] / "shared" / "reference" / "plan.toml"
    if not document.exists():
        pytest.skip("the document is not part of a clone")
    understood = plan_from_toml(document.read_text(encoding="utf-8"), "plan.toml")
    rehearse(understood)
    assert understood.identity == ("uuid",)
    assert understood.limits is not None
    assert understood.limits.per == ("item",)


def test_three_sections_are_enough_and_everything_else_has_a_default() -> None:
    understood = plan()

    assert (understood.request.method, understood.success, understood.identity) == ("POST", ("2xx",), ("uuid",))
    assert (understood.setup, understood.state, understood.limits, understood.reset) == ((), (), None, None)
    assert (understood.settle_s, understood.notes) == (0.0, ())
    assert [where for where, _ in understood.requests()] == ["[request]"]


def test_without_a_reset_a_plan_has_500_effects_and_no_more_and_with_one_20000() -> None:
    assert plan().budget.effects == 500
    assert plan(budget={"effects": 20}).budget.effects == 20
    assert plan(reset={"request": "POST /reset"}).budget.effects == 20_000
    greedy = plan(budget={"effects": 9_000})
    assert greedy.budget.effects == 500
    assert greedy.notes == ("[budget] effects = 9000: without [reset], only --accept-effects grants more than 500",)
    assert plan(budget={"effects": 9_000}, reset={"request": "POST /reset"}).budget.effects == 9_000


def test_where_effects_arrive_late_a_scan_takes_longer_and_says_so_unless_the_plan_says_how_long() -> None:
    def settling(settle_ms: int, **changed: object) -> Plan:
        return plan(state=[{"request": "GET /count", "settle_ms": settle_ms}], **changed)

    assert (settling(250).budget.seconds, settling(250).notes) == (60, ())
    assert settling(500).budget.seconds == 120
    assert settling(500).notes == (
        "settle_ms = 500: a scan takes up to 120 s in place of 60; [budget] seconds says otherwise",
    )
    assert settling(9_000).budget.seconds == 600
    assert settling(500, budget={"effects": 9}).budget.seconds == 120
    assert (settling(500, budget={"seconds": 60}).budget.seconds, settling(500, budget={"seconds": 60}).notes) == (
        60,
        (),
    )


def test_a_quick_scan_waits_as_long_as_its_checks_have_to_where_effects_arrive_late_and_says_so() -> None:
    def settling(settle_ms: int, **changed: object) -> Plan:
        return plan(state=[{"request": "GET /count", "settle_ms": settle_ms}], **changed)

    in_time = quick(settling(250), settles=50, elapsed_s=1.04)
    assert (in_time.budget.seconds, in_time.notes) == (7.0, ())
    late = quick(settling(700), settles=40, elapsed_s=1.04)
    assert late.budget.seconds == 42
    assert late.notes == (
        "settle_ms = 700: a quick scan takes up to 42 s in place of 8; [budget] seconds says otherwise",
    )
    assert quick(settling(700, budget={"seconds": 20}), settles=50, elapsed_s=1.0).budget.seconds == 20


def test_a_success_is_a_status_or_a_class_of_them() -> None:
    understood = plan(request={"success": ["201", "3xx"]})
    assert [status for status in (200, 201, 302, 401, None) if understood.is_success(status)] == [201, 302]


def test_the_command_lines_base_url_takes_the_place_of_the_plans() -> None:
    text = 'target.base_url = "http://127.0.0.1:1"\nrequest.path = "/"\nsigning.secret.env = "S"\n'
    assert plan_from_toml(text, "x", base_url="http://[::1]:2").base_url == "http://[::1]:2"


def test_a_request_elsewhere_keeps_its_origin_and_one_at_base_url_has_none() -> None:
    setups = [
        {"request": "POST http://127.0.0.1:8000/a"},
        {"request": "POST HTTP://LOCALHOST:9/b?c=1"},
        {"request": "POST https://127.0.0.1"},
        {"request": "POST http://127.0.0.1:7?d"},
    ]
    requests = [setup.request for setup in plan(setup=setups).setup]
    assert [request.origin for request in requests] == [
        "",
        "http://localhost:9",
        "https://127.0.0.1",
        "http://127.0.0.1:7",
    ]
    assert [request.target.text for request in requests] == ["/a", "/b?c=1", "/", "/?d"]


def test_the_id_header_of_a_scheme_is_filled_for_every_message_and_is_no_identity() -> None:
    understood = plan(signing={"preset": "github"})
    assert [(name, value.text) for name, value in understood.request.headers] == [
        ("X-GitHub-Delivery", "{{delivery_id}}")
    ]
    assert understood.identity == ("uuid",)


def test_an_id_header_that_the_plan_fills_itself_stays_as_it_is() -> None:
    understood = plan(signing={"preset": "github"}, request={"headers": {"x-github-delivery": "{{uuid}}"}})
    assert [(name, value.text) for name, value in understood.request.headers] == [("x-github-delivery", "{{uuid}}")]


@pytest.mark.parametrize(
    ("changed", "identity"),
    [
        (
            {"request": {"body": "{{uuid}} {{nonce}} {{seq}}"}, "variables": {"seq": {"fresh": "counter"}}},
            ("seq", "uuid"),
        ),
        ({"request": {"body": "{{item}} {{nonce}}"}, "limits": {"effects": 1, "per": ["item"]}}, ("nonce",)),
        ({"request": {"body": "{{nonce}} {{shop}}"}, "variables": {"shop": {"value": "x"}}}, ("nonce",)),
        ({"request": {"body": "{{shop}}"}, "variables": {"shop": {"value": "x"}}}, ()),
        ({"request": {"body": "x"}, "signing": {"preset": "github"}}, ("delivery_id",)),
        ({"request": {"body": "x"}, "signing": {"id_header": "X-Id", "nonce_header": "X-N"}}, ("nonce",)),
        ({"identity": {"variables": []}}, ()),
    ],
)
def test_the_identity_is_every_fresh_variable_but_nonce_and_resource_and_else_the_nonce(
    changed: dict[str, object], identity: tuple[str, ...]
) -> None:
    if "limits" in changed:
        changed = {**changed, "variables": {"item": {"fresh": "uuid4"}}}
    assert plan(**changed).identity == identity
