"""Whatever a file holds: a plan that is understood whole, or one clear error."""

import copy
import json
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inputs.documents import SHOP, archive, flow, session, shop, tnetstring
from tocsin.cli._errors import UsageError
from tocsin.cli._foreign import sketch_of_curl, sketch_of_file
from tocsin.inputs import InputError, plan_text
from tocsin.scan import plan_from_toml, rehearse

CAPTURE = Path(__file__).parent / "captures" / "orders.mitm"
OFTEN = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(string.printable, max_size=12),
    st.sampled_from(
        ["{{uuid}}", "{{x}}", "{{", "order_id", "#/paths", "http://x/y", "/a/{b}", "other.yaml", "..", "-1", "a\nb = 1"]
    ),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.just("$ref"), inner, max_size=3),
    max_leaves=6,
)


def understood(tmp_path: Path, octets: bytes, entry: int | None = None) -> bool:
    """Whether a plan comes of it; no other end is allowed than that and the error."""
    path = tmp_path / "source"
    path.write_bytes(octets)
    try:
        text = plan_text(sketch_of_file(str(path), entry, None))
    except (InputError, UsageError):
        return False
    rehearse(plan_from_toml(text, "plan.toml"))
    return True


@pytest.mark.parametrize("octets", [SHOP.encode(), json.dumps(shop()).encode(), tnetstring(flow())])
def test_the_documents_that_are_changed_here_are_right_at_first(tmp_path: Path, octets: bytes) -> None:
    assert understood(tmp_path, octets)
    assert understood(tmp_path, archive(*session()), 2)


@OFTEN
@given(
    octets=st.binary(max_size=60),
    begin=st.sampled_from([b"", b"{", b"curl ", b"POST / HTTP/1.1\n", b"openapi: 3.", b"9:"]),
)
def test_any_octets(tmp_path: Path, octets: bytes, begin: bytes) -> None:
    understood(tmp_path, begin + octets)


@OFTEN
@given(words=st.lists(TEXTS, max_size=5), body=st.dictionaries(TEXTS, VALUES, max_size=3))
def test_any_curl_command(words: list[str], body: dict[str, object]) -> None:
    command = f"curl http://127.0.0.1:8000/{' '.join(words)} -d '{json.dumps(body)}'"
    try:
        text = plan_text(sketch_of_curl(command, None))
    except (InputError, UsageError):
        return
    rehearse(plan_from_toml(text, "plan.toml"))


@OFTEN
@given(data=st.data())
def test_an_archive_in_which_anything_stands_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    understood(tmp_path, archive(*changed(session(), data)), data.draw(st.sampled_from([None, 0, 2, 9])))


@OFTEN
@given(data=st.data())
def test_a_description_in_which_anything_stands_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    document = data.draw(st.sampled_from([shop(), yaml.safe_load(SHOP)]))
    document = json.loads(json.dumps(document, default=str))
    understood(tmp_path, json.dumps(changed(document, data)).encode(), data.draw(st.sampled_from([None, 0, 9])))


@OFTEN
@given(data=st.data())
def test_a_flow_file_in_which_anything_stands_anywhere(tmp_path: Path, data: st.DataObject) -> None:
    recorded = bytearray(CAPTURE.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(recorded) - 1), max_size=4)):
        recorded[place] = data.draw(st.integers(0, 255))
    understood(tmp_path, bytes(recorded[: data.draw(st.integers(0, len(recorded)))]), 0)
    name = data.draw(st.sampled_from(["method", "scheme", "host", "port", "path", "headers", "content"]))
    value = data.draw(st.one_of(st.none(), st.booleans(), st.integers(), st.binary(max_size=9), st.just([["a"], b"b"])))
    understood(tmp_path, tnetstring(flow(**{name: value})))


def changed(document: Any, data: st.DataObject) -> Any:
    """A document with another value somewhere in it."""
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        here = document
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and here[key] and data.draw(st.integers(0, 9)) > 1:
                here = here[key]
                continue
            here[key] = data.draw(VALUES)
            break
    return document
