"""Middlewares with one defence removed. For each, the named test that must fail, and does."""

import io
from typing import Any

import pytest

from tests.signing.servers import test_asgi as named_asgi
from tests.signing.servers import test_wsgi as named_wsgi
from tocsin.signing import Missing, Verified
from tocsin.signing.servers import _admission, asgi, wsgi

Patch = pytest.MonkeyPatch
FAILS = (AssertionError, pytest.fail.Exception, AttributeError, IndexError)


def test_one_that_does_not_ask_the_declared_length_waits_for_the_body(monkeypatch: Patch) -> None:
    monkeypatch.setattr(_admission.Admission, "check_length", lambda _self, _texts: None)
    with pytest.raises(FAILS):
        named_asgi.test_only_http_1_is_told_to_close_the_connection()


def test_one_that_does_not_count_takes_a_body_of_any_length(monkeypatch: Patch) -> None:
    body = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True, "wsgi.input": io.BytesIO(bytes((1 << 20) + 1))}
    named_wsgi.test_the_end_of_the_body_is_known_or_the_request_refused(body, 413)
    body["wsgi.input"] = io.BytesIO(bytes((1 << 20) + 1))
    monkeypatch.setattr(_admission.Admission, "too_large", lambda self: self.rejected(Missing("the body")))
    with pytest.raises(FAILS):
        named_wsgi.test_the_end_of_the_body_is_known_or_the_request_refused(body, 413)


def test_one_that_reads_to_the_end_of_the_stream_takes_the_next_request(monkeypatch: Patch) -> None:
    monkeypatch.setattr(wsgi, "_chunks", lambda environ, _most: iter([environ["wsgi.input"].read()]))
    with pytest.raises(FAILS):
        named_wsgi.test_nothing_after_the_body_is_read()


def test_one_that_verifies_a_body_and_gives_on_none_loses_it(monkeypatch: Patch) -> None:
    monkeypatch.setattr(asgi, "_replayed", lambda _body, receive: receive)
    with pytest.raises(FAILS):
        named_asgi.test_the_application_receives_the_body_and_then_what_the_server_says()


def test_one_that_lets_go_too_early_breaks_a_streamed_answer(monkeypatch: Patch) -> None:
    def early(answer: Any, reception: Any) -> Any:
        reception.close()
        return answer

    monkeypatch.setattr(wsgi, "_Closing", early)
    with pytest.raises((*FAILS, ValueError)):
        named_wsgi.test_the_body_is_let_go_when_the_answer_is_closed_and_the_answer_before_it()


def test_one_that_verifies_nothing_lets_everything_through(monkeypatch: Patch) -> None:
    def trusting(reception: Any) -> Verified:
        reception.file.seek(0)
        return object.__new__(Verified)

    monkeypatch.setattr(_admission.Reception, "finish", trusting)
    with pytest.raises(FAILS):
        named_asgi.test_a_rejected_request_reaches_nobody()


def test_one_that_asks_for_keys_only_at_start_up_keeps_the_old_ones(monkeypatch: Patch) -> None:
    real = _admission.Admission.keys

    def once(self: _admission.Admission) -> Any:
        return self._checked or real(self)

    monkeypatch.setattr(_admission.Admission, "keys", once)
    with pytest.raises(FAILS):
        named_wsgi.test_keys_may_come_from_a_callable_and_change_without_a_restart()
