from typing import Any

import pytest

from tocsin.scan import PlanError, plan_from_tables, tables_from_curl

ORDER = """curl -sS -X POST 'http://127.0.0.1:8000/order?dry=0' \\
  -H 'Content-Type: application/json' -H 'X-Shop: north' \\
  --data-raw '{"id":"{{uuid}}"}'"""


def request_of(command: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = tables_from_curl(command, **options)["request"]
    return found


def test_a_pasted_command_becomes_target_and_request() -> None:
    assert tables_from_curl(ORDER) == {
        "target": {"base_url": "http://127.0.0.1:8000"},
        "request": {
            "method": "POST",
            "path": "/order?dry=0",
            "headers": {"Content-Type": "application/json", "X-Shop": "north"},
            "body": '{"id":"{{uuid}}"}',
        },
    }


def test_a_command_with_a_scheme_and_a_secret_is_a_whole_plan() -> None:
    signing = {"preset": "hex-sha256-body", "secret": {"env": "ORDERS_SECRET"}}
    plan = plan_from_tables({**tables_from_curl(ORDER), "signing": signing}, "--curl")
    assert (str(plan.request), plan.identity) == ("POST /order?dry=0", ("uuid",))


def test_the_word_curl_the_url_scheme_and_the_method_may_be_left_out() -> None:
    assert tables_from_curl("127.0.0.1:8000/read")["target"] == {"base_url": "http://127.0.0.1:8000"}
    assert request_of("127.0.0.1:8000/read")["method"] == "GET"
    assert request_of("curl 127.0.0.1:8000 -d x")["method"] == "POST"
    assert request_of("curl 127.0.0.1:8000 -d x")["path"] == "/"


def test_data_given_in_parts_is_joined_and_is_a_form_unless_a_header_says_otherwise() -> None:
    form = request_of("curl http://127.0.0.1/ -d a=1 -d b=2")

    assert (form["body"], form["headers"]) == ("a=1&b=2", {"Content-Type": "application/x-www-form-urlencoded"})
    assert request_of("curl http://127.0.0.1/ -d a=1 -H 'content-type: text/x'")["headers"] == {
        "content-type": "text/x"
    }


def test_headers_that_are_made_anew_are_left_out_the_pasted_signature_among_them() -> None:
    command = "curl http://127.0.0.1/ -H 'Host: a' -H 'Content-Length: 1' -H 'X-Signature: 00ff' -H 'X-Kept: 1'"
    assert request_of(command, drop=frozenset({"x-signature"}))["headers"] == {"X-Kept": "1"}


def test_a_header_given_twice_is_refused_for_a_table_has_room_for_one() -> None:
    with pytest.raises(PlanError, match="the header x-tag is given twice: wanted once"):
        tables_from_curl("curl http://127.0.0.1/ -H 'X-Tag: 1' -H 'x-tag: 2'")


@pytest.mark.parametrize(
    "command",
    [
        "curl",
        "curl -H",
        "curl -L http://127.0.0.1/",
        "curl --data-urlencode a=b http://127.0.0.1/",
        "curl http://127.0.0.1/ http://127.0.0.2/",
        "curl -d @body.json http://127.0.0.1/",
        "curl -H 'no colon' http://127.0.0.1/",
        "curl -d 'unfinished http://127.0.0.1/",
        "curl ftp://127.0.0.1/",
        "curl -d $'a\\nb' http://127.0.0.1/",
    ],
)
def test_what_is_not_understood_is_refused_and_never_dropped(command: str) -> None:
    with pytest.raises(PlanError, match=r"^--curl: "):
        tables_from_curl(command)


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(PlanError) as refused:
        tables_from_curl("curl http://alice:tr0ub4dor@127.0.0.1/")
    assert "tr0ub4dor" not in str(refused.value)
