import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx

from tests.signing.clients.conftest import SECRET, Service
from tocsin.signing import PRESETS, Verified
from tocsin.signing.clients.httpx import SignatureAuth

NOW = 1_700_000_000
V1 = PRESETS["tocsin-v1"]


def auth() -> SignatureAuth:
    instants = iter(range(NOW, NOW + 100))
    return SignatureAuth(V1, SECRET, clock=lambda: next(instants))


def test_an_async_client_signs_too(service: Service) -> None:
    async def send() -> int:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"{"
            yield b"}"

        async with httpx.AsyncClient(auth=auth(), trust_env=False) as client:
            return (await client.post(service.url + "/order", content=chunks())).status_code

    assert asyncio.run(send()) == 200
    assert service.messages[0].body == b"{}"


def test_a_streamed_body_is_read_once_and_sent_whole(service: Service) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"{"
        yield b"}"

    with httpx.Client(auth=auth(), trust_env=False) as client:
        assert client.post(service.url + "/order", content=chunks()).status_code == 200
    assert service.messages[0].body == b"{}"


def test_the_same_request_sent_again_keeps_its_id_and_gets_a_fresh_timestamp(service: Service) -> None:
    with httpx.Client(auth=auth(), trust_env=False) as client:
        request = client.build_request("POST", service.url + "/order", content=b"{}")
        for _ in range(3):
            assert client.send(request).status_code == 200
    assert len({*service.ids}) == 1
    instants = [verdict.timestamp_unix for verdict in service.verdicts if isinstance(verdict, Verified)]
    assert instants == [NOW, NOW + 1, NOW + 2]
    assert [len(message.values("Tocsin-Signature")) for message in service.messages] == [1, 1, 1]


def test_the_signature_can_be_looked_up_on_a_sent_request_and_is_not_copied_from_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["tocsin-SIGNATURE"].startswith("t=1700000000,k=k1,v1=")
        assert "Tocsin-Signature" in request.headers
        assert "Other" not in request.headers
        assert request.headers["Idempotency-Key"]
        assert "Tocsin-Signature" not in httpx.Headers(request.headers)
        return httpx.Response(200)

    with httpx.Client(auth=auth(), transport=httpx.MockTransport(answer)) as client:
        assert client.post("https://api.example.com/order").status_code == 200


def test_a_key_that_is_no_header_name_is_absent() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers.get("\u212aey") is None
        return httpx.Response(200)

    with httpx.Client(auth=auth(), transport=httpx.MockTransport(answer)) as client:
        assert client.post("https://api.example.com/order").status_code == 200
