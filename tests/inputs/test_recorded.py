"""A recording says what the operation acts on and where its effect shows."""

import json
from pathlib import Path

import pytest

from tests.inputs.documents import ORDER, SIGNATURE, archive, entry, flow, session, tnetstring
from tests.inputs.making import of_archive, of_requests, post, understood
from tocsin.inputs import Exchange, InputError, chosen, plan_text, read_flows, read_har, sketch_of

CAPTURE = Path(__file__).parent / "captures" / "orders.mitm"


def test_a_visit_becomes_setup_operation_and_state_with_its_step() -> None:
    made = of_archive(*session(), place=2)
    plan = understood(made)

    assert str(plan.request) == "POST /orders"
    assert plan.request.body.text == '{"order_id":"{{order_id}}","item":"{{item}}","qty":1}'
    assert [(str(setup.request), dict(setup.extract)) for setup in plan.setup] == [("POST /items", {"item": "/item"})]
    assert [(state.name, state.pointer, int(state.per_effect)) for state in plan.state] == [
        ("GET /items/{{item}}", "/stock", -1)
    ]
    assert "per_effect = -1  # as the source shows it" in made
    assert "#   GET /items/{{item}}  at /seen, the length of the list" in made


def test_no_secret_signature_or_habit_of_a_browser_gets_into_the_plan() -> None:
    made = of_archive(*session(), place=2)

    assert SIGNATURE not in made
    assert "hush" not in made
    assert "sec-ch-ua" not in made
    assert "# X-Signature is made anew for every request" in made
    assert "# TODO: Cookie is left out" in made


def test_a_flow_file_of_mitmproxy_is_read_as_it_was_written() -> None:
    """Recorded by mitmdump 11.0.2 before lab/flask-vulnerable."""
    exchanges = read_flows(CAPTURE.read_bytes(), "orders.mitm")

    assert [str(one).partition("sku-")[0] for one in exchanges] == [
        "POST /items",
        "GET /items/",
        "POST /order",
        "GET /items/",
    ]
    made = of_requests(exchanges, chosen(exchanges, None, "orders.mitm"))
    plan = understood(made)
    assert plan.base_url.startswith("http://127.0.0.1:")
    assert plan.state[0].per_effect == -1
    assert "not-a-real-token" not in made


def test_several_operations_between_two_reads_share_the_step() -> None:
    def read(stock: float) -> dict[str, object]:
        return entry("GET", "/stock", None, {"stock": stock, "orders": [1] * int(stock)})

    def order() -> dict[str, object]:
        return entry("POST", "/orders", ORDER, {}, X_Signature=SIGNATURE)

    twice = of_archive(read(9), read(8), order(), order(), read(4), place=2)
    assert "per_effect = -2  # as the source shows it" in twice
    uneven = of_archive(read(9), order(), order(), read(4), place=1)
    assert "per_effect = -1  # TODO" in uneven
    unchanged = of_archive(read(9), order(), read(9), place=1)
    assert "per_effect = -1  # TODO" in unchanged
    only_after = of_archive(order(), read(9), place=0)
    assert "per_effect = -1  # TODO" in only_after
    vanished = of_archive(read(9), order(), entry("GET", "/stock", None, {"x": "none"}), place=1)
    assert "per_effect = -1  # TODO" in vanished


def test_a_number_beyond_all_bounds_is_no_state() -> None:
    """1e999 is JSON, and infinite for Python; TOML has no such number, and nothing can be reckoned with it."""
    order = entry("POST", "/orders", ORDER, {}, X_Signature=SIGNATURE)
    before, after = (entry("GET", "/items/sku-1", None, {"stock": stock}) for stock in (5, 1e999))
    after["response"]["content"]["text"] = '{"stock": 1e999}'

    assert "per_effect = -1  # TODO" in of_archive(before, order, after, place=1)
    assert "[[state]]\n" not in of_archive(after, order, after, place=1).replace("# [[state]]\n", "")


def test_a_long_session_is_read_at_once() -> None:
    """Each answer is looked at once, and not once for each number of each other: that would take many minutes."""
    stock = {f"sku{number}": number for number in range(20_000)}
    orders = [{"order_id": f"o-{number:06}"} for number in range(40_000)]
    reads = [
        Exchange("GET", "https://shop.example", f"/items/{place}", (), b"", 200, b'{"a":1}') for place in range(999)
    ]
    reads[0] = Exchange("GET", "https://shop.example", "/items", (), b"", 200, json.dumps(stock).encode())

    sketch = sketch_of([*reads, post(json.dumps(orders)), *reads], 999, "a test")

    assert (len(sketch.reads), len(sketch.variables)) == (20_998, 40_000)


def test_a_list_that_grows_is_counted() -> None:
    made = of_archive(
        entry("GET", "/things", None, [1]),
        entry("POST", "/orders", ORDER, {}, X_Signature=SIGNATURE),
        entry("GET", "/things", None, [1, 2]),
        place=1,
    )

    assert 'request = "GET /things"\ncount = true\nper_effect = 1  # as the source shows it' in made


def test_what_another_host_answers_is_no_state_and_no_setup() -> None:
    elsewhere = json.loads(json.dumps(session()).replace("shop.example", "cdn.example"))
    entries = [*elsewhere[:2], session()[2]]
    made = of_archive(*entries, place=2)

    assert "# [[state]]" in made
    assert "# [[setup]]" in made


def test_a_read_whose_path_nothing_names_is_suggested_as_it_was() -> None:
    order = entry("POST", "/pay", {"amount": 1}, {}, X_Signature=SIGNATURE)

    assert 'request = "GET /count?of=sku-1"' in of_archive(order, entry("GET", "/count?of=sku-1", None, {"count": 1}))


def test_a_read_is_suggested_without_a_key_in_its_query_and_without_numbers_that_mean_nothing() -> None:
    order = entry("POST", "/orders", ORDER, {}, X_Signature=SIGNATURE)
    made = of_archive(
        entry("GET", "/count?api_key=hush", None, {"count": 1, "status": 7, "deep": {"a": {"b": {"c": {"d": 1}}}}}),
        entry("GET", "/count?of=sku-1", None, {"count": 1}),
        entry("GET", "/hooks/8f434346648f6b96df89dda901c5176b", None, {"count": 1}),
        entry("GET", "/refused", None, {"count": 1}) | {"response": {"status": 404}},
        entry("GET", "/words", None, "no number"),
        order,
        place=5,
    )

    assert "hush" not in made
    assert "8f43" not in made
    assert "status" not in made
    assert 'request = "GET /count?of={{item}}"' in made
    assert "#   GET /count  at /count" in made


def test_a_setup_is_signed_where_it_was_and_only_what_it_was_not_told_is_taken_from_it() -> None:
    order = session()[2]
    told = entry("POST", "/items", {"item": "sku-1"}, {"item": "sku-1"})
    signed = entry("POST", "/things", None, {"made": ["sku-1"], "item": "sku-1"}, X_Signature=SIGNATURE)
    made = of_archive(told, order, signed, order, place=3)

    assert 'request = "POST /things"\nsign = true\nextract = { item = "/item" }' in made


def test_a_header_that_cannot_be_sent_or_comes_twice_is_not_in_the_plan() -> None:
    exchange = post('{"order_id":"o-1"}', X_Shop="north", x_shop="south", X_Bad="a\nb", X_Order="{{uuid}}")
    made = of_requests([exchange])

    assert 'X-Shop = "north"' in made
    assert "# TODO: x-shop was there twice" in made
    assert "X-Bad" not in made


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"\xff\xfe", "application/json", "the source's body, 2 octets, is no text"),
        (b"<order><password>hush</password></order>", "text/xml; charset=utf-8", "the source's body (text/xml)"),
        (b"hush", "", "the source's body (no content type)"),
        (b'{"a": NaN, "password": "hush"}', "application/json", "the source's body (application/json)"),
        (b"[" * 100_000, "application/json", "the source's body (application/json)"),
    ],
)
def test_a_body_of_which_nobody_knows_what_is_secret_is_left_out(body: bytes, kind: str, said: str) -> None:
    made = of_requests([post(body, Content_Type=kind)])

    assert f"# TODO: {said}" in made
    assert "hush" not in made
    assert "\nbody =" not in made


def test_a_form_and_a_query_are_taken_value_by_value() -> None:
    made = of_requests(
        [
            post(
                b"order_id=o%201&password=hush&flag&x=1",
                "/api/v1/pay?at=1795313343&x=a+b",
                Content_Type="application/x-www-form-urlencoded",
            )
        ]
    )

    assert 'body = "order_id={{order_id}}&password={{password}}&flag&x=1"' in made
    assert 'path = "/api/v1/pay?at={{timestamp}}&x=a+b"' in made


def test_numbers_stay_as_they_were_written() -> None:
    made = of_requests(
        [post(' {"price": 1.10, "big": 12345678901234567890, "yes": true, "no": null, "all": [1, "ä"]} ')]
    )

    assert '{"price":1.10,"big":12345678901234567890,"yes":true,"no":null,"all":[1,"ä"]}' in made


def test_what_names_a_thing_in_the_path_is_a_variable_and_a_version_is_none() -> None:
    made = of_requests([post("", "/v1/orders/1234/items/sku-17a9/caf%C3%A9/ü")])

    assert 'path = "/v1/orders/{{order_id}}/items/{{item_id}}/caf%C3%A9/%C3%BC"' in made
    assert "\nbody =" not in made


def test_an_empty_request_still_makes_a_plan() -> None:
    bare = Exchange("DELETE", "", "/", (), b"")
    made = of_requests([bare])

    assert 'base_url = "http://127.0.0.1:8000"  # TODO: where does the service run?' in made
    assert "[variables]" not in made
    assert "[request.headers]" not in made


@pytest.mark.parametrize(
    ("exchange", "said"),
    [
        (Exchange("GO AWAY", "http://a", "/", ()), "its method is 'GO AWAY': wanted one such as POST"),
        (Exchange("POST", "http://me:hush@a b", "/", ()), "its host is 'a b': wanted an origin"),
        (Exchange("POST", "http://a:0", "/", ()), "its host is 'http://a:0'"),
        (Exchange("POST", "http://[1:2]", "/", ()), "its host is"),
        (Exchange("POST", "http://a", "*", ()), "its target is no path"),
    ],
)
def test_what_no_plan_can_hold_is_refused(exchange: Exchange, said: str) -> None:
    with pytest.raises(InputError) as refused:
        plan_text(sketch_of([exchange], 0, "a test"))
    assert said in str(refused.value)
    assert "hush" not in str(refused.value)


def test_which_entry_is_meant_is_asked_where_it_is_not_clear() -> None:
    get, plain, signed = Exchange("GET", "", "/", ()), Exchange("POST", "", "/a", ()), post("", X_Signature="x")

    assert chosen([get, plain], None, "f") == 1
    assert chosen([get, plain, signed], None, "f") == 2
    assert chosen([get, plain], 0, "f") == 0
    for some, entry_, said in (
        ([get, plain], 2, "f: --entry 2: it has 2 entries, counted from 0"),
        ([get], None, "f: none of its 1 requests changes anything"),
        ([plain, get, plain], None, "f: 2 requests that can change something: wanted --entry N\n  0: POST /a\n  2: "),
        ([signed] * 62, None, "62 signed requests: wanted --entry N"),
    ):
        with pytest.raises(InputError) as asked:
            chosen(some, entry_, "f")
        assert said in str(asked.value)
    assert str(asked.value).endswith("  59: POST /orders\n  and 2 more")


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b'{"log":\n {]', "a.har:2: not JSON: "),
        (b'{"log": 1}', "a.har: not an HTTP archive: wanted JSON with log.entries"),
        (b'{"log": {"entries": {}}}', "a.har: log.entries is no list"),
        (b"\xff", "a.har: not an HTTP archive"),
        (archive(1), "a.har: entry 0 is no request of an archive"),
        (archive(entry("POST", "/") | {"request": {"method": 1, "url": "http://a", "headers": []}}), "is no text"),
        (archive({"request": {"method": "POST", "url": "ftp://a/", "headers": []}}), "its URL begins 'ftp'"),
        (archive({"request": {"method": "POST", "url": "http://[a", "headers": []}}), "its URL is none"),
    ],
)
def test_a_wrong_archive_is_refused_with_its_place(octets: bytes, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_har(octets, "a.har")
    assert said in str(refused.value)


def test_an_archive_may_lack_answers_and_have_user_names_ports_and_queries() -> None:
    def at(url: str, **response: object) -> dict[str, object]:
        return {"request": {"method": "POST", "url": url, "headers": []}, **response}

    read = read_har(
        archive(
            at("https://me:hush@[::1]:8443?x=1"),
            at("http://a", response={"status": "?"}),
            at("http://a", response={"status": 200, "content": {"text": "é", "encoding": "base64"}}),
            at("http://a", response={"status": 200, "content": {}}),
        ),
        "a.har",
    )

    assert (read[0].origin, read[0].target, read[0].status) == ("https://[::1]:8443", "/?x=1", None)
    assert [(one.status, one.answer, one.answered()) for one in read[1:]] == [
        (None, b"", None),
        (200, b"", None),
        (200, b"", None),
    ]


def test_flows_of_another_kind_are_left_out_and_old_names_are_understood() -> None:
    old = {b"type": b"http", b"request": {name.encode(): value for name, value in flow()["request"].items()}}  # type: ignore[attr-defined]  # a dictionary
    octets = tnetstring({"type": "tcp", "x": [True, None, 1.5]}) + tnetstring(old)
    octets += tnetstring({"type": []}) + tnetstring({"type": {}})
    octets += tnetstring(flow(headers=None, host="::1", port=8443)) + tnetstring(flow(headers=[["Host", "a"]]))

    first, second, third = read_flows(octets, "x.mitm")

    assert (str(first), first.origin, first.status) == ("POST /orders", "https://shop.example", None)
    assert (second.origin, third.origin) == ("https://[::1]:8443", "https://a")


def test_a_file_to_which_the_proxy_still_writes_is_read_up_to_there() -> None:
    octets = tnetstring(flow())

    assert len(read_flows(octets + octets[:-9], "x.mitm")) == 1


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"3:abc", "x.mitm: at octet 0: an item that goes on beyond the end"),
        (b"abc", "at octet 0: no size of an item"),
        (b"3:abc,", "at octet 0: wanted a flow file of mitmproxy"),
        (b"3:abc?", "an item of an unknown kind"),
        (b"3:abc#", "an item that is not what its letter says"),
        (b"3:0:~}", "an item that is not what its letter says"),
        (b"4:4:ab]]", "an item that goes on beyond the end"),
        (tnetstring(flow(method=1)), "flow 0 request.method is no text"),
        (tnetstring(flow(scheme="ftp")), "flow 0: request.scheme, port or path"),
        (tnetstring(flow(headers=[[b"a"]])), "flow 0 request.headers: wanted pairs"),
        (tnetstring({"type": "http"}), "flow 0 request.method is no text"),
        (tnetstring(json.loads("[" * 40 + "]" * 40)), "no size of an item"),
    ],
)
def test_a_wrong_flow_file_is_refused_with_its_place(octets: bytes, said: str) -> None:
    with pytest.raises(InputError) as refused:
        read_flows(octets, "x.mitm")
    assert said in str(refused.value)
