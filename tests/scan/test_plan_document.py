"""docs/plan.md is the format: what it shows is understood, and no key in it is there for nothing."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tocsin.scan import Plan, PlanError, plan_from_tables, rehearse

DOCUMENT = Path(__file__).parents[2] / "docs" / "plan.md"
WHOLE, SCHEME, STATES, CAPTURED = (
    tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
)
Path_ = tuple[str | int, ...]
# What says no more than the default does, and is shown to say what that is.
AS_BY_DEFAULT = {
    ("target", "protocol"),
    ("request", "method"),
    ("request", "success"),
    ("variables", "uuid"),
    ("setup", 0, "sign"),
    ("state", 0, "settle_ms"),
    ("mix", 0, "offset_us"),
    ("budget",),
    ("budget", "requests"),
    ("budget", "effects"),
    ("budget", "seconds"),
}
# Other words for the same keys, which have to be heard.
OTHERWISE: dict[Path_, Any] = {
    ("target", "protocol"): "http/1.1",
    ("request", "method"): "PUT",
    ("request", "success"): ["201"],
    ("variables", "uuid"): {"fresh": "hex16"},
    ("identity", "variables"): ["seq", "uuid"],
    ("signing", "secret_encoding"): "hex",
    ("setup", 0, "sign"): True,
    ("state", 0, "settle_ms"): 41,
    ("mix", 0, "offset_us"): 1,
    ("budget", "requests"): 1,
    ("budget", "effects"): 1,
    ("budget", "seconds"): 1,
}


def understood(document: dict[str, Any]) -> Plan:
    return plan_from_tables(document, "plan.toml", files=lambda _: b"curl http://127.0.0.1/a -d x")


def keys(of: Any, path: Path_ = ()) -> Iterator[Path_]:
    if isinstance(of, dict):
        for key, value in of.items():
            yield (*path, key)
            yield from keys(value, (*path, key))
    elif isinstance(of, list) and of and isinstance(of[0], dict):
        for place, value in enumerate(of):
            yield from keys(value, (*path, place))


def changed(document: dict[str, Any], path: Path_, value: Any = None) -> dict[str, Any]:
    """With another value there, or without the key."""
    copy = deepcopy(document)
    within: Any = copy
    for step in path[:-1]:
        within = within[step]
    if value is None:
        del within[path[-1]]
    else:
        within[path[-1]] = value
    return copy


def test_every_block_is_understood_and_every_request_of_it_can_be_built() -> None:
    whole = understood(WHOLE)
    rehearse(whole)
    assert whole.sequence is not None
    assert (len(whole.state), len(whole.mix), len(whole.actors), len(whole.nodes)) == (2, 1, 1, 2)
    rehearse(understood(WHOLE | SCHEME))
    rehearse(understood(WHOLE | STATES))
    assert understood(CAPTURED).captured is not None


@pytest.mark.parametrize("path", list(keys(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_a_key_that_is_left_out_is_missed(path: Path_) -> None:
    if path in AS_BY_DEFAULT:
        assert understood(changed(WHOLE, path)) == understood(WHOLE)
        return
    with suppress(PlanError):  # without some nothing can be meant
        assert understood(changed(WHOLE, path)) != understood(WHOLE)


@pytest.mark.parametrize(("path", "value"), list(OTHERWISE.items()), ids=str)
def test_a_default_that_is_said_otherwise_is_heard(path: Path_, value: Any) -> None:
    assert understood(changed(WHOLE, path, value)) != understood(WHOLE)


@pytest.mark.parametrize("path", list(keys(SCHEME)), ids=lambda path: ".".join(map(str, path)))
def test_so_is_every_key_of_a_scheme(path: Path_) -> None:
    by_default = {("signing", "hash"), ("signing", "encoding"), ("signing", "timestamp_format")}
    document = WHOLE | SCHEME
    if path in by_default:
        others = {"hash": "sha512", "encoding": "base64", "timestamp_format": "unix_ms"}
        assert understood(changed(document, path, others[str(path[-1])])) != understood(document)
        return
    with suppress(PlanError):
        assert understood(changed(document, path)) != understood(document)


@pytest.mark.parametrize("place", range(5))
def test_so_is_every_key_of_every_oracle(place: int) -> None:
    document = WHOLE | {"state": [STATES["state"][place]]}
    for key in STATES["state"][place]:
        path = ("state", 0, key)
        with suppress(PlanError):
            assert understood(changed(document, path)) != understood(document)


def test_a_misspelt_key_in_any_table_is_refused_with_the_right_one() -> None:
    for path in keys(WHOLE):
        name = str(path[-1])
        if (path[0] == "variables" and len(path) == 2) or path[-2:-1] in {("extract",), ("headers",)} or len(name) < 4:
            continue
        within: Any = WHOLE
        for step in path:
            within = within[step]
        document = changed(changed(WHOLE, path), (*path[:-1], f"{name[:-1]}z{name[-1]}"), within)
        with pytest.raises(PlanError, match=re.escape(name)):
            understood(document)
