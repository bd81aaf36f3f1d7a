from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from tests.guard.redis.server import RedisServer
from tests.guard.redis.subject import AsyncRedisSubject, RedisSubject
from tocsin.guard import GuardError
from tocsin.guard.stores import Declares
from tocsin.guard.stores.redis import AsyncRedisStore, RedisStore
from tocsin.guard.testing import CONTRACT, kept_by, on_tasks

DECLARED = Declares(atomic=False, durable=False, cross_process=True, looks_first=False)


def run(case: Callable[[Any], None], server: RedisServer, kind: str) -> None:
    with on_tasks(AsyncRedisSubject(server)) if kind == "tasks" else nullcontext(RedisSubject(server)) as subject:
        # A case that fails leaves its stores open.
        opened: list[Any] = []
        given = subject.open

        def remembering() -> Any:
            opened.append(given())
            return opened[-1]

        subject.open = remembering  # type: ignore[method-assign]
        try:
            case(subject)
        finally:
            for store in opened:
                store.close()


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize("case", kept_by(DECLARED), ids=lambda case: case.__name__)
def test_redis_keeps_as_much_of_the_contract_as_it_declares(
    case: Callable[[Any], None], kind: str, server: RedisServer
) -> None:
    run(case, server, kind)


@pytest.mark.parametrize("kind", ["threads", "tasks"])
@pytest.mark.parametrize(
    "case", [case for case in CONTRACT if case not in kept_by(DECLARED)], ids=lambda case: case.__name__
)
def test_what_redis_does_not_declare_it_does_not_keep(
    case: Callable[[Any], None], kind: str, server: RedisServer
) -> None:
    """The effect is there before the answer is stored, and still there when all was abandoned. There is no order."""
    with pytest.raises((AssertionError, GuardError)):
        run(case, server, kind)


@pytest.mark.parametrize("store", [RedisStore, AsyncRedisStore])
def test_redis_declares_what_it_promises_and_no_more(store: Any) -> None:
    assert store.declares == DECLARED
