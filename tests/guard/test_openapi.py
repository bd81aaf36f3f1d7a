from typing import Any

from tocsin.guard._openapi import documented, with_the_guards
from tocsin.signing import preset

HEX, TOCSIN = preset("hex-sha256-body"), preset("tocsin-v1")


def parameters(document: dict[str, Any]) -> list[str]:
    assert all(field["required"] and field["in"] == "header" for field in document["parameters"])
    return [field["name"] for field in document["parameters"]]


def test_the_header_fields_of_the_scheme_are_there_signed_ones_first() -> None:
    assert parameters(with_the_guards(None, {}, HEX, 200)) == ["X-Signature"]
    assert parameters(with_the_guards(None, {}, TOCSIN, 200)) == ["Idempotency-Key", *TOCSIN.written_headers]


def test_every_answer_that_the_guard_gives_by_itself_is_there() -> None:
    responses = with_the_guards(None, {}, HEX, 201)["responses"]
    assert sorted(responses) == ["201", "400", "401", "409", "413", "422", "503"]
    assert list(responses["201"]["headers"]) == ["Idempotent-Replayed"]
    assert all("application/problem+json" in responses[status]["content"] for status in responses if status != "201")
    assert [status for status in sorted(responses) if "Retry-After" in responses[status].get("headers", {})] == [
        "409",
        "503",
    ]


def test_what_the_developer_has_said_stays_and_is_not_said_twice() -> None:
    own = {"name": "x-signature", "in": "header", "required": True}
    said = {"x-internal": True, "parameters": [own], "responses": {"409": {"description": "mine"}}}
    document = with_the_guards(said, {409: {"description": "mine"}, "422": {"model": None}}, HEX, 200)
    assert document["x-internal"] is True
    assert document["parameters"] == [own]
    assert document["responses"]["409"] == {"description": "mine"}
    assert "description" in document["responses"]["422"]
    assert "description" not in with_the_guards(None, {409: {"description": "mine"}}, HEX, 200)["responses"]["409"]


def test_an_older_message_has_an_answer_of_its_own_where_the_usual_one_is_another() -> None:
    ordered = with_the_guards(None, {}, HEX, 201, is_ordered=True)["responses"]
    assert ordered["200"]["content"]["application/json"]["schema"]["properties"]["status"] == {"const": "superseded"}
    assert list(ordered["201"]["headers"]) == ["Idempotent-Replayed"]
    same = with_the_guards(None, {}, HEX, 200, is_ordered=True)["responses"]
    assert same == with_the_guards(None, {}, HEX, 200)["responses"]
    own = {"responses": {"200": {"description": "mine"}}}
    assert with_the_guards(own, {}, HEX, 201, is_ordered=True)["responses"]["200"] == {"description": "mine"}


def test_a_second_time_adds_nothing() -> None:
    """A route that is included in another router is made again, by some versions of FastAPI."""
    once = with_the_guards(None, {}, TOCSIN, 200)
    assert with_the_guards(once, {}, TOCSIN, 200) == once


def test_what_a_framework_has_made_of_an_operation_stays_and_is_added_to() -> None:
    cookie = {"name": "session", "in": "cookie"}
    made = {
        "operationId": "order",
        "parameters": [cookie],
        "responses": {
            "201": {"description": "Created", "content": {"application/json": {}}},
            "400": {"description": "mine", "content": {"application/json": {}}},
            "404": {"description": "no such item"},
        },
    }
    document = documented(made, HEX, 201)
    assert [field["name"] for field in document["parameters"]] == ["session", "X-Signature"]
    assert document["operationId"] == "order"
    responses = document["responses"]
    assert responses["201"]["description"] == "Created"
    assert list(responses["201"]["headers"]) == ["Idempotent-Replayed"]
    assert responses["400"]["description"] == "mine"
    assert sorted(responses["400"]["content"]) == ["application/json", "application/problem+json"]
    assert responses["404"] == {"description": "no such item"}
    assert documented(document, HEX, 201) == document
