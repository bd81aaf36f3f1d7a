"""What both auth classes have to do, through both libraries, at a real service."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import requests

from tests.signing.clients.conftest import SECRET, Service
from tocsin.signing import PRESETS, Rejected, Scheme, SchemeError, Secret, Verified
from tocsin.signing.clients import httpx as with_httpx
from tocsin.signing.clients import requests as with_requests

NOW = 1_700_000_000
V1 = PRESETS["tocsin-v1"]
KEY = "Idempotency-Key"
Call = Callable[..., Any]


def by_httpx(url: str, auth: Any, *, method: str = "POST", follow: bool = False, **what: Any) -> int:
    with httpx.Client(trust_env=False) as client:
        return client.request(method, url, auth=auth, follow_redirects=follow, **what).status_code


def by_requests(url: str, auth: Any, *, method: str = "POST", follow: bool = False, **what: Any) -> int:
    what["data"] = what.pop("content", what.get("data"))
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, url, auth=auth, allow_redirects=follow, timeout=20, **what).status_code


LIBRARIES: dict[str, tuple[Call, Any]] = {
    "httpx": (by_httpx, with_httpx.SignatureAuth),
    "requests": (by_requests, with_requests.SignatureAuth),
}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> tuple[Call, Any]:
    """How to call, and the auth class."""
    return LIBRARIES[request.param]


def clock(*instants: float) -> Callable[[], float]:
    pending = list(instants)
    return lambda: pending.pop(0) if len(pending) > 1 else pending[0]


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"content": b""},
        {"content": b"\xff\x00\r\n"},
        {"content": "caf\u00e9 \u20ac"},
        {"json": {"item": "caf\u00e9"}},
        {"data": {"item": "caf\u00e9 1", "n": "2"}},
        {"files": {"f": ("a.bin", b"\x00\xff")}},
        {"params": {"q": "caf\u00e9 ~+/"}},
        {"headers": {KEY: "order-17", "X-Other": "caf\u00e9".encode()}},
    ],
    ids=["nothing", "empty", "octets", "text", "json", "form", "files", "params", "headers"],
)
@pytest.mark.parametrize("path", ["/order", "/a%2Fb/%7e?x=%20&y=+", ""])
def test_what_is_sent_verifies_as_it_arrives(
    library: tuple[Call, Any], service: Service, what: dict[str, Any], path: str
) -> None:
    call, auth = library
    if what.get("params") and "?" in path:
        path = "/order"
    assert call(service.url + path, auth(V1, SECRET, clock=clock(NOW)), **what) == 200
    assert len(service.messages) == 1


@pytest.mark.parametrize("name", ["github", "stripe", "hex-sha256-body", "tocsin-v1"])
def test_any_scheme_with_a_signature_header_will_do(library: tuple[Call, Any], service: Service, name: str) -> None:
    call, auth = library
    service.scheme = PRESETS[name]
    assert call(service.url + "/order", auth(PRESETS[name], SECRET, clock=clock(NOW)), content=b"{}") == 200


def test_a_get_without_a_body_is_signed_too(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    assert call(service.url + "/order?x", auth(V1, SECRET, clock=clock(NOW)), method="GET") == 200


def test_the_callers_idempotency_key_is_kept(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    signer = auth(V1, SECRET, clock=clock(NOW))
    for _ in range(2):
        call(service.url + "/order", signer, headers={KEY.lower(): "order-17"})
    assert service.ids == ["order-17", "order-17"]


def test_a_request_without_one_gets_one_of_its_own(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    signer = auth(V1, SECRET, clock=clock(NOW))
    for _ in range(2):
        call(service.url + "/order", signer)
    first, second = service.ids
    assert first
    assert second
    assert first != second


def test_a_scheme_without_a_message_id_in_a_header_adds_none(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    call(service.url + "/order", auth(PRESETS["stripe"], SECRET, clock=clock(NOW)))
    assert service.messages[0].values(KEY) == ()


def test_each_sending_has_a_timestamp_and_a_nonce_of_its_own(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    service.scheme = Scheme(
        name="nonce", content="{timestamp}.{nonce}.{body}", timestamp_header="X-Time", nonce_header="X-Nonce"
    )
    signer = auth(service.scheme, SECRET, clock=clock(NOW, NOW + 1))
    for _ in range(2):
        assert call(service.url + "/order", signer, content=b"{}") == 200
    assert [message.values("X-Time") for message in service.messages] == [(str(NOW),), (str(NOW + 1),)]
    assert service.messages[0].values("X-Nonce") != service.messages[1].values("X-Nonce")


def test_a_signed_host_is_the_one_that_is_sent(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    service.scheme = Scheme(name="host", content="{header:Host}.{body}")
    assert call(service.url + "/order", auth(service.scheme, SECRET), content=b"{}") == 200


def test_a_signed_url_is_the_one_that_is_called_or_the_configured_one(
    library: tuple[Call, Any], service: Service
) -> None:
    call, auth = library
    service.scheme = Scheme(name="url", content="{url}.{body}")
    assert call(service.url + "/order", auth(service.scheme, SECRET), content=b"{}") == 200
    called_by, service.url = service.url, "https://api.example.com"
    signer = auth(service.scheme, SECRET, public_origin="https://api.example.com")
    assert call(called_by + "/order", signer, content=b"{}") == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_carries_no_signature(
    library: tuple[Call, Any], service: Service, elsewhere: Service, status: int
) -> None:
    call, auth = library
    service.redirects["/order"] = (status, elsewhere.url + "/order")
    call(service.url + "/order", auth(V1, SECRET, clock=clock(NOW)), content=b"{}", follow=True)
    assert isinstance(service.verdicts[0], Verified)
    (redirected,) = elsewhere.messages
    written = [name for name in V1.written_headers if redirected.values(name)]
    assert written == []


def test_a_redirect_within_the_origin_carries_no_signature_either(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    service.redirects["/order"] = (308, "/order/")
    service.redirects["/order/"] = (308, service.url + "/orders")
    assert call(service.url + "/order", auth(V1, SECRET, clock=clock(NOW)), content=b"{}", follow=True) == 401
    assert [isinstance(verdict, Verified) for verdict in service.verdicts] == [True, False, False]
    assert service.messages[2].values("Tocsin-Signature") == ()


def test_a_secret_without_the_key_id_that_the_scheme_sends_is_refused_at_once(library: tuple[Call, Any]) -> None:
    _call, auth = library
    with pytest.raises(SchemeError, match="tocsin-v1 selects secrets by key id"):
        auth(V1, Secret(b"a secret without key id"))


def test_a_request_that_cannot_be_signed_is_not_sent(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    scheme = Scheme(name="event", content="{header:X-Event}.{body}")
    with pytest.raises(SchemeError, match="X-Event"):
        call(service.url + "/order", auth(scheme, SECRET), content=b"{}")
    assert service.messages == []


def test_a_wrong_secret_is_rejected(library: tuple[Call, Any], service: Service) -> None:
    call, auth = library
    signer = auth(V1, Secret(b"another secret, 16 octets", "k1"), clock=clock(NOW))
    assert call(service.url + "/order", signer, content=b"{}") == 401
    assert isinstance(service.verdicts[0], Rejected)


@pytest.mark.parametrize("name", LIBRARIES)
def test_without_the_library_the_error_names_what_to_install(name: str) -> None:
    script = f"import sys; sys.modules[{name!r}] = None; import tocsin.signing.clients.{name}"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, text=True)
    last = ran.stderr.splitlines()[-1]
    assert last == (f"ModuleNotFoundError: tocsin.signing.clients.{name} needs {name}: pip install 'tocsin[{name}]'")


def test_the_service_of_these_tests_would_notice_a_changed_octet(service: Service) -> None:
    by_httpx(service.url + "/order", with_httpx.SignatureAuth(V1, SECRET, clock=clock(NOW)), content=b"{}")
    (message,) = service.messages
    assert service.take(replace(message, body=b"{ }")) == 401
