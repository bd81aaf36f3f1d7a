import json

import pytest

from tocsin.signing.servers._problems import INCOMPLETE, LENGTH_REQUIRED, UNAUTHORIZED, Problem, content_too_large


@pytest.mark.parametrize(
    ("problem", "status", "phrase"),
    [
        (UNAUTHORIZED, 401, "Unauthorized"),
        (INCOMPLETE, 400, "Bad Request"),
        (LENGTH_REQUIRED, 411, "Length Required"),
        (content_too_large(7), 413, "Content Too Large"),
    ],
)
def test_a_problem_says_its_status_in_line_header_and_document(problem: Problem, status: int, phrase: str) -> None:
    document = json.loads(problem.body)
    assert (problem.status, problem.phrase, document["status"], document["title"]) == (status, phrase, status, phrase)
    assert problem.headers[:2] == (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"))


def test_only_where_octets_stay_unread_is_the_connection_closed() -> None:
    assert ("Connection", "close") not in UNAUTHORIZED.headers
    assert ("Connection", "close") in content_too_large(7).headers


def test_the_cap_is_said() -> None:
    assert json.loads(content_too_large(7).body)["detail"] == "The body may have 7 bytes at most."
