"""Every defence of the adapters for ASGI and WSGI that is taken away makes a named test fail.

A test that still passed for its twin would not notice if the adapters lost that defence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, Request

from tests.guard.adapters import (
    test_asgi,
    test_fastapi,
    test_fastapi_errors,
    test_fastapi_last_word,
    test_starlette,
    test_wsgi,
)
from tests.guard.adapters.asgi_client import Loop
from tests.guard.adapters.fastapi_shop import Shop, selling
from tests.guard.adapters.on_asgi import OnASGI
from tests.guard.adapters.on_starlette import OnStarlette
from tests.guard.adapters.on_wsgi import OnWSGI
from tests.guard.shop import SECRET
from tocsin.guard import Guard, _asgi, _starlette, _threads, _wsgi
from tocsin.guard._answer import Answer, StoredAnswer
from tocsin.guard._asgi import Exchange
from tocsin.guard._async_driver import AsyncDriver
from tocsin.guard._steps import Returned, Run
from tocsin.guard._wsgi import Collected
from tocsin.guard.adapters import fastapi as fastapi_adapter
from tocsin.guard.adapters.wsgi import SIGNED, TX, GuardedApp, _Run
from tocsin.guard.testing import claim
from tocsin.signing import KeyRing, Message, verify

Removal = Callable[[pytest.MonkeyPatch], None]


def commit_after_the_first_byte(patch: pytest.MonkeyPatch) -> None:
    async def send(exchange: Exchange[Any], event: Any) -> None:
        if exchange._collected.add(event):
            answer = exchange._collected.answer()
            await exchange._reply(answer)
            await exchange._performing.returned(Returned(answer))

    patch.setattr(Exchange, "send", send)


def a_dependency_with_yield_in_place_of_the_route(patch: pytest.MonkeyPatch) -> None:
    """As most examples of transactions on FastAPI have it."""

    def fastapi(guard: Guard[Any], **_: Any) -> Any:
        async def transaction(request: Request) -> Any:
            message = Message("POST", "/order", tuple(request.headers.items()), await request.body())
            verify(message, guard._scheme, KeyRing.of(SECRET), now=0)
            granted: Any = await guard._store.take_async(claim(), 1)  # type: ignore[union-attr]
            yield granted.tx
            await granted.settle_async(StoredAnswer(200, b"[]", b""))

        def decorated(handler: Any) -> Any:
            async def endpoint(tx: Any = Depends(transaction)) -> Any:  # noqa: B008  FastAPI's way
                return await handler(tx)

            return endpoint

        return decorated

    patch.setattr(Guard, "fastapi", fastapi)


def parse_before_verification(patch: pytest.MonkeyPatch) -> None:
    """The signature is checked when the endpoint is about to start."""

    async def perform(exchange: Exchange[Any], app: Any) -> None:
        exchange.scope = exchange._outer
        await exchange._attempt(app)

    async def grant(exchange: Exchange[Any]) -> Run | None:
        exchange._decided = await exchange._performing.to_claim()
        return None if exchange._decided is not None else await real(exchange)

    real = Exchange.grant
    patch.setattr(Exchange, "_perform", perform)
    patch.setattr(Exchange, "grant", grant)


def background_tasks_before_commit(patch: pytest.MonkeyPatch) -> None:
    """The answer is collected until the application has come to its end."""

    async def send(exchange: Exchange[Any], event: Any) -> None:
        exchange._collected.add(event)

    async def attempt(exchange: Exchange[Any], app: Any) -> None:
        exchange._begin_anew()
        await app(exchange.scope, exchange.receive, exchange.send)
        answer = await exchange._ended(exchange._collected.answer())
        assert answer is not None
        await exchange._reply(answer)

    patch.setattr(Exchange, "send", send)
    patch.setattr(Exchange, "_attempt", attempt)


def extensions_as_the_server_offers_them(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_asgi, "_scope_of_the_application", lambda scope: scope)


def nothing_given_back_by_a_cancelled_task(patch: pytest.MonkeyPatch) -> None:
    async def close(_driver: AsyncDriver[Any]) -> None:
        pass

    patch.setattr(AsyncDriver, "close", close)


def keys_held_until_the_application_has_ended(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AsyncDriver, "_over", lambda _driver, end: end.value)


def every_answer_taken_for_the_last_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fastapi_adapter, "_is_last_word", lambda *_: True)


def the_frameworks_own_threads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_threads, "_limiter", current_default_thread_limiter)


def wsgi_answers_begun_before_commit(patch: pytest.MonkeyPatch) -> None:
    """As most middlewares have it: the application is handed the server's own start_response."""

    def call(guarded: GuardedApp[Any], environ: Any, start_response: Any) -> Any:
        guarded._app = _begun_with(start_response, guarded._app)
        begun_before: Any = lambda *_: None  # noqa: E731  typed as what it stands for
        return real(guarded, environ, begun_before)

    real = GuardedApp.__call__
    patch.setattr(GuardedApp, "__call__", call)


def _begun_with(start_response: Any, app: Any) -> Any:
    def begins(environ: Any, collected: Any) -> Any:
        def both(*arguments: Any) -> Any:
            start_response(*arguments)
            return collected(*arguments)

        return app(environ, both)

    return begins


def wsgi_iterables_left_to_the_server(patch: pytest.MonkeyPatch) -> None:
    """The transaction is over by the time a generator is asked for its parts."""

    def answer(collected: Collected, app: Any, environ: Any) -> Any:
        tx = environ[TX]
        body = app({**environ, SIGNED: environ[SIGNED], TX: tx}, collected._start_response)
        return Answer(200, (), b"" if collected._started is None else b"".join(body))

    patch.setattr(Collected, "answer", answer)


def wsgi_errors_taken_for_answers(patch: pytest.MonkeyPatch) -> None:
    def run(run: _Run[Any], signed: Any, tx: Any) -> Returned:
        collected = Collected(1000)
        return Returned(collected.answer(run._app, {**run._environ, SIGNED: signed, TX: tx}))

    patch.setattr(_Run, "__call__", run)


def wsgi_bodies_read_until_the_input_is_empty(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("tocsin.guard.adapters.wsgi.received_body", lambda environ, _: environ["wsgi.input"].read())


def ways_round_the_answer_left_in_environ(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_wsgi, "_PAST_THE_ANSWER", ())


def any_exception_handler_decides(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_starlette.Noting, "_is_http_error", lambda _self, _kind: True)


@dataclass(frozen=True, slots=True)
class Twin:
    """A defence, and the test that notices when it is gone."""

    removal: Removal
    noticed_by: Callable[..., object]
    subject: Callable[[Path, Loop], Any]

    def __str__(self) -> str:
        noticed_by = self.noticed_by.func if isinstance(self.noticed_by, partial) else self.noticed_by
        return f"{self.removal.__name__}-{noticed_by.__name__}"

    def run(self, path: Path, loop: Loop) -> None:
        subject = self.subject(path / "orders.db", loop)
        try:
            self.noticed_by(subject)
        finally:
            subject.store.close()


def plain(path: Path, loop: Loop) -> OnASGI:
    OnASGI.loop = loop
    return OnASGI(path)


def sells(path: Path, loop: Loop) -> Shop:
    return selling(Shop(path, loop), "async def")


def on_wsgi(path: Path, _loop: Loop) -> OnWSGI:
    return OnWSGI(path)


def on_starlette(path: Path, loop: Loop) -> OnStarlette:
    OnStarlette.loop = loop
    return OnStarlette(path, shared_secret=True)


TWINS = [
    Twin(
        commit_after_the_first_byte,
        test_fastapi_errors.test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves,
        Shop,
    ),
    Twin(
        a_dependency_with_yield_in_place_of_the_route,
        test_fastapi_errors.test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves,
        Shop,
    ),
    Twin(
        parse_before_verification,
        test_fastapi.test_nothing_is_parsed_before_the_signature_has_passed,
        sells,
    ),
    Twin(background_tasks_before_commit, test_fastapi.test_background_tasks_run_after_commit_and_once, sells),
    Twin(
        extensions_as_the_server_offers_them,
        test_asgi.test_extensions_that_go_round_the_events_of_an_answer_are_not_offered,
        plain,
    ),
    Twin(
        nothing_given_back_by_a_cancelled_task,
        partial(test_asgi.test_a_task_that_is_cancelled_while_it_waits_leaves_nothing, waits_for="the writer"),
        plain,
    ),
    Twin(
        keys_held_until_the_application_has_ended,
        test_asgi.test_what_follows_the_answer_holds_no_key,
        plain,
    ),
    Twin(
        the_frameworks_own_threads,
        test_fastapi.test_handlers_that_wait_for_the_writer_leave_the_framework_its_threads,
        Shop,
    ),
    Twin(
        every_answer_taken_for_the_last_word,
        partial(
            test_fastapi_last_word.test_what_follows_an_answer_follows_its_commit,
            made=test_fastapi_last_word.with_a_background_task,
            router=None,
            kind="async def",
        ),
        Shop,
    ),
    Twin(wsgi_answers_begun_before_commit, test_wsgi.test_not_one_byte_goes_to_the_server_before_commit, on_wsgi),
    Twin(wsgi_iterables_left_to_the_server, test_wsgi.test_not_one_byte_goes_to_the_server_before_commit, on_wsgi),
    Twin(ways_round_the_answer_left_in_environ, test_wsgi.test_not_one_byte_goes_to_the_server_before_commit, on_wsgi),
    Twin(
        wsgi_errors_taken_for_answers,
        test_wsgi.test_an_answer_that_was_made_of_an_error_is_sent_and_rolled_back_whole,
        on_wsgi,
    ),
    Twin(
        wsgi_bodies_read_until_the_input_is_empty,
        test_wsgi.test_a_body_whose_end_the_server_does_not_tell_is_refused_and_not_waited_for,
        on_wsgi,
    ),
    Twin(
        any_exception_handler_decides,
        test_starlette.test_a_defect_that_the_application_renders_as_400_is_still_rolled_back,
        on_starlette,
    ),
    Twin(
        any_exception_handler_decides,
        partial(
            test_fastapi_errors.test_an_exceptions_type_decides_and_not_what_its_handler_makes_of_it,
            error=test_fastapi_errors.BrokenInvariantError(),
            status=400,
        ),
        Shop,
    ),
]


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_named_test_fails_for_the_twin(
    twin: Twin, tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin.removal(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        twin.run(tmp_path, loop)


@pytest.mark.parametrize("twin", TWINS, ids=str)
def test_the_same_test_passes_for_the_guard(twin: Twin, tmp_path: Path, loop: Loop) -> None:
    """Called in the same way, so that what fails above fails for its twin and for nothing else."""
    twin.run(tmp_path, loop)
