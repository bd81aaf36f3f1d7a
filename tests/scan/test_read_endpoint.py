import gzip
from decimal import Decimal

import pytest

from tests.scan.services.plans import plan
from tocsin.scan._errors import CannotTell
from tocsin.scan._oracle import extracted
from tocsin.scan._plan import RequestTemplate, State
from tocsin.scan._template import Template
from tocsin.scan.oracles import read_endpoint
from tocsin.wire import Response


def state(**keys: object) -> State:
    [found] = plan(state=[{"name": "stock", "request": "GET /stock"} | keys]).state
    return found


def answer(body: bytes, status: int = 200) -> Response:
    return Response(status, (), body)


@pytest.mark.parametrize(
    ("body", "pointer", "number"),
    [
        (b'{"stock": 5}', "/stock", "5"),
        (b'{"a": [{"b/c": 7}]}', "/a/0/b~1c", "7"),
        (b'{"balance": "10.50"}', "/balance", "10.50"),
        (b'{"balance": 0.1}', "/balance", "0.1"),
        (b'{"stock": -3}', "/stock", "-3"),
        (b"12", "", "12"),
    ],
)
def test_a_number_or_a_decimal_string_is_read_at_the_pointer(body: bytes, pointer: str, number: str) -> None:
    assert read_endpoint(state(pointer=pointer), answer(body)) == Decimal(number)


def test_a_list_is_counted_where_the_plan_says_so() -> None:
    counting = state(pointer="/rows", count=True)
    assert read_endpoint(counting, answer(b'{"rows": [1, {}, null]}')) == 3
    with pytest.raises(CannotTell, match='stock: "/rows" holds no list to count'):
        read_endpoint(counting, answer(b'{"rows": 3}'))


@pytest.mark.parametrize("counts", [True, False])
def test_only_what_is_declared_absent_reads_as_a_number_without_being_there(*, counts: bool) -> None:
    declared = state(pointer="/stock", absent=0, count=counts)
    assert read_endpoint(declared, answer(b"no such item", 404)) == 0
    assert read_endpoint(declared, answer(b"{}")) == 0
    silent = state(pointer="/stock", count=counts)
    with pytest.raises(CannotTell, match="stock was answered 404: wanted 2xx"):
        read_endpoint(silent, answer(b"{}", 404))
    with pytest.raises(CannotTell, match='stock: nothing at "/stock"; `absent` says how that reads'):
        read_endpoint(silent, answer(b"{}"))


@pytest.mark.parametrize("status", [301, 401, 429, 500])
def test_an_answer_that_is_no_2xx_is_no_reading_whatever_it_holds(status: int) -> None:
    with pytest.raises(CannotTell, match=f"stock was answered {status}: wanted 2xx"):
        read_endpoint(state(pointer="/stock", absent=0), answer(b'{"stock": 5}', status))


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b'{"stock": 1, "stock": 2}', b'{"stock": NaN}'])
def test_what_is_no_strict_json_is_no_reading(body: bytes) -> None:
    with pytest.raises(CannotTell, match="stock is not JSON: "):
        read_endpoint(state(pointer="/stock", absent=0), answer(body))


@pytest.mark.parametrize(
    "value",
    [
        "true",
        "null",
        '"five"',
        '""',
        "[5]",
        '"NaN"',
        '"Infinity"',
        '"1e999999"',
        '"1e-999999"',
        "1" * 40,
        '"0.' + "1" * 40 + '"',
    ],
)
def test_what_is_no_number_that_a_service_counts_with_is_no_reading(value: str) -> None:
    with pytest.raises(CannotTell, match='stock: "/stock" holds no number'):
        read_endpoint(state(pointer="/stock"), answer(f'{{"stock": {value}}}'.encode()))


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ((("Content-Encoding", "GZIP"),), "gzip"),
        ((("Content-Encoding", "deflate, br"),), "br, deflate"),
        ((("Content-Encoding", "br"), ("Content-Encoding", "zstd")), "br, zstd"),
        ((("Content-Encoding", "utf-8"),), ""),
        ((), ""),
    ],
)
def test_a_body_that_is_content_encoded_is_told_as_such(header: tuple[tuple[str, str], ...], told: str) -> None:
    said = f"; the body is content-encoded ({told}): wanted it plain" if told else ""
    packed = Response(200, header, gzip.compress(b'{"stock": 5}'))
    with pytest.raises(CannotTell) as state_of:
        read_endpoint(state(pointer="/stock", absent=0), packed)
    with pytest.raises(CannotTell) as set_up:
        extracted(packed, "/item", RequestTemplate("POST", Template("/items")))
    assert "[[state]] stock is not JSON" in str(state_of.value)
    assert str(state_of.value).partition("; ")[2] == said.removeprefix("; ")
    assert str(set_up.value) == f'the answer to POST /items has nothing at "/item"{said}'
    assert read_endpoint(state(pointer="/stock"), Response(200, header, b'{"stock": 5}')) == 5
