"""What a value is, by its name and its shape; in doubt it is a secret."""

import pytest

from tests.inputs.making import of_requests, post, understood
from tocsin.inputs import InputError, of_preset, plan_text, sketch_of
from tocsin.inputs._toml import comment, key, string
from tocsin.inputs._values import Kind, classify, fresh_like, instant_variable
from tocsin.inputs._words import singular
from tocsin.signing import preset

SECRETS = {
    "password": "hunter2",
    "clientSecret": "x",
    "X-Api-Key": "k",
    "csrfToken": "t",
    "card_number": "4242",
    "note": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "extra": "Bearer abc",
    "pay": "4242424242424242",
    "key": "8f434346648f6b96df89dda901c5176b",
    "plain": "sk_live_51HqAbCdEf",
    "blob": "8f434346648f6b96df89dda901c5176b10a6d839",
}


@pytest.mark.parametrize(("name", "text"), SECRETS.items())
def test_what_may_be_a_secret_is_left_out_of_body_query_and_header(name: str, text: str) -> None:
    made = of_requests([post(f'{{"{name}":"{text}"}}', f"/orders?{name}={text}", **{f"X-{name}": text})])

    assert text not in made.replace("X-", "").replace(name, "") or len(text) == 1
    assert '{ value = "TODO" }' in made


def test_a_secret_is_one_wherever_it_stands() -> None:
    body = '{"a":"open sesame","note":"open","by":"ann17"}'
    made = of_requests([post(body, "/orders?who=ann17", Authorization="Basic open", X_Token="open sesame")])

    assert '{"a":"{{a}}","note":"{{note}}","by":"ann17"}' in made
    assert "open" not in made


def test_a_hook_with_its_key_in_the_path_is_shown_nowhere() -> None:
    made = of_requests([post("{}", "/services/T01/B02/8f434346648f6b96df89dda901c5176b")])

    assert "8f43" not in made
    assert "/services/T01/B02/{{secret_part}}" in made
    assert "8f43" not in str(post("", "/services/8f434346648f6b96df89dda901c5176b?key=1"))


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("order_id", "o-1", Kind.FRESH),
        ("id", "17", Kind.FRESH),
        ("idempotencyKey", "8f434346648f6b96df89dda901c5176b", Kind.FRESH),
        ("debit_ref", "d-1", Kind.FRESH),
        ("seq", "4", Kind.FRESH),
        ("seq", "four", Kind.PLAIN),
        ("item_id", "sku-1", Kind.THING),
        ("sku", "sku-1", Kind.THING),
        ("to", "2f1f9c1e-5f5c-4b3a-9b0a-0c7d3c0a4d11", Kind.THING),
        ("sent_at", "1795313343", Kind.INSTANT),
        ("sentAt", "1795313343123", Kind.INSTANT),
        ("time", "2026-01-31T12:00:00.5Z", Kind.INSTANT),
        ("expires_at", "1795313343", Kind.PLAIN),
        ("created", "yesterday", Kind.PLAIN),
        ("until", "2026-01-31T12:00:00.123456+00:00", Kind.PLAIN),
        ("currency", "EUR", Kind.PLAIN),
        ("author", "Ann", Kind.PLAIN),
    ],
)
def test_a_value_is_of_one_kind(name: str, text: str, kind: Kind) -> None:
    assert classify(name, text, about="debit") is kind


def test_an_instant_has_the_variable_that_spells_it() -> None:
    spelled = [instant_variable("at", text) for text in ("1795313343", "1795313343123", "2026-01-31T12:00:00Z", "now")]
    assert spelled == ["timestamp", "timestamp_ms", "timestamp_iso", ""]


@pytest.mark.parametrize(
    ("name", "text", "toml"),
    [
        ("id", "2f1f9c1e-5f5c-4b3a-9b0a-0c7d3c0a4d11", '{ fresh = "uuid4" }'),
        ("nonce", "0123456789abcdef", '{ fresh = "hex16" }'),
        ("id", "17", '{ fresh = "counter" }'),
        ("id", "ord_17", '{ fresh = "template", value = "ord_{{n}}" }'),
        ("id", "abc17", '{ fresh = "template", value = "abc{{n}}" }'),
        ("orders", "first", '{ fresh = "template", value = "order-{{n}}" }'),
        ("7", "first", '{ fresh = "template", value = "id-{{n}}" }'),
    ],
)
def test_a_fresh_value_looks_like_the_one_it_stands_for(name: str, text: str, toml: str) -> None:
    assert fresh_like(name, text) == toml


def test_a_noun_is_put_into_the_singular() -> None:
    assert [singular(noun) for noun in ("orders", "deliveries", "stock")] == ["order", "delivery", "stock"]


def test_one_value_has_one_variable_wherever_it_stands() -> None:
    made = of_requests(
        [post('{"order_id":"ord_17","again":{"orderId":"ord_17"}}', "/orders/ord_17", X_Order_Id="ord_17")]
    )

    assert made.count("{{order_id}}") == 5  # once in the head, for people
    assert understood(made).identity == ("order_id",)


def test_a_short_value_is_another_one_under_another_name() -> None:
    made = of_requests([post('{"item_id":1,"qty":1,"user_id":1}')])

    assert 'body = \'{"item_id":{{item_id}},"qty":1,"user_id":{{user_id}}}\'' in made


def test_names_of_variables_are_free_and_can_stand_in_a_template() -> None:
    made = of_requests([post('{"timestamp_id":"a-1","3-id":"b-2","item id":"c-3","item-id":"d-4","é_id":"e-5","é":1}')])

    for name in ("timestamp_id", "v_3_id", "item_id", "item_id_2", "_id"):
        assert f"\n{name.strip('_')}" in made
    plan = understood(made)
    assert {"item_id", "item_id_2"} <= set(plan.variables)


def test_what_the_user_has_marked_stays_and_is_declared() -> None:
    made = of_requests([post('{"id":"{{uuid}}","code":"{{coupon}}","at":{{timestamp}},"password":"{{pw}}"}')])

    assert '"id":"{{uuid}}","code":"{{coupon}}"' not in made  # no JSON: {{timestamp}} stands bare
    made = of_requests([post('{"id":"{{uuid}}","code":"{{coupon}}","password":"{{pw}}","token":"x{{pw}}"}')])
    assert '"id":"{{uuid}}","code":"{{coupon}}","password":"{{pw}}","token":"{{token}}"' in made
    assert 'coupon = { fresh = "uuid4" }' in made


def test_toml_holds_any_text_but_half_a_character() -> None:
    assert string('a"b') == "'a\"b'"
    assert string("a\"b'\x7f\n") == '"a\\"b\'\\u007f\\n"'
    assert (key("X-Shop"), key("a b"), key('a"b')) == ("X-Shop", '"a b"', '"a\\"b"')
    assert comment("a\nsecret = 1") == "# a secret = 1"
    with pytest.raises(InputError, match="half of a surrogate pair"):
        string("\ud800")


def test_a_named_scheme_is_not_guessed_and_asks_for_its_key_id() -> None:
    sketch = sketch_of([post('{"id":1}', Idempotency_Key="k-1")], 0, "x", signing=of_preset(preset("tocsin-v1")))
    text = plan_text(sketch, secret_env="ORDERS_SECRET")

    assert 'preset = "tocsin-v1"\nkey_id = "TODO"\nsecret = { env = "ORDERS_SECRET" }\n' in text
    understood(text)
