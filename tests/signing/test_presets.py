import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Message,
    SchemeError,
    Secret,
    make_parameters,
    preset,
    sign,
    signature_base,
    verify,
)

FOLDER = Path(__file__).parent / "vectors"
FILES = {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in PRESETS}
VECTORS = [
    pytest.param(file["preset"], vector, id=f"{name}: {vector['name']}")
    for name, file in FILES.items()
    for vector in file["vectors"]
]


def message_of(vector: dict[str, Any]) -> Message:
    headers = tuple((name, value) for name, value in vector["headers"])
    return Message(vector["method"], vector["target"], headers, vector["body"].encode())


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_every_vector_is_reproduced_from_declaration_to_header(name: str, vector: dict[str, Any]) -> None:
    scheme = PRESETS[name]
    secret = Secret(vector["secret"].encode(), vector["key_id"])
    message = message_of(vector)
    parameters = make_parameters(scheme, now=vector["now"], key_id=vector["key_id"])
    assert signature_base(message, scheme, parameters) == vector["signature_base"].encode()
    headers = sign(message, scheme, secret, now=vector["now"])
    assert [list(header) for header in headers] == vector["signed_headers"]
    verified = verify(
        replace(message, headers=message.headers + headers), scheme, KeyRing.of(secret), now=vector["now"]
    )
    assert verified.message_id == vector["message_id"]


@pytest.mark.parametrize(("name", "vector"), VECTORS)
def test_every_vector_is_what_plain_hmac_says(name: str, vector: dict[str, Any]) -> None:
    """Our code takes no part in this: the vectors hold by themselves."""
    text = hmac.new(vector["secret"].encode(), vector["signature_base"].encode(), "sha256").hexdigest()
    assert name in FILES
    assert vector["signed_headers"][-1][1].endswith(text)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_vectors_with_their_source(name: str) -> None:
    assert FILES[name]["preset"] == name
    assert FILES[name]["source"]
    assert FILES[name]["vectors"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_says_what_a_user_has_to_know(name: str) -> None:
    scheme = PRESETS[name]
    assert scheme.name == name
    assert scheme.summary.endswith(".")
    assert scheme.source
    assert scheme.not_covered.endswith(".")
    assert scheme.covered_components
    assert scheme.hash == "sha256"


@pytest.mark.parametrize(
    ("name", "message_id", "retry_horizon_days"),
    [
        ("hex-sha256-body", "None", None),
        ("github", "None", 7),
        ("stripe", "/id in the body", 30),
        ("tocsin-v1", "header Idempotency-Key", 7),
    ],
)
def test_a_preset_names_its_message_id_and_for_how_long_its_sender_sends_again(
    name: str, message_id: str, retry_horizon_days: int | None
) -> None:
    scheme = PRESETS[name]
    assert str(scheme.message_id) == message_id
    assert scheme.retry_horizon_s == (None if retry_horizon_days is None else retry_horizon_days * 86_400)


def test_header_and_prefix_of_the_plain_scheme_can_be_chosen() -> None:
    scheme = preset("hex-sha256-body", header="X-Hub", value="sha256={signature}")
    secret = Secret(b"It's a Secret to Everybody")
    ((name, value),) = sign(Message("POST", "/", (), b"Hello, World!"), scheme, secret, now=0)
    assert name == "X-Hub"
    assert value == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_an_unknown_preset_names_the_nearest_known_one() -> None:
    with pytest.raises(SchemeError, match=r"unknown preset 'tocsin-v2'; did you mean 'tocsin-v1'\?"):
        preset("tocsin-v2")
    with pytest.raises(SchemeError, match="known: github, hex-sha256-body, stripe, tocsin-v1"):
        preset("zzz")


def test_an_unknown_change_names_the_nearest_known_field() -> None:
    with pytest.raises(SchemeError, match=r"unknown field of a scheme 'headr'; did you mean 'header'\?"):
        preset("github", headr="X")
    with pytest.raises(SchemeError, match="unknown field of a scheme 'compiled'"):
        preset("github", compiled=None)


def test_the_table_of_presets_does_not_change() -> None:
    with pytest.raises(TypeError):
        PRESETS["github"] = PRESETS["stripe"]  # type: ignore[index]
