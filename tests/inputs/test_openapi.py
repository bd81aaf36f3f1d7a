"""From an OpenAPI description: which operation is signed, what it sends, where its effect shows."""

import json
import subprocess
import sys
import uuid
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header
from pydantic import BaseModel, Field

from tests.inputs.documents import SHOP, shop
from tests.inputs.making import of_description, understood
from tocsin.inputs import InputError, of_preset
from tocsin.inputs.openapi import sketch_of_description
from tocsin.signing import preset

DEBIT = "/wallets/{wallet_id}/debits"


def refusal(document: str | bytes, entry: int | None = None, **files: str) -> str:
    octets = document.encode() if isinstance(document, str) else document
    with pytest.raises(InputError) as refused:
        sketch_of_description(octets, "api.yaml", files=lambda name: files[name].encode(), entry=entry)
    return str(refused.value)


def of(document: dict[str, Any], entry: int | None = None) -> str:
    return of_description(json.dumps(document), entry)


def body_of(schema: object) -> str:
    """The body that is made of a schema."""
    document = shop()
    document["paths"][DEBIT]["post"]["requestBody"]["content"]["application/json"]["schema"] = schema
    return understood(of(document)).request.body.text


def test_the_signed_operation_is_found_and_paired_with_what_it_takes_from() -> None:
    made = of_description(SHOP)
    plan = understood(made)

    assert plan.base_url == "https://eu.shop.example"
    assert str(plan.request) == "POST /v1/orders"
    assert plan.request.body.text == '{"order_id":"{{order_id}}","item_id":"{{item_id}}","qty":1}'
    assert plan.scheme.name == "github"
    assert [(state.name, state.pointer) for state in plan.state] == [("GET /v1/items/{{item_id}}", "/stock")]
    assert "per_effect = -1  # TODO: by how much does one effect change it?" in made
    assert "#   GET /v1/orders  at /orders, the length of the list" in made
    assert "/page" not in made
    assert "# TODO: X-Api-Key is left out, for it is a secret" in made
    assert "#   the document has POST /items" in made


def test_a_description_in_json_with_parameters_of_its_own() -> None:
    made = of(shop())
    plan = understood(made)

    assert str(plan.request) == "POST /wallets/{{wallet_id}}/debits"
    assert plan.request.body.text == '{"reference":"{{reference}}","amount":2,"sent_at":"{{timestamp_iso}}"}' or (
        '"sent_at":"{{timestamp_iso}}"' in plan.request.body.text
    )
    assert [(state.name, state.pointer) for state in plan.state] == [("GET /wallets/{{wallet_id}}", "/balance")]
    assert 'wallet_id = { value = "w-1" }' in made


def test_the_scheme_that_the_user_names_is_taken() -> None:
    sketch = sketch_of_description(
        SHOP.encode(), "api.yaml", files=lambda _name: b"", signing=of_preset(preset("stripe"))
    )

    assert sketch.signing.lines == ('preset = "stripe"',)
    assert any("X-Hub-Signature-256 is left out" in line for line in sketch.left_out)


def test_several_operations_are_listed_the_signed_ones_first() -> None:
    document = shop()
    post = document["paths"][DEBIT]["post"]
    document["paths"]["/refunds"] = {"post": {"parameters": post["parameters"]}, "delete": {}}

    assert refusal(json.dumps(document)) == (
        "api.yaml: 2 signed operations: wanted --entry N\n"
        "  0: POST /wallets/{wallet_id}/debits  (X-Signature)\n"
        "  1: POST /refunds  (X-Signature)"
    )
    assert 'path = "/refunds"' in of(document, 1)
    assert 'method = "DELETE"' in of(document, 2)
    wanted = "wanted 0 to 2, the operations that change something"
    assert refusal(json.dumps(document), 3) == f"api.yaml: --entry 3: {wanted}"
    for item in document["paths"].values():
        item.get("post", {}).pop("parameters", None)
    assert "3 operations that change something, none of which says that it is signed" in refusal(json.dumps(document))
    assert "it has no operation that changes anything" in refusal("openapi: 3.0.0")


def test_one_operation_without_a_word_about_signatures_is_taken() -> None:
    made = of_description("openapi: 3.0.0\npaths: {/pay: {put: {}, get: {}}, x-owner: us}")

    assert 'method = "PUT"\npath = "/pay"' in made
    assert "nothing in the source is a signature" in made
    assert "TODO: where does the service run?" in made


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ({"example": {"a": [1, None, True, 1.5, "x"]}}, '{"a":[1,null,true,1.5,"x"]}'),
        ({"type": "object", "properties": {"a": {"const": 3}, "b": {"default": "x"}}}, '{"a":3,"b":"x"}'),
        ({"properties": {"a": {"enum": ["x", "y"]}, "b": {"examples": ["z"]}}}, '{"a":"x","b":"z"}'),
        ({"oneOf": [{"properties": {"a": {"type": "boolean"}}}]}, '{"a":true}'),
        ({"anyOf": []}, ""),
        ({"items": {"type": "integer"}}, "[1]"),
        ({"type": "array"}, "[]"),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, True], "properties": {"b": True}}, '{"a":null,"b":null}'),
        ({"properties": {"a": {"type": "integer", "minimum": "x"}, "b": {}}}, '{"a":1,"b":null}'),
        ({"properties": {"a": {"type": ["null"]}, "b": {"format": "email", "type": "string"}}}, None),
        (True, ""),
        ({"enum": []}, ""),
        ({"type": "object"}, "{}"),
    ],
)
def test_a_body_is_made_of_examples_first_and_then_of_types(schema: object, body: str | None) -> None:
    assert body_of(schema) == (body if body is not None else '{"a":null,"b":"somebody@example.com"}')


def test_a_schema_that_contains_itself_ends() -> None:
    document = shop()
    document["components"] = {
        "schemas": {
            "Node": {"properties": {"n": {"$ref": "#/components/schemas/Node"}}},
            "All": {"allOf": [{"$ref": "#/components/schemas/All"}], "properties": {"count": {"type": "integer"}}},
        }
    }
    media = document["paths"][DEBIT]["post"]["requestBody"]["content"]["application/json"]
    media["schema"] = {"$ref": "#/components/schemas/Node"}
    answer = document["paths"]["/wallets/{id}"]["get"]["responses"]["200"]["content"]["application/json"]
    answer["schema"] = {"$ref": "#/components/schemas/All"}

    assert '{"n":{"n":' in of(document)
    # Each part is merged once: seven levels of twelve would be 35 million.
    document["components"]["schemas"]["All"]["allOf"] *= 12
    media["schema"] = {"$ref": "#/components/schemas/All"}
    assert 'body = "{\\"count\\":1}"' in of(document) or "body = '{\"count\":1}'" in of(document)


def test_an_example_that_repeats_itself_by_aliases_is_refused_and_one_that_is_deep_is_cut() -> None:
    levels = "\n".join(f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    bomb = (
        f"openapi: 3.0.0\nx-0: &a0 [x]\n{levels}\n"
        "paths: {/pay: {post: {requestBody: {content: {application/json: {example: *a8}}}}}}"
    )
    assert "a body of more than 2000 values" in refusal(bomb)
    deep = json.loads("[" * 20 + "]" * 20)
    assert body_of({"example": deep}).startswith("[[[[")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"text/xml": {}}, "# TODO: the body (text/xml) is yours to write"),
        ({}, "# TODO: the body (of no type) is yours to write"),
        ({"application/json": {}}, "# TODO: the body: its schema does not say enough"),
        ({"application/json": {"examples": {"one": {"value": {"id": "o-1"}}}}}, '{"id":"{{id}}"}'),
        ({"application/json": {"examples": {"one": "x"}}}, "its schema does not say enough"),
        ({"application/json": {"examples": {}}}, "its schema does not say enough"),
    ],
)
def test_a_body_that_cannot_be_made_is_asked_for(content: object, said: str) -> None:
    document = shop()
    document["paths"][DEBIT]["post"]["requestBody"]["content"] = content

    assert said in of(document)


def test_parameters_are_filled_left_out_or_asked_for() -> None:
    document = shop()
    document["paths"][DEBIT]["post"]["parameters"] += [
        {"name": "X-Shop", "in": "header", "example": "north"},
        {"name": "X-Bad\n", "in": "header", "example": "x"},
        {"name": "X-Request-Id", "in": "header"},
        {"name": "X-Access-Token", "in": "header"},
        {"name": "currency of", "in": "query", "required": True, "example": "E U"},
        {"name": "page", "in": "query"},
        {"name": "cookie", "in": "cookie"},
    ]
    document["paths"]["/wallets/{wallet_id}/debits/{missing}"] = document["paths"].pop(DEBIT)
    made = of(document)

    assert 'path = "/wallets/{{wallet_id}}/debits/{{missing}}?currency%20of=E%20U"' in made
    assert 'missing = { value = "TODO-missing" }' in made
    assert 'X-Shop = "north"' in made
    assert 'X-Request-Id = "{{x_request_id}}"' in made
    assert "# TODO: X-Access-Token is left out" in made
    assert "X-Bad" not in made


@pytest.mark.parametrize(
    ("servers", "origin"),
    [
        ([], "http://127.0.0.1:8000"),
        ([{"url": "/api v1/?x"}], "http://127.0.0.1:8000"),
        ([{"url": "api"}], "http://127.0.0.1:8000"),
        ([{"url": "https://shop.example:8443/"}], "https://shop.example:8443"),
    ],
)
def test_where_it_runs_is_taken_from_the_first_server(servers: list[object], origin: str) -> None:
    assert understood(of(shop() | {"servers": servers})).base_url == origin


def test_security_that_names_no_header_is_no_signature() -> None:
    document = shop()
    post = document["paths"][DEBIT]["post"]
    post["parameters"] = []
    post["security"] = [{"query": [], "none": [], "oauth": []}]
    document["components"] = {
        "securitySchemes": {"query": {"type": "apiKey", "in": "query", "name": "k"}, "oauth": {"type": "oauth2"}}
    }
    assert "nothing in the source is a signature" in of(document)
    del document["components"]
    assert "nothing in the source is a signature" in of(document)


def test_reads_that_nothing_ties_to_the_operation_are_not_suggested() -> None:
    document = shop()
    read = document["paths"]["/wallets/{id}"]["get"]
    document["paths"] = {
        DEBIT: document["paths"][DEBIT],
        "/users/{user}": {"get": read},
        "/{x}": {"get": read},
        "/other": {"get": read},
        "/wallets/total": {"get": read},
        "/wallets": {"get": read},
        "/silent": {"get": {"responses": {"404": {}, "200": {}}}},
        "/mute": {"get": {}},
        "/text": {"get": {"responses": {"200": {"content": {"text/plain": {}}}}}},
        "/wallets/empty": {"get": {"responses": {"200": {"content": {"application/json": {}}}}}},
    }
    made = of(document)

    assert 'request = "GET /wallets"' in made
    assert "#   GET /wallets/total  at /balance" in made
    for absent in ("/users", "/other", "/silent"):
        assert f"GET {absent}" not in made


def test_refs_lead_to_files_beside_and_back() -> None:
    made = of_description(
        "openapi: 3.0.0\npaths: {/pay: {$ref: 'parts/pay%20it.yaml#/pay~1it/0'}}",
        beside={"parts/pay it.yaml": "pay/it:\n  - post:\n      requestBody: {$ref: '#/body'}\n"
                "body: {content: {application/json: {example: {order_id: o-1}}}}\n"},
    )  # fmt: skip

    assert 'body = \'{"order_id":"{{order_id}}"}\'' in made


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        (
            "https://me:hush@evil.example/x.yaml?k=hush",
            '"https://evil.example/x.yaml": wanted a place in this document',
        ),
        ("//evil.example/x.yaml", "nothing is fetched"),
        ("file:///etc/passwd", "nothing is fetched"),
        ("#name", "wanted a JSON pointer after the #"),
        ("#/components/none", 'there is nothing at "components"'),
        ("#/list/9", 'there is nothing at "9"'),
        ("#/list/x", 'there is nothing at "x"'),
        ("#/openapi/x", 'there is nothing at "x"'),
        ("#/paths/~1pay", "$ref leads to itself"),
        ("binary.yaml", "binary.yaml: not UTF-8"),
    ],
)
def test_a_ref_that_leads_nowhere_or_elsewhere_is_refused_and_never_fetched(ref: str, said: str) -> None:
    document = f"openapi: 3.0.0\nlist: [1]\npaths:\n  /pay:\n    $ref: '{ref}'\n"
    with pytest.raises(InputError) as refused:
        sketch_of_description(document.encode(), "api.yaml", files={"binary.yaml": b"\xff"}.__getitem__)

    assert said in str(refused.value)
    assert "hush" not in str(refused.value)
    assert str(refused.value).startswith(("api.yaml:5:", "api.yaml:4:", "binary.yaml"))


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"\xff", "api.yaml: not UTF-8"),
        ("swagger: '2.0'", "api.yaml:1: a description of Swagger 2: wanted OpenAPI 3.x"),
        ("info: {}\nopenapi: 2.9", "openapi: 2.9: wanted openapi: 3.x"),
        ("info: {}", "no openapi: wanted openapi: 3.x"),
        ("openapi: [}", "api.yaml:1: not YAML: "),
        ("a: &a *b\nopenapi: 3.0", "api.yaml:1: not YAML: "),
        ("openapi: \x00", "api.yaml: not YAML that can be read"),
        ("{\n ]", "api.yaml:2: not JSON: "),
        ("[" * 100_000, "not JSON that can be read"),
        ("just words", "the document is 'just words': wanted an object"),
        ("openapi: 3.0.0\npaths:\n  /a: 7", "api.yaml:3: paths//a is 7: wanted an object"),
        (
            "openapi: 3.0.0\npaths: {/a: {post: {parameters: {}}}}",
            "api.yaml:2: paths//a/post/parameters is {}: wanted a list",
        ),
        ("openapi: 3.0.0\npaths:\n  /a:\n    post:\n      parameters:\n        - name: 7\n", "api.yaml:6:"),
        (
            "openapi: 3.0.0\nservers: [{url: 'ftp://a'}]\npaths: {/a: {post: {}}}",
            "api.yaml:2: servers: its URL begins 'ftp'",
        ),
    ],
)
def test_an_error_names_the_file_the_line_and_what_is_wanted(document: str | bytes, said: str) -> None:
    assert said in refusal(document)


def test_yaml_is_read_as_its_newer_version_is() -> None:
    made = of_description(
        "openapi: 3.0.0\npaths: {/pay: {post: {requestBody: {content: {application/json: {example: "
        "{on: no, day: 2026-01-31, sure: true}}}}}}}"
    )

    assert '{"on":"no","day":"2026-01-31","sure":true}' in made


def test_a_line_is_told_only_where_it_is_cheap() -> None:
    long = f"openapi: 3.0\npaths: 7\nx: {'y' * 2_000_000}"
    assert refusal(long) == "api.yaml: paths is 7: wanted an object"
    assert refusal('{"openapi": "2\x7f"}').startswith("api.yaml: openapi: 2")
    assert refusal("openapi: 3.0\npaths:\n  0x10: 7").startswith("api.yaml:3: paths/16 is 7")
    deep = '{"openapi": "3.0", "paths": 7, "x": ' + "[" * 300 + "]" * 300 + "}"
    assert refusal(deep) == "api.yaml: paths is 7: wanted an object"


def test_yaml_deeper_than_the_c_parser_can_descend_is_refused() -> None:
    """It would end the process, so this asks another one."""
    deepest = "openapi: 3.0.0\npaths: 7\nx: " + "[" * 199 + "]" * 199
    assert refusal(deepest).startswith("api.yaml:2: paths is 7")
    script = """
import sys
from tocsin.inputs.openapi import sketch_of_description
try:
    sketch_of_description(sys.stdin.buffer.read(), "api.yaml", files=lambda name: b"")
except ValueError as refused:
    print(refused)
"""
    for deep in ("[" * 200 + "]" * 200, "[" * 100_000, "\n " + "- " * 100_000):
        described = f"openapi: 3.0.0\npaths: {{}}\nx: {deep}".encode()
        ran = subprocess.run([sys.executable, "-c", script], input=described, capture_output=True, check=False)
        assert ran.stdout.decode().partition(": ")[2] == "not YAML: more than 200 levels deep\n"


class Order(BaseModel):
    order_id: uuid.UUID
    item_id: str
    quantity: int = Field(gt=2)
    note: str | None = None


class Item(BaseModel):
    item_id: str
    stock: int


def test_the_description_that_fastapi_writes_of_a_service_is_understood() -> None:
    app = FastAPI(openapi_url="/openapi.json")

    @app.post("/orders")
    def order(_order: Order, x_signature: Annotated[str, Header()], x_timestamp: Annotated[str, Header()]) -> None: ...

    @app.post("/items")
    def new_item(item: Item) -> Item:
        return item

    @app.get("/items/{item_id}")
    def read_item(item_id: str) -> Item:
        return Item(item_id=item_id, stock=1)

    plan = understood(of(app.openapi()))

    assert str(plan.request) == "POST /orders"
    assert plan.request.body.text == '{"order_id":"{{order_id}}","item_id":"{{item_id}}","quantity":3}'
    assert plan.scheme.name == "hex-sha256-timestamp-body"
    assert [(state.name, state.pointer) for state in plan.state] == [("GET /items/{{item_id}}", "/stock")]
