"""Hawk: https://github.com/mozilla/hawk/blob/main/API.md"""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from tocsin.signing import (
    PRESETS,
    KeyRing,
    Malformed,
    Message,
    SchemeError,
    Secret,
    Verified,
    WrongDigest,
    WrongSignature,
    compute_signature,
    make_parameters,
    sign,
)

Verifier: TypeAlias = Callable[..., Verified]

HAWK = PRESETS["hawk"]
SECRET = Secret(b"werxhqb98rpaxn39848xrunpaw3489ruxnpa98w4rxn", "dh37fgj492je")
KEYS = KeyRing.of(SECRET)
NOW = 1_353_832_234
PUBLISHED = Message(
    "POST",
    "/resource/1?b=1&a=2",
    (("Content-Type", "text/plain"),),
    b"Thank you for flying Hawk",
    "http://example.com:8000",
)


def signed(message: Message = PUBLISHED) -> Message:
    return replace(message, headers=message.headers + sign(message, HAWK, SECRET, now=NOW, nonce="j4h3g2"))


def edited(message: Message, old: str, new: str) -> Message:
    return replace(message, headers=tuple((name, value.replace(old, new)) for name, value in message.headers))


def test_the_published_mac_is_reproduced_with_its_ext() -> None:
    scheme = replace(HAWK, content=HAWK.content[:-1] + "some-app-ext-data\n")
    parameters = make_parameters(scheme, now=NOW, nonce="j4h3g2", key_id="dh37fgj492je", message=PUBLISHED)
    assert parameters.digest == "Yi9LfIIFRtBEPt74PVmbTF/xVAwPn7ub15ePICfgnuY="
    signature = compute_signature(PUBLISHED, scheme, SECRET, parameters)
    assert signature == "aSe1DERmZuRl3pI36/9BdZmnErTw3sNzOOAUlfeKjVw="


def test_an_ext_is_signed_where_it_is_and_we_take_none(verify: Verifier) -> None:
    verify(signed(), HAWK, KEYS, now=NOW)
    verify(edited(signed(), ", mac=", ', ext="", mac='), HAWK, KEYS, now=NOW)


def test_the_payload_hash_has_to_be_there_and_right(verify: Verifier) -> None:
    with pytest.raises(WrongDigest):
        verify(replace(signed(), body=b"other"), HAWK, KEYS, now=NOW)
    with pytest.raises(WrongDigest):
        verify(edited(signed(), "text/plain", "text/html"), HAWK, KEYS, now=NOW)
    whole = signed()
    digest = whole.values("Authorization")[0].split(", ")[3]
    with pytest.raises(Malformed, match="does not have the shape"):
        verify(edited(whole, f"{digest}, ", ""), HAWK, KEYS, now=NOW)


def test_parameters_and_case_of_the_content_type_are_not_hashed(verify: Verifier) -> None:
    verify(edited(signed(), "text/plain", "Text/Plain; charset=utf-8"), HAWK, KEYS, now=NOW)


def test_a_content_type_of_other_characters_or_given_twice_raises_nothing_else(verify: Verifier) -> None:
    for headers in ((("Content-Type", "\u20ac"),), (("Content-Type", "text/plain"), ("content-type", "text/plain"))):
        with pytest.raises(WrongDigest):
            verify(replace(signed(), headers=(*headers, signed().headers[-1])), HAWK, KEYS, now=NOW)


def test_attributes_may_stand_in_another_order(verify: Verifier) -> None:
    """As mohawk writes them: mac first."""
    value = signed().values("Authorization")[0]
    turned = "Hawk " + ", ".join(reversed(value.removeprefix("Hawk ").split(", ")))
    verify(edited(signed(), value, turned), HAWK, KEYS, now=NOW)
    for other in (value.removeprefix("Hawk "), "hawk" + value.removeprefix("Hawk"), "Hawk  " + value[5:]):
        with pytest.raises(Malformed):
            verify(edited(signed(), value, other), HAWK, KEYS, now=NOW)


def test_the_target_is_signed_as_it_stands(verify: Verifier) -> None:
    with pytest.raises(WrongSignature):
        verify(replace(signed(), target="/resource/1?a=2&b=1"), HAWK, KEYS, now=NOW)


def test_parameters_of_a_scheme_with_a_digest_need_the_message() -> None:
    with pytest.raises(SchemeError, match="hawk carries a digest or a list of what it signs; wanted the message"):
        make_parameters(HAWK, now=NOW, nonce="n", key_id="k1")
