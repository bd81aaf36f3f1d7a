from dataclasses import replace

import pytest

from tocsin.guard._fingerprint import Fingerprint, comparable, fingerprint
from tocsin.signing import Message

MESSAGE = Message("POST", "/order?amount=1", (("X-A", "1"),), b'{"to":"alice"}')


@pytest.mark.parametrize(
    "other",
    [
        replace(MESSAGE, method="PUT"),
        replace(MESSAGE, target="/orders?amount=1"),
        replace(MESSAGE, target="/order?amount=999"),
        replace(MESSAGE, target="/order"),
        replace(MESSAGE, body=b'{"to": "alice"}'),
        replace(MESSAGE, body=b'{"to":"mallory","to":"alice"}'),
    ],
    ids=["method", "path", "query", "no query", "white space", "duplicate member"],
)
def test_method_path_query_and_raw_body_are_compared(other: Message) -> None:
    assert fingerprint(MESSAGE, Fingerprint.REQUEST) != fingerprint(other, Fingerprint.REQUEST)


def test_headers_are_not_compared() -> None:
    """A retry carries a new date, another trace id, perhaps another signature."""
    other = replace(MESSAGE, headers=())
    assert fingerprint(MESSAGE, Fingerprint.REQUEST) == fingerprint(other, Fingerprint.REQUEST)


def test_the_body_alone_can_be_compared() -> None:
    moved = replace(MESSAGE, method="PUT", target="/v2/order")
    assert fingerprint(MESSAGE, Fingerprint.BODY) == fingerprint(moved, Fingerprint.BODY)
    assert fingerprint(MESSAGE, Fingerprint.BODY) != fingerprint(replace(MESSAGE, body=b""), Fingerprint.BODY)


def test_nothing_can_be_compared() -> None:
    assert fingerprint(MESSAGE, Fingerprint.NONE) is None


def test_fingerprints_over_different_parts_say_nothing_about_each_other() -> None:
    """A service that changes its mind does not answer 422 to every honest retry of before."""
    request, body = (fingerprint(MESSAGE, kind) for kind in (Fingerprint.REQUEST, Fingerprint.BODY))
    assert comparable(request, request)
    assert not comparable(request, body)
    assert not comparable(request, None)
    assert not comparable(None, request)
