"""httpx: signs each request as it is sent.

    client = httpx.Client(auth=SignatureAuth(PRESETS["tocsin-v1"], secret))

A redirect is followed without a signature, whatever its origin. Retries belong above the client, where each sending
gets a timestamp of its own: send the same `httpx.Request` again, or set the message id's header yourself.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

from tocsin.signing import Scheme, Secret
from tocsin.signing.clients._signer import Signer, random_text

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("tocsin.signing.clients.httpx needs httpx: pip install 'tocsin[httpx]'") from error


class SignatureAuth(httpx.Auth):
    """Signs requests of `httpx.Client` and `httpx.AsyncClient`.

    A body that is streamed is read into memory first: it has to be known before its headers are sent.

    Args:
        scheme: how requests are signed. If it signs a message id in a header and the request has none, one is made and
            stays with the request.
        secret: with a key id, if the scheme has key ids.
        public_origin: for schemes that sign the URL, where the service is known by another one than it is called by.
        clock: the wall clock, in Unix seconds.
        draw: makes message ids and nonces.

    Raises:
        SchemeError: the scheme has key ids and the secret has none; while sending: the request cannot be signed.
    """

    requires_request_body = True

    def __init__(
        self,
        scheme: Scheme,
        secret: Secret,
        *,
        public_origin: str | None = None,
        clock: Callable[[], float] = time.time,
        draw: Callable[[], str] = random_text,
    ) -> None:
        self._signer = Signer(scheme, secret, public_origin=public_origin, clock=clock, draw=draw)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign, and send once."""
        url = request.url
        plain = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
        headers = self._signer.unsigned(plain)
        new_id = self._signer.new_id(headers)
        if new_id is not None:
            headers += (new_id,)
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        signature = self._signer.sign(request.method, url.raw_path.decode("ascii"), headers, request.content, origin)
        request.headers = _SignedHeaders(_octets(headers), _octets(signature))
        yield request


class _SignedHeaders(httpx.Headers):
    """Headers with a signature that copies do not have.

    httpx copies a request's headers to every redirect, to other origins too, and takes away no header but
    Authorization. A copy of these is without the signature; what is sent, and what is looked up, is with it.
    """

    def __init__(self, headers: list[tuple[bytes, bytes]], signature: list[tuple[bytes, bytes]]) -> None:
        super().__init__(headers)
        self._signature = signature

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """Name and value of every field, as they are sent."""
        return [*super().raw, *self._signature]

    def __getitem__(self, key: str) -> str:
        for name, value in self._signature:
            if name.lower() == key.lower().encode("latin-1", "replace"):
                return value.decode("latin-1")
        return super().__getitem__(key)

    def __contains__(self, key: Any) -> bool:  # noqa: ANN401  as in httpx
        names = {name.decode("latin-1").lower() for name, _value in self._signature}
        return key.lower() in names or super().__contains__(key)


def _octets(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
