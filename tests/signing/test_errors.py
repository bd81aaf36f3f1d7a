import pickle

import pytest

from tocsin.signing import (
    Duplicated,
    Malformed,
    Missing,
    OutsideTolerance,
    Rejected,
    UnknownKey,
    WrongSignature,
)

KINDS = [
    (Missing("header X-Signature"), "header X-Signature is missing"),
    (Duplicated("header X-Signature"), "header X-Signature is given more than once"),
    (Malformed("the nonce", "is too long"), "the nonce is too long"),
    (UnknownKey("k9"), "no active secret has the key id 'k9'"),
    (UnknownKey(None), "no secret in the key ring is active"),
    (WrongSignature(), "the signature fits no active secret"),
    (OutsideTolerance(412.0, 300), "the timestamp is 412 s old, and 300 s are tolerated"),
    (OutsideTolerance(-31.5, 30), "the timestamp is 31.5 s in the future, and 30 s are tolerated"),
]


@pytest.mark.parametrize(("rejected", "text"), KINDS)
def test_every_kind_says_what_was_wrong(rejected: Rejected, text: str) -> None:
    assert str(rejected) == text
    assert rejected.kind == type(rejected).__name__


@pytest.mark.parametrize("rejected", [rejected for rejected, _text in KINDS])
def test_every_kind_survives_a_process_boundary(rejected: Rejected) -> None:
    copy = pickle.loads(pickle.dumps(rejected))
    assert (type(copy), str(copy), vars(copy)) == (type(rejected), str(rejected), vars(rejected))


def test_a_long_or_odd_key_id_cannot_flood_or_forge_a_log_line() -> None:
    assert str(UnknownKey("a" * 25)) == "no active secret has the key id (25 characters)"
    assert str(UnknownKey("x\ny\u2028é")) == r"no active secret has the key id 'x\ny\u2028\xe9'"
