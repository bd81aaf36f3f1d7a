"""The code that closes the hole: what is shown is code, and runs where the names in it are there."""

import ast

import pytest

from tests.scan.services.plans import plan
from tocsin.scan._remedy import guard_call


def lines(**changed: object) -> list[str]:
    code = guard_call(plan(**changed))
    ast.parse(code)
    return code.splitlines()


def test_the_guard_is_put_around_the_operation_with_the_names_of_the_plan() -> None:
    assert lines(request={"path": "/shops/{{shop}}/order-{{n}}?x={{n}}"}, variables=FRESH) == [
        'guard = Guard(preset("hex-sha256-body"), keys, SQLiteStore("app.db"))',
        "",
        '@app.post("/shops/<shop>/order-<n>")',
        '@guard.flask(key=json_pointer("/id"))',
        "def handler(signed, tx, shop, n):",
        "    ...  # every write through tx: one commit with the claim",
    ]


FRESH = {"shop": {"value": "north"}, "n": {"fresh": "counter"}}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"id":"{{uuid}}"}', 'key=json_pointer("/id")'),
        ('{"order":{"a/b~":{{n}},"id":"x"}}', 'key=json_pointer("/order/a~1b~0")'),
        ('{"ids":["{{uuid}}"],"ref":"{{uuid}}"}', 'key=json_pointer("/ref")'),
        ('{"id":"order-{{uuid}}"}', "key=body_digest(days=3)"),
        ("id={{uuid}}", "key=body_digest(days=3)"),
        ("", "key=body_digest(days=3)"),
    ],
)
def test_the_key_is_where_the_identity_stands_in_the_body_and_else_the_body_itself(body: str, key: str) -> None:
    changed = {"path": "/order/{{uuid}}", "body": body}
    assert f"@guard.flask({key})" in lines(request=changed, variables=FRESH)


def test_a_scheme_with_a_message_id_needs_no_other_key() -> None:
    signing = {"preset": "tocsin-v1", "key_id": "k1"}
    assert "@guard.flask()" in lines(signing=signing, request={"headers": {"Idempotency-Key": "{{uuid}}"}, "body": "x"})


def test_a_scheme_of_the_plans_own_has_to_be_declared_in_the_service_too() -> None:
    assert 'guard = Guard(Scheme(...), keys, SQLiteStore("app.db"))' in lines(signing={"header": "X-Other"})
    assert 'guard = Guard(Scheme(...), keys, SQLiteStore("app.db"))' in lines(signing={"preset": None})


def test_a_method_without_a_decorator_of_its_own_is_spelled_out() -> None:
    assert '@app.route("/order", methods=["PURGE"])' in lines(request={"method": "PURGE"})
