"""Where a scan may go is decided from the text of the URLs and the command line, whatever the plan says."""

import socket
from typing import Any

import pytest

from tests.scan.services.plans import plan
from tocsin.scan import EffectsNotAccepted, PlanError, RailError, addresses, authorise

RESET = {"request": "POST /reset"}


def allowed(*authorized_for: str, **changed: Any) -> bool:
    try:
        authorise(plan(**{"reset": RESET, **changed}), authorized_for, accept_effects=None)
    except RailError as error:
        if "--authorized-for" not in str(error):
            raise
        return False
    return True


def at(base_url: str) -> dict[str, str]:
    return {"base_url": base_url}


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000",
        "http://127.9.9.9",
        "http://localhost:8000",
        "http://LocalHost",
        "http://[::1]:8000",
        "http://[0:0:0:0:0:0:0:1]",
        "https://127.0.0.1",
    ],
)
def test_this_machine_needs_no_permission(base_url: str) -> None:
    assert allowed(target=at(base_url))


@pytest.mark.parametrize(
    "base_url",
    [
        "http://shop.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://localhost.",
        "http://evil-localhost",
        "http://127.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://127.0.0.01",
        "http://0.0.0.0",
        "http://0",
        "http://[::]",
        "http://[::ffff:127.0.0.1]",
        "http://[2001:db8::1]",
        "http://10.0.0.1",
        "http://169.254.169.254",
    ],
)
def test_whatever_merely_looks_like_this_machine_is_refused(base_url: str) -> None:
    assert not allowed(target=at(base_url))


@pytest.mark.parametrize(
    "base_url", ["http://127.0.0.1@evil.example", "http://evil.example\\@127.0.0.1", "http://evil.example#@127.0.0.1"]
)
def test_a_url_with_a_user_name_or_worse_is_no_origin_at_all(base_url: str) -> None:
    with pytest.raises(PlanError):
        plan(target=at(base_url))


ELSEWHERE = "http://evil.example:8000/x"


@pytest.mark.parametrize(
    "changed",
    [
        {"setup": [{"request": "POST /ok"}, {"request": f"POST {ELSEWHERE}"}]},
        {"state": [{"request": f"GET {ELSEWHERE}"}]},
        {"reset": {"request": f"POST {ELSEWHERE}"}},
        {"setup": [{"request": "POST http://127.0.0.1.evil.example/x"}]},
        {"state": [{"request": "GET http://2130706433/x"}]},
        {"also": [{"request": f"POST {ELSEWHERE}"}]},
        {"also": [{"request": "POST /b", "state": {"request": f"GET {ELSEWHERE}"}}]},
        {"invariant": [{"request": f"GET {ELSEWHERE}", "sum_of": ["/a"], "equals": 1}]},
        {"teardown": [{"request": f"DELETE {ELSEWHERE}"}]},
        {"target": at("http://127.0.0.1:8000") | {"nodes": ["http://127.0.0.1:8001", "http://evil.example:8000"]}},
        {
            "request": {"body": '{"id":"{{uuid}}","n":{{n}}}'},
            "variables": {"n": {"fresh": "counter"}},
            "sequence": {"variable": "n", "applied": {"request": f"GET {ELSEWHERE}"}},
        },
    ],
)
def test_every_request_of_a_plan_is_held_to_it_and_not_only_the_operation(changed: dict[str, Any]) -> None:
    assert not allowed(**changed)
    assert allowed("evil.example", "127.0.0.1.evil.example", "2130706433", **changed)


def test_another_port_of_this_machine_is_this_machine() -> None:
    assert allowed(state=[{"request": "GET http://127.0.0.1:9/x"}])


@pytest.mark.parametrize("given", ["shop.example", "SHOP.example", "shop.example:8000"])
def test_a_host_is_allowed_by_its_own_name_with_or_without_the_port(given: str) -> None:
    assert allowed(given, target=at("http://Shop.Example:8000"))


@pytest.mark.parametrize(
    "given",
    ["example", ".example", "*", "shop.example:80", "hop.example", "shop.example.", "http://shop.example:8000", ""],
)
def test_no_other_word_allows_it(given: str) -> None:
    assert not allowed(given, target=at("http://shop.example:8000"))


def test_one_host_does_not_speak_for_another() -> None:
    changed = {"target": at("http://shop.example"), "state": [{"request": "GET http://audit.example/count"}]}
    assert not allowed("shop.example", **changed)
    assert allowed("shop.example", "audit.example", **changed)


def test_an_ipv6_address_is_allowed_without_its_brackets_or_with_brackets_and_port() -> None:
    assert allowed("2001:db8::1", target=at("http://[2001:DB8::1]:80"))
    assert allowed("[2001:db8::1]:80", target=at("http://[2001:db8::1]:80"))


@pytest.mark.parametrize("section", ["target", "budget", "reset", "signing"])
def test_a_plan_cannot_grant_anything_to_itself(section: str) -> None:
    base = {"reset": RESET} if section == "reset" else {}
    granted = {**base.get(section, {}), "authorized_for": ["shop.example"]}
    with pytest.raises(PlanError, match="authorized_for"):
        plan(**{section: granted})
    with pytest.raises(PlanError, match='unknown key "authorized_for"'):
        plan(authorized_for=["shop.example"])


@pytest.mark.parametrize("key", ["allow_oracle", "accept_effects", "opt_in", "ownership_proof"])
def test_nor_anything_else_that_is_the_command_lines(key: str) -> None:
    for changed in ({key: ["sql"]}, {"target": {key: "sql"}}, {"state": [{"request": "GET /a", key: True}]}):
        with pytest.raises(PlanError, match=key):
            plan(**changed)


def test_a_literal_secret_is_for_this_machine_alone() -> None:
    literal = {"secret": {"value": "canary"}}
    assert allowed(signing=literal)
    for changed in (
        {"target": at("http://shop.example")},
        {"setup": [{"request": "POST http://shop.example/", "sign": True}]},
    ):
        with pytest.raises(
            RailError, match="literal value, which is only for loopback targets: wanted env or file"
        ) as no:
            authorise(plan(reset=RESET, signing=literal, **changed), ["shop.example"], accept_effects=None)
        assert "canary" not in str(no.value)


def test_effects_that_nothing_resets_must_be_accepted_by_somebody() -> None:
    with pytest.raises(
        EffectsNotAccepted, match=r"no \[reset\]: give one, or accept up to N changes with --accept-effects"
    ):
        authorise(plan(), [], accept_effects=None)
    assert authorise(plan(), [], accept_effects=2_000).budget.effects == 2_000
    assert authorise(plan(reset=RESET), [], accept_effects=None).budget.effects == 20_000
    assert authorise(plan(reset=RESET), [], accept_effects=7).budget.effects == 7


def test_every_origin_is_resolved_once_and_keeps_its_name() -> None:
    found = addresses(plan(state=[{"request": "GET http://[::1]:9/count"}]))
    assert {name: address.ip for name, address in found.items()} == {"": "127.0.0.1", "http://[::1]:9": "::1"}


def test_a_localhost_that_is_another_machine_is_refused_once_its_address_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 8000))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: elsewhere)
    with pytest.raises(
        RailError, match=r"http://localhost:8000 is 192\.0\.2\.7 on this machine, which is not loopback"
    ):
        addresses(plan(target=at("http://localhost:8000")))


def test_a_name_that_no_resolver_takes_is_refused_in_one_sentence() -> None:
    with pytest.raises(RailError, match=r"^http://-: the URL has the host '-'"):
        addresses(plan(target=at("http://-")))
