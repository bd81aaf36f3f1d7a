import io
from collections.abc import Iterator

import pytest
import requests

from tests.signing.clients.conftest import SECRET, Service
from tocsin.signing import PRESETS, SchemeError, Verified
from tocsin.signing.clients.requests import SignatureAuth

NOW = 1_700_000_000
V1 = PRESETS["tocsin-v1"]


def auth() -> SignatureAuth:
    instants = iter(range(NOW, NOW + 100))
    return SignatureAuth(V1, SECRET, clock=lambda: next(instants))


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        yield made


def test_a_streamed_body_is_refused_before_anything_is_sent(session: requests.Session, service: Service) -> None:
    for stream, kind in ((iter([b"{}"]), "list_iterator"), (io.BytesIO(b"{}"), "BytesIO")):
        with pytest.raises(SchemeError, match=f"the body is a stream \\({kind}\\); wanted bytes"):
            session.post(service.url + "/order", data=stream, auth=auth(), timeout=20)
    assert service.messages == []


def test_a_prepared_request_can_be_signed_again_and_keeps_its_id(session: requests.Session, service: Service) -> None:
    signer = auth()
    prepared = session.prepare_request(requests.Request("POST", service.url + "/order", data=b"{}", auth=signer))
    for _ in range(3):
        assert session.send(prepared, timeout=20).status_code == 200
        prepared.prepare_auth(signer)
    assert len({*service.ids}) == 1
    instants = [verdict.timestamp_unix for verdict in service.verdicts if isinstance(verdict, Verified)]
    assert instants == [NOW, NOW + 1, NOW + 2]
    assert prepared.hooks["response"] == [signer._forget_signature]


def test_the_next_request_of_a_redirect_that_is_not_followed_is_unsigned(
    session: requests.Session, service: Service, elsewhere: Service
) -> None:
    service.redirects["/order"] = (307, elsewhere.url + "/order")
    response = session.post(service.url + "/order", data=b"{}", auth=auth(), allow_redirects=False, timeout=20)
    assert response.next is not None
    assert "Tocsin-Signature" not in response.next.headers


def test_credentials_in_the_url_are_no_part_of_the_signed_url(session: requests.Session, service: Service) -> None:
    service.scheme = PRESETS["tocsin-v1"]
    url = service.url.replace("http://", "http://user:word@")
    prepared = session.prepare_request(requests.Request("POST", url + "/order", data=b"{}", auth=auth()))
    assert session.send(prepared, timeout=20).status_code == 200
