"""Forgeries stand where the real signature would and never verify; respellings are the real one, written otherwise."""

from collections.abc import Mapping

import pytest

from tests.scan.services.plans import plan
from tocsin.scan import Plan
from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._forgery import bypass, bypass_probes, forgery, respelling_names, respellings
from tocsin.signing import KeyRing, Message, Rejected, Secret, verify

OCTETS = b"a secret of the forger's victim"
DRAFT = Draft({"uuid": "u-1", "nonce": "n" * 16})
AT = 1_000_000_000.0

HEX = {"preset": "hex-sha256-body"}
STRIPE = {"preset": "stripe"}
BASE64 = {"preset": None, "content": "{nonce}.{body}", "encoding": "base64", "nonce_header": "X-Nonce"}
URL64 = {"preset": None, "encoding": "base64url"}
KEYED = {"preset": None, "content": "{method}{key_id}", "value": "k={key_id},s={signature}", "key_id": "k1"}
SCHEMES = [HEX, STRIPE, BASE64, URL64, KEYED]


def composed(signing: Mapping[str, object], **changed: object) -> Composer:
    of: Plan = plan(signing=signing, **changed)
    return Composer(of, Secret(OCTETS, key_id="k1" if "key_id" in signing else None), {"": "127.0.0.1"})


def message(shot: Shot) -> Message:
    head, _, body = shot.raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    headers = tuple((name, value) for name, _, value in (field.partition(": ") for field in fields))
    return Message(method, target, headers, body)


def verifies(composer: Composer, shot: Shot) -> bool:
    try:
        verify(message(shot), composer.plan.scheme, KeyRing.of(composer.secret), now=AT)
    except Rejected:
        return False
    return True


def signature_value(composer: Composer, shot: Shot) -> str:
    [value] = message(shot).values(composer.plan.scheme.header)
    return value


@pytest.mark.parametrize("signing", SCHEMES)
def test_a_forgery_has_everything_of_the_real_one_but_its_value(signing: Mapping[str, object]) -> None:
    composer = composed(signing)
    real, forged = composer.shot(DRAFT, at=AT), forgery(composer, DRAFT, at=AT)

    assert verifies(composer, real)
    assert not verifies(composer, forged)
    assert len(forged.raw) == len(real.raw)
    assert [name for name, _ in message(forged).headers] == [name for name, _ in message(real).headers]
    assert message(forged).body == message(real).body


@pytest.mark.parametrize("signing", SCHEMES)
def test_no_bypass_probe_holds_a_valid_signature_and_all_are_different_requests(signing: Mapping[str, object]) -> None:
    composer = composed(signing)
    names = bypass_probes(composer)
    shots = {name: bypass(name, composer, DRAFT, at=AT) for name in names}

    assert not [name for name, shot in shots.items() if verifies(composer, shot)]
    assert len({shot.raw for shot in shots.values()}) == len(names)


def test_the_probes_are_those_of_the_definitions() -> None:
    assert bypass_probes(composed(HEX)) == (
        "missing",
        "empty",
        "truncated",
        "junk",
        "other_prefix",
        "other_hash",
        "unkeyed_hash",
        "none",
        "doubled",
        "very_long",
        "non_ascii",
        "of_empty_body",
        "of_another_key",
    )


def test_an_empty_body_or_one_that_is_not_signed_has_no_other_signature() -> None:
    assert "of_empty_body" not in bypass_probes(composed(HEX, request={"body": ""}))
    assert "of_empty_body" not in bypass_probes(composed(KEYED))


def test_probes_look_as_they_are_called() -> None:
    composer = composed(HEX)

    def value(name: str) -> str:
        return signature_value(composer, bypass(name, composer, DRAFT, at=AT))

    assert message(bypass("missing", composer, DRAFT, at=AT)).values("X-Signature") == ()
    assert len(message(bypass("doubled", composer, DRAFT, at=AT)).values("X-Signature")) == 2
    assert (value("empty"), value("none")) == ("", "none")
    assert [len(value(name)) for name in ("truncated", "junk", "other_hash", "very_long")] == [32, 64, 40, 16_384]
    assert not value("non_ascii").isascii()
    assert value("other_prefix").startswith("sha0=")


@pytest.mark.parametrize(
    ("signing", "names"),
    [
        (HEX, {"header_case", "hex_case"}),
        (STRIPE, {"header_case", "hex_case", "list_position"}),
        (BASE64, {"header_case", "padding", "alphabet"}),
        (URL64, {"header_case", "padding", "alphabet"}),
    ],
)
def test_a_respelling_is_the_same_message_in_other_bytes(signing: Mapping[str, object], names: set[str]) -> None:
    composer = composed(signing)
    shots = [composer.shot(DRAFT.with_values(uuid=f"u-{n}"), at=AT) for n in range(12)]
    seen: set[str] = set()
    for shot in shots:
        for name, other in respellings(composer, shot):
            seen.add(name)
            assert other.raw != shot.raw
            assert message(other).body == message(shot).body
    # Whether a signature in base64 has a character that depends on the alphabet is chance: 12 of them do not miss it.
    assert seen == set(respelling_names(composer.plan.scheme)) == names


def test_a_strict_verifier_takes_no_respelling_but_that_of_a_headers_name_and_a_lists_order() -> None:
    composer = composed(STRIPE)
    shot = composer.shot(DRAFT, at=AT)
    taken = {name for name, other in respellings(composer, shot) if verifies(composer, other)}
    assert taken == {"header_case", "list_position"}
