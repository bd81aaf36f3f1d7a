"""Auth classes with one defence removed. For each, the named test that must fail, and does."""

from typing import Any

import httpx
import pytest
import requests

from tests.signing.clients import test_both as named
from tests.signing.clients import test_httpx as named_httpx
from tests.signing.clients import test_requests as named_requests
from tests.signing.clients.conftest import Service
from tocsin.signing.clients import _signer
from tocsin.signing.clients import httpx as with_httpx
from tocsin.signing.clients import requests as with_requests

Patch = pytest.MonkeyPatch


def test_httpx_without_headers_of_its_own_hands_the_signature_on(
    monkeypatch: Patch, service: Service, elsewhere: Service
) -> None:
    def plain(headers: list[Any], signature: list[Any]) -> httpx.Headers:
        return httpx.Headers([*headers, *signature])

    monkeypatch.setattr(with_httpx, "_SignedHeaders", plain)
    with pytest.raises(AssertionError):
        named.test_a_redirect_to_another_origin_carries_no_signature(named.LIBRARIES["httpx"], service, elsewhere, 307)


def test_requests_without_the_hook_hands_the_signature_on(
    monkeypatch: Patch, service: Service, elsewhere: Service
) -> None:
    monkeypatch.setattr(with_requests.SignatureAuth, "_forget_signature", lambda *_arguments, **_more: None)
    with pytest.raises(AssertionError):
        named.test_a_redirect_to_another_origin_carries_no_signature(
            named.LIBRARIES["requests"], service, elsewhere, 307
        )


def test_a_signer_that_keeps_the_old_signature_cannot_sign_again(monkeypatch: Patch, service: Service) -> None:
    monkeypatch.setattr(_signer.Signer, "unsigned", lambda _self, headers: tuple(headers))
    with pytest.raises((AssertionError, ValueError)):
        named_httpx.test_the_same_request_sent_again_keeps_its_id_and_gets_a_fresh_timestamp(service)


def test_an_auth_class_that_takes_any_body_signs_what_is_not_sent(monkeypatch: Patch, service: Service) -> None:
    monkeypatch.setattr(with_requests, "_octets", lambda body: body if isinstance(body, bytes) else b"")
    with requests.Session() as session, pytest.raises(pytest.fail.Exception):
        named_requests.test_a_streamed_body_is_refused_before_anything_is_sent(session, service)


def test_a_signer_that_makes_an_id_for_each_sending_loses_the_repetition(monkeypatch: Patch, service: Service) -> None:
    monkeypatch.setattr(_signer.Signer, "new_id", lambda _self, _headers: ("Idempotency-Key", _signer.random_text()))
    with pytest.raises(AssertionError):
        named.test_the_callers_idempotency_key_is_kept(named.LIBRARIES["requests"], service)
