import traceback
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tocsin.signing import (
    PRESETS,
    MessageId,
    Scheme,
    SchemeError,
    Secret,
    preset,
    scheme_from_table,
    secret_from_table,
)


def test_a_preset_is_named_and_may_be_changed() -> None:
    assert scheme_from_table({"preset": "stripe", "secret": {"env": "X"}, "key_id": "k1"}) == PRESETS["stripe"]
    changed = scheme_from_table({"preset": "hex-sha256-body", "header": "X-Hub", "tolerance_past_s": 10})
    assert (changed.name, changed.header, changed.tolerance_past_s) == ("hex-sha256-body", "X-Hub", 10)


def test_an_empty_table_is_the_plain_scheme() -> None:
    assert scheme_from_table({}) == Scheme(name="custom")


def test_every_key_of_a_scheme_can_stand_in_a_table() -> None:
    table: dict[str, object] = {
        "name": "orders",
        "hash": "sha512",
        "encoding": "base64url=",
        "content": "{timestamp}\n{nonce}\n{header:X-Delivery}\n{body}",
        "header": "X-Sig",
        "value": "v1={signature}",
        "item_separator": ",",
        "timestamp_header": "X-Time",
        "timestamp_format": "unix_ms",
        "nonce_header": "X-Nonce",
        "key_id_header": "X-Key",
        "id_header": "X-Delivery",
        "tolerance_past_s": 60,
        "tolerance_future_s": 5.5,
        "message_id": {"header": "X-Delivery"},
    }
    scheme = scheme_from_table(table)
    assert {key: getattr(scheme, key) for key in table} == table | {"message_id": MessageId(header="X-Delivery")}


def test_a_message_id_may_stand_in_the_body() -> None:
    assert scheme_from_table({"message_id": {"pointer": "/id"}}).message_id == MessageId(pointer="/id")


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    with pytest.raises(SchemeError, match=r"unknown key in \[signing\] 'secret_prefx'; did you mean 'secret_prefix'\?"):
        scheme_from_table({"secret_prefx": "whsec_"})


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"header": 5}, "header = 5: wanted a string"),
        ({"preset": ["stripe"]}, r"preset = \['stripe'\]: wanted a string"),
        ({"tolerance_past_s": "300"}, "tolerance_past_s = '300': wanted seconds"),
        ({"tolerance_past_s": True}, "tolerance_past_s = True: wanted seconds"),
        ({"message_id": "/id"}, "message_id = '/id': wanted"),
        ({"message_id": {"body": "/id"}}, "message_id = {'body': '/id'}: wanted"),
        ({"message_id": {"pointer": 1}}, "message_id = {'pointer': 1}: wanted"),
        ({"message_id": {"pointer": "/id", "header": "X"}}, "wanted { header"),
        ({"hash": "sha1"}, "or allow_sha1"),
        ({"preset": "strype"}, "did you mean 'stripe'"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_wanted(table: dict[str, object], reason: str) -> None:
    with pytest.raises(SchemeError, match=reason):
        scheme_from_table(table)


def test_a_scanner_may_meet_sha1() -> None:
    assert scheme_from_table({"hash": "sha1"}, allow_sha1=True).signature_length == 40


def test_a_secret_comes_from_environment_file_or_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = Secret(b"0123456789abcdef")
    monkeypatch.setenv("ORDERS_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==")
    (tmp_path / "secret.txt").write_text("30313233343536373839616263646566\n")
    encoded = {"secret_encoding": "base64", "secret_prefix": "whsec_", "key_id": "k1"}
    from_env = secret_from_table({"secret": {"env": "ORDERS_SECRET"}, **encoded})
    assert from_env.signs_like(wanted)
    assert from_env.key_id == "k1"
    table = {"secret": {"file": "secret.txt"}, "secret_encoding": "hex"}
    assert secret_from_table(table, folder=tmp_path).signs_like(wanted)
    literal = {"secret": {"value": "0123456789abcdef"}}
    assert secret_from_table(literal, allow_value=True).signs_like(wanted)


def test_a_literal_secret_needs_permission() -> None:
    with pytest.raises(SchemeError, match="is only for loopback targets") as refused:
        secret_from_table({"secret": {"value": "hunter2hunter2hunter2"}})
    assert "hunter2" not in str(refused.value)


def test_a_short_secret_of_a_scanned_service_needs_permission() -> None:
    table = {"secret": {"value": "dev"}}
    with pytest.raises(SchemeError, match="has 3 bytes"):
        secret_from_table(table, allow_value=True)
    assert secret_from_table(table, allow_value=True, allow_short=True).key_id is None


@pytest.mark.parametrize(
    "secret",
    ["hunter2", ["hunter2"], {}, {"env": "A", "value": "hunter2"}, {"value": ["hunter2"]}, {"file": 5}, 5],
    ids=str,
)
def test_a_secret_that_is_no_source_is_refused_without_being_shown(secret: Any) -> None:
    with pytest.raises(SchemeError, match=r"wanted secret = \{ env") as refused:
        secret_from_table({"secret": secret}, allow_value=True)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "hunter2" not in traceback.format_exception_only(refused.value)[0]


def test_a_missing_secret_and_an_unknown_source_are_named() -> None:
    with pytest.raises(SchemeError, match=r"\[signing\] has no secret"):
        secret_from_table({})
    with pytest.raises(SchemeError, match=r"unknown key in secret 'fil'; did you mean 'file'\?"):
        secret_from_table({"secret": {"fil": "x"}})


@pytest.mark.parametrize("key", ["secret_encoding", "secret_prefix", "key_id"])
def test_the_other_keys_of_a_secret_are_strings(key: str) -> None:
    with pytest.raises(SchemeError, match=f"{key} = 5: wanted a string"):
        secret_from_table({"secret": {"value": "x"}, key: 5}, allow_value=True)


def test_a_preset_says_how_its_secrets_are_written() -> None:
    table = {"preset": "standard-webhooks", "secret": {"value": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}
    plain = Secret(b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    assert secret_from_table(table, allow_value=True).signs_like(plain)
    without = {"secret": table["secret"]}
    scheme = preset("standard-webhooks")
    assert secret_from_table(without, allow_value=True, scheme=scheme).signs_like(plain)
    said = {**table, "secret_encoding": "utf8", "secret_prefix": ""}
    assert not secret_from_table(said, allow_value=True).signs_like(plain)


def test_a_scheme_whose_sender_chooses_what_it_signs_can_be_declared() -> None:
    scheme = scheme_from_table({"preset": "aws-sigv4", "scope": "eu-west-1/s", "covered": ["host", "x-amz-date"]})
    assert (scheme.scope, scheme.covered) == ("eu-west-1/s", ("host", "x-amz-date"))
    for covered in ("host", ["host", 1]):
        with pytest.raises(SchemeError, match=r"covered = .*: wanted a list of strings"):
            scheme_from_table({"preset": "aws-sigv4", "covered": covered})
