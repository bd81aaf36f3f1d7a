import json

import pytest

from tocsin.guard import _problems
from tocsin.guard._answer import Answer

FIXED = {
    401: _problems.UNAUTHORIZED,
    422: _problems.MISMATCH,
    409: _problems.IN_PROGRESS,
    503: _problems.UNAVAILABLE,
    500: _problems.BROKEN,
}
EVERY = [
    *FIXED.values(),
    _problems.CROWDED,
    _problems.ANSWER_UNKNOWN,
    _problems.content_too_large(7),
    _problems.bad_request("no usable key"),
    _problems.answer_too_large(7),
]


@pytest.mark.parametrize("answer", EVERY, ids=lambda answer: json.loads(answer.body)["detail"])
def test_the_guards_own_answers_are_problem_details(answer: Answer) -> None:
    """RFC 9457: the document's status is the answer's, and nobody caches it."""
    assert ("Content-Type", "application/problem+json") in answer.headers
    assert ("Cache-Control", "no-store") in answer.headers
    document = json.loads(answer.body)
    assert document["status"] == answer.status
    assert document["type"] == "about:blank"
    assert document["detail"].endswith(".")


@pytest.mark.parametrize(("status", "answer"), FIXED.items(), ids=str)
def test_each_situation_has_its_status(status: int, answer: Answer) -> None:
    assert answer.status == status


@pytest.mark.parametrize(
    "answer", [_problems.IN_PROGRESS, _problems.CROWDED, _problems.UNAVAILABLE], ids=["wait", "crowd", "store"]
)
def test_what_a_retry_can_change_says_when_to_retry(answer: Answer) -> None:
    assert ("Retry-After", "1") in answer.headers


def test_a_401_names_a_challenge() -> None:
    assert ("WWW-Authenticate", "HMAC") in _problems.UNAUTHORIZED.headers


def test_limits_are_named() -> None:
    assert b"7 bytes" in _problems.content_too_large(7).body
    assert b"max_answer_bytes = 7" in _problems.answer_too_large(7).body


def test_a_refusal_is_told_as_a_sentence() -> None:
    assert json.loads(_problems.bad_request("no usable key").body)["detail"] == "No usable key."
