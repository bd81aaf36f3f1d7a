"""From a request that is about to be sent to the headers that sign it.

Rule: a signature holds for one sending of one request. Each sending is signed afresh; what the receiver knows a
repetition by, the message id, stays with the request.
"""

import secrets
from collections.abc import Callable, Iterable

from tocsin.signing import Header, KeyRing, Message, Scheme, Secret, check_keys, sign


def random_text() -> str:
    """128 unguessable bits in hex: a message id or a nonce that nobody has used before."""
    return secrets.token_hex(16)


class Signer:
    """A scheme and a secret, with what changes from sending to sending.

    Args:
        scheme: how requests are signed.
        secret: with a key id, if the scheme has key ids.
        public_origin: what {url} begins with; None: the origin that the request is sent to.
        clock: the wall clock, in Unix seconds.
        draw: makes message ids and nonces.

    Raises:
        SchemeError: the scheme has key ids, and the secret has none.
    """

    def __init__(
        self,
        scheme: Scheme,
        secret: Secret,
        *,
        public_origin: str | None,
        clock: Callable[[], float],
        draw: Callable[[], str],
    ) -> None:
        check_keys(scheme, KeyRing.of(secret))
        self._scheme = scheme
        self._secret = secret
        self._public_origin = public_origin
        self._clock = clock
        self._draw = draw
        self._written = frozenset(name.lower() for name in scheme.written_headers)
        rule = scheme.message_id
        self._id_header = rule.header if rule is not None else None
        self.signs_host = "host" in {name.lower() for name in scheme.covered_headers}

    def unsigned(self, headers: Iterable[Header]) -> tuple[Header, ...]:
        """Headers without those that an earlier sending was signed with."""
        return tuple((name, value) for name, value in headers if name.lower() not in self._written)

    def new_id(self, headers: Iterable[Header]) -> Header | None:
        """The header that gives a request its message id, if the scheme signs one and the caller has set none."""
        wanted = self._id_header
        if wanted is None or any(name.lower() == wanted.lower() for name, _value in headers):
            return None
        return wanted, self._draw()

    def sign(
        self, method: str, target: str, headers: tuple[Header, ...], body: bytes, origin: str
    ) -> tuple[Header, ...]:
        """The headers to add.

        Raises:
            SchemeError: the request cannot be signed under the scheme.
        """
        message = Message(method, target, headers, body, self._public_origin or origin)
        nonce = self._draw() if self._scheme.has_nonce else None
        return sign(message, self._scheme, self._secret, now=self._clock(), nonce=nonce)
