"""What a plan may not say: each refusal names the place, what was refused, and what is wanted."""

from typing import Any

import pytest

from tests.scan.services.plans import plan, shortest
from tocsin.scan import PlanError, plan_from_tables, plan_from_toml
from tocsin.signing import PRESETS

READ = {"request": "GET /count"}
# A plan whose messages are numbered.
COUNTED = {
    "request": {"body": '{"id":"{{uuid}}","seq":{{seq}}}'},
    "variables": {"seq": {"fresh": "counter"}, "kind": {"value": "a"}},
}


def refusal(**changed: Any) -> str:
    with pytest.raises(PlanError) as refused:
        plan(**changed)
    return str(refused.value)


def test_a_text_that_is_no_toml_is_refused_with_the_place_in_it() -> None:
    with pytest.raises(PlanError, match=r"^not TOML: .*line 2"):
        plan_from_toml("[target]\nbase_url = http\n", "x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a = " + "[" * 5000, "it is nested too deeply"),
        ("a = " + "9" * 5000, "an integer has more than 64 bits"),
        (f"[[state]]\nper_effect = {2**63}", "an integer has more than 64 bits"),
    ],
)
def test_a_text_that_python_cannot_hold_is_refused_as_well(text: str, reason: str) -> None:
    with pytest.raises(PlanError, match=f"^not TOML: {reason}$"):
        plan_from_toml(text, "x")


@pytest.mark.parametrize("section", ["target", "request", "signing"])
def test_a_plan_without_one_of_the_three_sections_is_refused(section: str) -> None:
    assert refusal(**{section: None}).startswith(f"the plan lacks [{section}]: wanted")


@pytest.mark.parametrize(
    ("changed", "place", "nearest"),
    [
        ({"stat": [READ]}, "the plan", "state"),
        ({"target": {"base_urls": "x"}}, "[target]", "base_url"),
        ({"target": {"authorized_for": "shop.example"}}, "[target]", "base_url"),
        ({"request": {"sucess": ["2xx"]}}, "[request]", "success"),
        ({"variables": {"seq": {"fresh": "counter", "begin": 1}}}, "[variables] seq", "fresh"),
        ({"identity": {"variable": ["uuid"]}}, "[identity]", "variables"),
        ({"setup": [{"request": "POST /a", "extracts": {}}]}, "[[setup]] 1", "extract"),
        ({"state": [READ, READ | {"setle_ms": 1}]}, "[[state]] 2", "settle_ms"),
        ({"limits": {"effect": 1}}, "[limits]", "effects"),
        ({"reset": {"request": "POST /r", "heders": {}}}, "[reset]", "headers"),
        ({"budget": {"second": 1}}, "[budget]", "seconds"),
        ({"signing": {"secret": {"evn": "X"}}}, "[signing] secret", "env"),
        ({"invariant": [{"request": "GET /a", "equal": 1}]}, "[[invariant]] 1", "equals"),
        ({"sequence": {"variables": "seq"}}, "[sequence]", "variable"),
        ({**COUNTED, "sequence": {"variable": "seq", "applied": {"points": "/v"}}}, "[sequence] applied", "pointer"),
        ({"mix": [{"ofset_us": 0}]}, "[[mix]] 1", "offset_us"),
        ({"actor": [{"keyid": "k"}]}, "[[actor]] 1", "key_id"),
        ({"actor": [{"secret": {"environment": "X"}}]}, "[[actor]] 1 secret", "env"),
    ],
)
def test_an_unknown_key_in_any_table_is_an_error_that_names_the_nearest(
    changed: dict[str, Any], place: str, nearest: str
) -> None:
    said = refusal(**changed)
    assert said.startswith(f"{place} has an unknown key ")
    assert nearest in said


def test_an_unknown_key_of_a_scheme_is_one_too() -> None:
    said = refusal(signing={"hedaer": "X-Sig"})
    assert said.startswith("[signing] ")
    assert "'hedaer'" in said
    assert "'header'" in said


def test_a_signature_that_stands_in_the_body_is_called_not_yet() -> None:
    in_the_body = next(name for name, scheme in PRESETS.items() if scheme.signature_pointer)
    assert "not yet: its signature stands in the body" in refusal(signing={"preset": in_the_body})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"target": {"protocol": "http/3"}},
            '[target] protocol = \'http/3\': wanted "auto", "http/1.1", "h2", "h2c" or "h3"',
        ),
        (
            {"target": {"protocol": "h3"}},
            '[target] protocol = "h3" with http://127.0.0.1:8000: wanted a base_url of https',
        ),
        (
            {"target": {"protocol": "h2"}},
            '[target] protocol = "h2" with http://127.0.0.1:8000: wanted a base_url of https',
        ),
        (
            {"target": {"protocol": "h2c", "base_url": "https://127.0.0.1:8000"}},
            '[target] protocol = "h2c" with https://127.0.0.1:8000: wanted a base_url of http',
        ),
        ({"target": {"ca_file": "ca.pem", "insecure": True}}, "[target] ca_file and insecure: wanted one"),
        ({"target": {"insecure": "yes"}}, "[target] insecure = 'yes': wanted"),
        ({"request": {"method": "GET /"}}, "[request] method 'GET /': wanted an HTTP method"),
        ({"request": {"success": ["2x"]}}, "[request] success = ['2x']: wanted statuses"),
        ({"request": {"success": []}}, "[request] success = []: wanted statuses"),
        (
            {"request": {"path": "http://127.0.0.1:9/order"}},
            "[request] path = 'http://127.0.0.1:9/order': wanted a path",
        ),
        ({"request": {"path": "order"}}, "[request] path 'order': wanted a path that starts with /"),
        ({"request": {"headers": {"Host": "x"}}}, "[request] headers Host: it is made for every request"),
        (
            {"reset": {"request": "POST /", "headers": {"content-length": "1"}}},
            "[reset] headers content-length: it is made",
        ),
        ({"signing": {"hash": "md5"}}, "[signing] unknown hash 'md5'"),
        ({"signing": {"key_id": 7}}, "[signing] key_id = 7: wanted a string"),
        ({"signing": []}, "[signing] must be a table"),
        ({"setup": {"request": "POST /a"}}, "[[setup]] must be a list of tables"),
        ({"setup": [{"request": "POST"}]}, "[[setup]] 1 request = 'POST': wanted \"METHOD /path\""),
        ({"setup": [{"request": "POST /a", "extract": {"a-b": "/x"}}]}, "[[setup]] 1 extract 'a-b': wanted a name"),
        (
            {"setup": [{"request": "POST /a", "extract": {"a": "x"}}]},
            "[[setup]] 1 extract a: pointer 'x': wanted RFC 6901",
        ),
        (
            {"setup": [{"request": "POST /a", "extract": {"timestamp": "/x"}}]},
            "[[setup]] 1 extract timestamp: it is always",
        ),
        ({"state": [READ | {"pointer": "/a~2"}]}, "[[state]] 1: pointer '/a~2': wanted RFC 6901"),
        ({"state": [READ | {"absent": "0"}]}, "[[state]] 1 absent = '0': wanted a whole number"),
        ({"state": [READ | {"absent": True}]}, "[[state]] 1 absent = True: wanted a whole number"),
        ({"state": [READ | {"per_effect": 0}]}, "[[state]] 1 per_effect = 0: wanted by how much"),
        ({"state": [READ | {"per_effect": float("nan")}]}, "[[state]] 1 per_effect = nan: wanted a number"),
        ({"limits": {"per": []}}, "[limits] lacks both: wanted effects = N or floor = N"),
        ({"limits": {"effects": 0}}, "[limits] effects = 0: wanted a whole number of at least 1"),
        ({"limits": {"floor": 0.5}}, "[limits] floor = 0.5: wanted a whole number"),
        ({"limits": {"floor": True}}, "[limits] floor = True: wanted a whole number"),
        ({"budget": {"seconds": 0}}, "[budget] seconds = 0: wanted more than 0"),
        ({"budget": {"seconds": float("inf")}}, "[budget] seconds = inf: wanted a number"),
        ({"budget": {"requests": 0}}, "[budget] requests = 0: wanted a whole number of at least 1"),
        ({"budget": []}, "[budget] must be a table, not []"),
        ({"variables": []}, "[variables] must be a table"),
        ({"variables": {"timestamp": {"value": "1"}}}, "[variables] timestamp: it is always there"),
        ({"variables": {"order-id": {"fresh": "uuid4"}}}, "[variables] 'order-id': wanted a name of letters"),
        ({"variables": {"a": {}}}, '[variables] a lacks "value"'),
        ({"variables": {"a": {"fresh": "uuid"}}}, '[variables] a fresh = "uuid"; did you mean "uuid4"?'),
        ({"variables": {"a": {"fresh": "value"}}}, '[variables] a fresh = "value"; known: '),
        (
            {"variables": {"a": {"fresh": "uuid4", "value": "x"}}},
            "[variables] a value goes with value and template, not",
        ),
        ({"variables": {"a": {"fresh": "hex16", "start": 1}}}, "[variables] a start goes with counter, not with hex16"),
        ({"variables": {"a": {"value": "x", "values": []}}}, "[variables] a values goes with list, not with value"),
        ({"variables": {"a": {"fresh": "list"}}}, '[variables] a fresh = "list" lacks "values"'),
        (
            {"variables": {"a": {"fresh": "template", "value": "n"}}},
            '[variables] a fresh = "template": wanted a value with {{n}}',
        ),
        ({"identity": {"variables": ["uid"]}}, '[identity] "uid" is not in the request; did you mean "uuid"?'),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_the_one_that_is_wanted(
    changed: dict[str, Any], said: str
) -> None:
    assert refusal(**changed).startswith(said)


def test_an_identity_of_which_nothing_is_fresh_would_make_all_requests_one() -> None:
    changed = {
        "request": {"body": "{{shop}}"},
        "variables": {"shop": {"value": "x"}},
        "identity": {"variables": ["shop"]},
    }
    assert refusal(**changed) == "[identity] shop: nothing of it is fresh, so all requests would be one"
    assert "nothing of it is fresh" in refusal(request={"body": "{{timestamp}}"}, identity={"variables": ["timestamp"]})


@pytest.mark.parametrize(
    "base_url",
    [
        "127.0.0.1:8000",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:0",
        "http://127.0.0.1:65536",
        "http://127.0.0.1:port",
        "http://127.0.0.1:80:90",
        "http://127.0.0.1 ",
        "http://[::1",
        "http://[::1:::1]",
        "http://[127.0.0.1]",
        "http://[::1%25lo]",
        "http://{{host}}",
        "http://ab\tc",
        "http://127.0.0.1\\@evil.example",
        "http://127.0.0.1#@evil.example",
        "http://bücher.example",
        "",
    ],
)
def test_a_base_url_that_readers_could_understand_differently_is_refused(base_url: str) -> None:
    assert refusal(target={"base_url": base_url}).startswith("base_url")


def test_a_base_url_with_a_path_says_where_the_path_belongs() -> None:
    assert "put the path into [request] path" in refusal(target={"base_url": "http://127.0.0.1:8000/api"})
    assert "put the path into [request] path" in refusal(target={"base_url": "http://127.0.0.1:8000?x"})


def test_a_user_name_in_a_url_is_refused_and_its_password_not_repeated() -> None:
    for changed in (
        {"target": {"base_url": "http://alice:tr0ub4dor@127.0.0.1"}},
        {"setup": [{"request": "POST http://alice:tr0ub4dor@127.0.0.1/a"}]},
        {"setup": [{"request": "POST http://127.0.0.1:80@evil.example/tr0ub4dor"}]},
    ):
        said = refusal(**changed)
        assert "wanted" in said
        assert "tr0ub4dor" not in said


def test_a_missing_secret_is_named_and_a_bare_one_is_not_repeated() -> None:
    document = shortest()
    document["signing"] = {"preset": "hex-sha256-body"}
    with pytest.raises(PlanError, match=r'^\[signing\] lacks "secret"'):
        plan_from_tables(document, "x")
    said = refusal(signing={"secret": "tr0ub4dor"})
    assert said.startswith("[signing] secret is no table: wanted")
    assert "tr0ub4dor" not in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"request": {"body": "{{uid}}"}},
            '[request] POST /order mentions {{uid}}, which nothing defines; did you mean "uuid"?',
        ),
        ({"state": [{"request": "GET /{{itme}}"}]}, "[[state]] GET /{{itme}} mentions {{itme}}, which nothing defines"),
        ({"reset": {"request": "POST /{{x}}"}}, "[reset] POST /{{x}} mentions {{x}}, which nothing defines"),
        (
            {"setup": [{"request": "POST /{{item}}"}, {"request": "POST /items", "extract": {"item": "/id"}}]},
            "[[setup]] POST /{{item}} mentions {{item}}, which nothing defines",
        ),
        (
            {"setup": [{"request": "POST /a", "extract": {"item": "/id"}}], "reset": {"request": "POST /{{item}}"}},
            "[reset] POST /{{item}} mentions {{item}}, which nothing defines",
        ),
        ({"limits": {"effects": 1, "per": ["uid"]}}, '[limits] per names "uid", which is in no request of a trial'),
        ({"limits": {"effects": 1, "per": ["nonce"]}}, '[limits] per names "nonce", which is in no request of a trial'),
        ({"limits": {"effects": 1, "per": ["timestamp"]}}, '[limits] per names "timestamp", which is in no request'),
    ],
)
def test_a_variable_that_nothing_defines_by_then_is_refused(changed: dict[str, Any], said: str) -> None:
    assert refusal(**changed).startswith(said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"target": {"nodes": ["http://127.0.0.1:1/a"]}}, "[target] nodes = ['http://127.0.0.1:1/a']: wanted origins"),
        ({"target": {"nodes": ["https://127.0.0.1:1"]}}, "[target] nodes = ['https://127.0.0.1:1']: wanted origins"),
        ({"target": {"nodes": ["127.0.0.1:1"]}}, "[target] nodes '127.0.0.1:1': wanted origins such as"),
        ({"invariant": [READ]}, "[[invariant]] 1 sum_of = None: wanted JSON pointers"),
        ({"invariant": [READ | {"sum_of": ["a"], "equals": 1}]}, "[[invariant]] 1 sum_of: pointer 'a'"),
        ({"invariant": [READ | {"sum_of": ["/a"]}]}, '[[invariant]] 1 lacks "equals"'),
        ({"sequence": {"variable": "sex"}}, '[sequence] variable "sex" is not in the request'),
        ({"sequence": {"variable": "uuid"}}, "[sequence] variable = 'uuid': wanted { fresh = \"counter\" }"),
        ({"sequence": {"variable": "seq"}}, '[sequence] lacks "applied": wanted'),
        (
            {"variables": {"seq": {"fresh": "counter", "start": "applied+1"}}},
            '[variables] seq start = "applied+1": wanted',
        ),
        ({"mix": [READ | {"sign": False}]}, "[[mix]] 1 sign = False: wanted true"),
        ({"mix": [{"request": "POST http://127.0.0.1:9/a"}]}, "[[mix]] 1 request = "),
        ({"mix": [READ | {"offset_us": -1}]}, "[[mix]] 1 offset_us = -1: wanted"),
        (
            {"mix": [READ | {"offset_us": 2**63 - 1}]},
            f"[[mix]] 1 offset_us = {2**63 - 1}: wanted a whole number from 0",
        ),
        ({"mix": [{"request": "POST /{{nobody}}"}]}, "[[mix]] POST /{{nobody}} mentions {{nobody}}"),
        ({"actor": [{"key_id": "k"}]}, '[[actor]] 1 lacks "secret"'),
        ({"actor": [{"secret": "hush"}]}, "[[actor]] 1 secret is no table"),
        ({"state": [{"name": "x"}]}, "[[state]] 1: wanted one of request, sql, command, file, sink, answers, not none"),
        ({"state": [READ | {"file": "a"}]}, "[[state]] 1: wanted one of request, sql, "),
        ({"state": [{"file": "a", "sign": True}]}, "[[state]] 1 sign goes with request, not with file"),
        ({"state": [{"sql": "SELECT 1", "database": "mysql://u:p@h"}]}, '[[state]] 1 database: wanted "sqlite:PATH"'),
        ({"state": [{"command": []}]}, "[[state]] 1 command = []: wanted a list of words"),
        ({"state": [{"answers": False}]}, "[[state]] 1 answers = False: wanted true"),
        (
            {"state": [{"sink": "0.0.0.0:80", "equals": "x"}]},
            "[[state]] 1 sink = '0.0.0.0:80': wanted an address of this",
        ),
        ({"state": [{"sink": "127.0.0.1:70000", "equals": "x"}]}, "[[state]] 1 sink = '127.0.0.1:70000': wanted"),
        ({"state": [{"file": "a", "containing": "{{nobody}}"}]}, "[[state]] file a mentions {{nobody}}"),
    ],
)
def test_what_an_invariant_a_sequence_a_mix_an_actor_or_an_oracle_cannot_mean_is_refused(
    changed: dict[str, Any], said: str
) -> None:
    assert refusal(**{**COUNTED, **changed}).startswith(said)


@pytest.mark.parametrize("settle_ms", [3_600_001, 2**63 - 1])
def test_an_effect_that_is_later_than_a_scan_can_wait_for_is_refused(settle_ms: int) -> None:
    wanted = f"settle_ms = {settle_ms}: wanted a whole number from 0 to 3600000"
    assert refusal(state=[READ | {"settle_ms": settle_ms}]) == f"[[state]] 1 {wanted}"
    applied = {"request": "GET /applied", "pointer": "/n", "settle_ms": settle_ms}
    sequence = {"sequence": {"variable": "seq", "applied": applied}}
    assert refusal(**COUNTED, **sequence) == f"[sequence] applied {wanted}"
