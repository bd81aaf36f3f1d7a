"""What is a secret, by its name, its shape and where it stands; and what only looks like one."""

import json
from urllib.parse import quote, quote_plus

import pytest

from tests.inputs.making import of_requests, post
from tocsin.inputs import Exchange
from tocsin.inputs._secrets import is_secret, is_secret_segment

NAMES = (
    "userpassword authtoken accesstoken clientsecret sessionid PHPSESSID pass passcode security_code accessCode APIkey "
    "X-Pass X-Sessionid X-Authtoken X-Vault-Key Authentication X-Authentication merchantKey signingkey access_key_id "
    "device_tokens webhooksecret"
)
OTHER_NAMES = (
    "passenger compass bypass author authority tokenizer max_tokens keyboard monkey secretary design pinned company "
    "keyword key sort_key order_key idempotency_key key_id classification assignee"
)
SHAPES = [
    "4242-4242-4242-4242",
    "4242 4242 4242 4242",
    "my card 3782 822463 10005.",
    "4242+4242+4242+4242",
    "https://ann:open@shop.example/x",
    "my key is sk_live_aBcDeF0123456789",
    "please use Bearer abcdefghijabcdefghij",
    "Basic%20b3Blbg==",
    "k3yAbCdEfGhIjKlMnOpQrStUvWx0123456%2FyZ%3D%3D",
    "see eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n",
    "https://shop.example/back?a=1&access_token=x",
    "https%3A%2F%2Fshop.example%2Fback%3Ftoken%3Dx",
    "password: hunter2",
    '{"id":1,"password":"hunt',
]
OTHER_SHAPES = [
    "4242 4242 4242 4243",
    "1795313343123",
    "2026-01-31 12:00:00",
    "+49 151 2345 6789",
    "mail ann@shop.example http://shop.example/a@b",
    "risk_management_plan",
    "a basic plan",
    "eyJeyJeyJ",
    "Token",
    "YXBpbg==",
    "what a pass",
    "/token:refresh",
]


@pytest.mark.parametrize("name", NAMES.split())
def test_a_name_is_a_secrets_however_its_words_are_written(name: str) -> None:
    assert is_secret(name, "x")


@pytest.mark.parametrize("name", OTHER_NAMES.split())
def test_a_name_that_only_begins_or_ends_like_one_is_none(name: str) -> None:
    assert not is_secret(name, "100")


@pytest.mark.parametrize("text", SHAPES)
def test_a_value_is_a_secret_wherever_it_begins_and_however_it_is_encoded(text: str) -> None:
    assert is_secret("note", text)


@pytest.mark.parametrize("text", OTHER_SHAPES)
def test_a_value_that_only_resembles_one_is_none(text: str) -> None:
    assert not is_secret("note", text)


def test_a_segment_is_judged_with_its_parameters() -> None:
    assert is_secret_segment("pay;jsessionid=A1")
    assert is_secret_segment("token=A1")
    assert not is_secret_segment("pay;lang=de")


@pytest.mark.parametrize("text", ["eyJ", "a=", "4242 ", "4", "://a", "-----BEGIN ", "?a", '"a" ', " ", "eyJ-", "\\"])
def test_a_long_value_is_judged_at_once(text: str) -> None:
    """No pattern looks at the rest of the text from every place in it: that would take minutes."""
    assert not is_secret("note", text * 100_000)


HUSH = "hunter2-hush"


@pytest.mark.parametrize(
    "body",
    [
        {"payload": json.dumps({"password": HUSH})},
        {"payload": json.dumps({"inner": json.dumps([{"token": HUSH}])})},
        [{"name": "password", "value": HUSH}],
        [{"Key": "api_key", "Value": [HUSH]}],
        {"password": {"value": HUSH}},
        {"payload": "[" * 600 + f'{{"password":"{HUSH}"}}' + "]" * 600},
        {"key_file": f"-----BEGIN PRIVATE KEY-----\n{HUSH}\n"},
    ],
)
def test_a_secret_is_found_however_deep_it_stands_in_json(body: object) -> None:
    made = of_requests([post(json.dumps(body)), _form(f"payload={quote_plus(json.dumps(body))}")])

    assert HUSH not in made
    assert '{ value = "TODO" }' in made
    assert HUSH not in of_requests([_form(f"payload={quote_plus(json.dumps(body))}")])
    assert HUSH not in of_requests([post("{}", f"/orders?payload={quote(json.dumps(body))}")])


@pytest.mark.parametrize(
    "target",
    [f"/pay;jsessionid={HUSH}", f"/pay;{'a1' * 20}{HUSH}", f"/token={HUSH}/pay", f"/pay?a=1;token={HUSH}",
     f"/pay?{'a1' * 20}{HUSH}", f"/pay?code={'a1' * 20}%2F{HUSH}%3D%3D"],
)  # fmt: skip
def test_a_secret_is_found_wherever_it_stands_in_a_target(target: str) -> None:
    operation = post('{"order_id":"o-1"}', target)
    read = Exchange("GET", operation.origin, target, (), b"", 200, b'{"count":1}')

    made = of_requests([operation, read])

    assert HUSH not in made
    assert HUSH not in str(operation).partition("?")[0]


def test_a_secret_that_is_known_is_one_in_another_spelling() -> None:
    body = "proof=open%2Fsesame&by=ann"
    assert "sesame" not in of_requests([_form(body, ("Authorization", "Basic open/sesame"))])


def test_json_within_a_text_keeps_what_is_no_secret_and_its_form() -> None:
    inner = json.dumps({"order_id": "o-1", "token": "x", "note": 'a "b" \u00e9', "qty": 1.10})
    made = of_requests([_form(f"payload={quote_plus(inner)}&plain=%7B%22a%22%3A+1%7D&bare=%7B")])

    payload = quote('{"order_id":"') + "{{order_id}}" + quote('","token":"') + "{{token}}"
    payload += quote('","note":"a \\"b\\" \u00e9","qty":1.1}')
    assert f'body = "payload={payload}&plain=%7B%22a%22%3A+1%7D&bare=%7B"' in made


def test_a_value_within_a_text_is_declared_as_it_will_be_inserted_there() -> None:
    inner = json.dumps({"item": 'a"b', "token": "x"})
    assert 'item = { value = "a%5C%22b" }' in of_requests([_form(f"payload={quote_plus(inner)}")])
    escaped_twice = r"a\\\"b"
    assert f"item = {{ value = '{escaped_twice}' }}" in of_requests([post(json.dumps({"payload": inner}))])


def test_what_is_labelled_and_no_secret_stays() -> None:
    body = [{"name": "color", "value": "red"}, {"type": "token", "data": {"a": "b"}}, {"value": "c"}]
    assert json.dumps(body, separators=(",", ":")) in of_requests([post(json.dumps(body))])


def _form(body: str, *headers: tuple[str, str]) -> Exchange:
    fields = (("Content-Type", "application/x-www-form-urlencoded"), *headers)
    return Exchange("POST", "https://shop.example", "/orders", fields, body.encode())
