"""Each guide's code runs: today's endpoint as it is, and the guarded one, to which a copy is no message."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.guides.guide import MOST_NEW_LINES, SECRET, applied, blocks, loaded, make_database, new_lines, signed

Answer = tuple[int, bytes]
Post = Callable[[Any, bytes, dict[str, str]], Answer]


def flask(app: Any, body: bytes, headers: dict[str, str]) -> Answer:
    answer = app.test_client().post("/order", data=body, headers=headers)
    return answer.status_code, answer.data


def fastapi(app: Any, body: bytes, headers: dict[str, str]) -> Answer:
    """Starlette's client speaks to any application on ASGI."""
    with TestClient(app) as client:
        answer = client.post("/order", content=body, headers=headers)
    return answer.status_code, answer.content


def litestar(app: Any, body: bytes, headers: dict[str, str]) -> Answer:
    return fastapi(app, body, headers)


def quart(app: Any, body: bytes, headers: dict[str, str]) -> Answer:
    return fastapi(app, body, headers)


GUIDES = [flask, fastapi, litestar, quart]


@pytest.fixture(autouse=True)
def fresh_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    make_database()


@pytest.mark.parametrize("post", GUIDES, ids=lambda post: post.__name__)
def test_the_guarded_endpoint_applies_a_message_once_and_answers_each_copy_alike(post: Post) -> None:
    _, guarded = blocks(post.__name__)
    app = loaded(guarded, post.__name__)
    body, headers = signed("o-1")
    assert post(app, body, {**headers, "X-Signature": "0" * 64})[0] == 401
    assert applied() == (0, 5)
    first, again = post(app, body, headers), post(app, body, headers)
    assert first == again
    assert first[0] == 200
    assert applied() == (1, 4)
    assert post(app, *signed("o-2"))[0] == 200
    assert applied() == (2, 3)


@pytest.mark.parametrize("post", GUIDES, ids=lambda post: post.__name__)
def test_todays_endpoint_is_what_people_have_and_takes_few_lines_to_guard(post: Post) -> None:
    today, guarded = blocks(post.__name__)
    app = loaded(today, post.__name__)
    body, headers = signed("o-1")
    assert post(app, body, {**headers, "X-Signature": "0" * 64})[0] == 401
    assert [post(app, body, headers)[0] for _ in range(2)] == [200, 200]
    assert applied() == (1, 4), "one after the other it looks right"
    assert new_lines(today, guarded) <= MOST_NEW_LINES
    assert len(guarded.splitlines()) <= len(today.splitlines())
