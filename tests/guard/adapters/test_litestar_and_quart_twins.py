"""Every defence of the adapters for Litestar and Quart that is taken away makes a named test fail."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.guard.adapters import test_litestar, test_quart
from tests.guard.adapters.asgi_client import Loop
from tests.guard.adapters.fastapi_shop import Shop
from tests.guard.adapters.test_twins import Twin, commit_after_the_first_byte, parse_before_verification
from tocsin.guard.adapters import litestar as litestar_adapter
from tocsin.guard.adapters import quart as quart_adapter
from tocsin.guard.adapters.litestar import GuardedHandler


def any_error_of_a_litestar_handler_decides(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(litestar_adapter, "_is_refusal", lambda error: getattr(error, "status_code", 500) < 500)


def bodies_that_a_litestar_middleware_has_read_left_with_it(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(litestar_adapter, "_from_the_start", lambda _scope, receive: receive)


def what_litestar_keeps_of_an_undone_run_left_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(litestar_adapter, "_forget_an_earlier_run", lambda _scope: None)


def sessions_left_in_a_copy_of_litestars_scope(patch: pytest.MonkeyPatch) -> None:
    async def only_send(_inner: Any, _outer: Any, send: Any, event: Any) -> None:
        await send(event)

    patch.setattr(litestar_adapter, "_send_with_session", only_send)


def litestars_answer_cache_allowed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GuardedHandler, "check", lambda *_: None)


def quart_bodies_read_to_their_end(patch: pytest.MonkeyPatch) -> None:
    """As get_data() does it: Quart's own limit is 16 MiB."""

    async def received_body(received: Any, _most_bytes: int) -> bytes:
        body: bytes = await received.get_data()
        return body

    patch.setattr(quart_adapter, "_received_body", received_body)


def quart_bodies_not_given_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("quart.wrappers.request.Body.set_result", lambda *_: None)


def quart_streams_joined_whatever_their_length(patch: pytest.MonkeyPatch) -> None:
    async def collected(parts: Any, _most_bytes: int) -> bytes:
        return b"".join([part async for part in parts])

    patch.setattr(quart_adapter, "collect_async", collected)


TWINS = [
    Twin(
        any_error_of_a_litestar_handler_decides,
        test_litestar.test_a_defect_that_the_application_renders_as_400_is_still_rolled_back,
        Shop,
    ),
    Twin(
        commit_after_the_first_byte,
        test_litestar.test_a_commit_that_fails_is_answered_as_such_and_no_byte_of_another_answer_leaves,
        Shop,
    ),
    Twin(
        parse_before_verification,
        partial(test_litestar.test_nothing_is_parsed_before_the_signature_has_passed, body=b"["),
        Shop,
    ),
    Twin(
        bodies_that_a_litestar_middleware_has_read_left_with_it,
        test_litestar.test_a_middleware_may_have_read_the_body,
        Shop,
    ),
    Twin(
        what_litestar_keeps_of_an_undone_run_left_there,
        test_litestar.test_a_transaction_that_was_undone_for_another_one_runs_again_with_its_form,
        Shop,
    ),
    Twin(
        sessions_left_in_a_copy_of_litestars_scope,
        test_litestar.test_a_session_that_the_handler_sets_reaches_litestars_middleware,
        Shop,
    ),
    Twin(
        litestars_answer_cache_allowed,
        test_litestar.test_an_answer_cache_is_refused_when_the_application_starts,
        Shop,
    ),
    Twin(
        quart_bodies_read_to_their_end,
        partial(test_quart.test_a_body_over_the_cap_is_not_waited_for, declared=None),
        Shop,
    ),
    Twin(
        quart_bodies_not_given_back,
        partial(test_quart.test_the_view_has_the_request_and_its_body, kind="async def"),
        Shop,
    ),
    Twin(
        quart_streams_joined_whatever_their_length,
        test_quart.test_a_stream_over_the_cap_is_rolled_back,
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
