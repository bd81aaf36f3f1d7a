"""requests: signs each request as it is prepared.

    session.post(url, json=order, auth=SignatureAuth(PRESETS["tocsin-v1"], secret))

A redirect is followed without a signature, whatever its origin. Retries belong above the session: a `urllib3.Retry`
sends the same timestamp again. Each `session.request` is signed afresh; give it the message id's header, and the
receiver knows the repetition.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tocsin.signing import Header, Scheme, SchemeError, Secret
from tocsin.signing.clients._signer import Signer, random_text

try:
    from requests import PreparedRequest, Response
    from requests.auth import AuthBase
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "tocsin.signing.clients.requests needs requests: pip install 'tocsin[requests]'"
    ) from error


class SignatureAuth(AuthBase):
    """Signs requests of `requests.Session`.

    Args:
        scheme: how requests are signed. If it signs a message id in a header and the request has none, one is made and
            stays with the prepared request.
        secret: with a key id, if the scheme has key ids.
        public_origin: for schemes that sign the URL, where the service is known by another one than it is called by.
        clock: the wall clock, in Unix seconds.
        draw: makes message ids and nonces.

    Raises:
        SchemeError: the scheme has key ids and the secret has none; while preparing: the body is a stream, or the
            request cannot be signed.
    """

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

    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Sign a prepared request; also one that was signed before, by `prepared.prepare_auth(auth)`."""
        # Octets, so that nothing below encodes them in a way of its own; requests sets Content-Length after this.
        r.body = _octets(r.body)
        url = urlsplit(r.url or "")
        authority = url.netloc.rpartition("@")[2]
        for name in [name for name, _value in _headers(r) if not self._signer.unsigned([(name, "")])]:
            del r.headers[name]
        if self._signer.signs_host:
            # http.client would add it later, where nobody can sign it.
            r.headers.setdefault("Host", authority)
        new_id = self._signer.new_id(_headers(r))
        if new_id is not None:
            r.headers[new_id[0]] = new_id[1]
        signature = self._signer.sign(
            r.method or "", r.path_url, tuple(_headers(r)), r.body or b"", f"{url.scheme}://{authority}"
        )
        for name, value in signature:
            r.headers[name] = value
        if self._forget_signature not in r.hooks["response"]:
            r.register_hook("response", self._forget_signature)
        return r

    def _forget_signature(self, response: Response, **_kwargs: Any) -> None:  # noqa: ANN401  requests passes its own
        """Take the signature off a request that was redirected, before requests copies its headers to the next.

        requests takes away no header but Authorization, to other origins neither.
        """
        if response.is_redirect:
            for name, _value in _headers(response.request):
                if not self._signer.unsigned([(name, "")]):
                    del response.request.headers[name]


def _headers(request: PreparedRequest) -> list[Header]:
    return [(_text(name), _text(value)) for name, value in request.headers.items()]


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part


def _octets(body: object) -> bytes | None:
    if isinstance(body, str):
        return body.encode("utf-8")
    if body is None or isinstance(body, bytes):
        return body
    raise SchemeError(f"the body is a stream ({type(body).__name__}); wanted bytes, because its end is signed first")
