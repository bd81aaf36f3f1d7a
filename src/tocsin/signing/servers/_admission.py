"""A body on its way in: capped, kept, and verified before anybody gets it.

Rule: what was verified and what the application reads are the same octets, and no octet is read before its turn.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO

from tocsin.signing import (
    BodyVerifier,
    KeyRing,
    Message,
    Rejected,
    Scheme,
    SchemeError,
    Verified,
    can_stream,
    check_keys,
    verify,
)
from tocsin.signing.servers._problems import UNAUTHORIZED, Problem, content_too_large

# Where scope and environ hold the Verified.
VERIFIED = "tocsin.verified"
MIB = 1 << 20
# A longer body is verified on its way into a temporary file: some hundred such uploads at once fit into a small server.
MOST_IN_MEMORY_BYTES = MIB
_LOG = logging.getLogger("tocsin.signing")


class NotAdmitted(Exception):  # noqa: N818  it is a verdict on a request, not a fault of the program
    """The request ends here.

    Args:
        problem: what it is answered with.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.phrase)
        self.problem = problem


class Admission:
    """What a request has to pass.

    Args:
        scheme: how it should be signed.
        keys: whose signatures count; a callable is asked for every request, so that secrets change without a restart.
        max_body_bytes: a longer body is answered 413, before it is hashed.
        public_origin: "https://api.example.com", for schemes that sign the URL.
        clock: the wall clock, in Unix seconds.

    Raises:
        SchemeError: the arguments do not fit together.
    """

    def __init__(
        self,
        scheme: Scheme,
        keys: KeyRing | Callable[[], KeyRing],
        *,
        max_body_bytes: int,
        public_origin: str,
        clock: Callable[[], float],
    ) -> None:
        if max_body_bytes < 0:
            raise SchemeError(f"max_body_bytes = {max_body_bytes}: wanted 0 or more")
        if scheme.needs_public_origin and not public_origin:
            raise SchemeError(
                f"{scheme.name} signs the public URL, which no request says reliably; wanted public_origin, "
                "such as 'https://api.example.com'"
            )
        self.scheme = scheme
        self.max_body_bytes = max_body_bytes
        self.public_origin = public_origin
        self._keys = keys
        self._clock = clock
        self._checked: KeyRing | None = None
        if isinstance(keys, KeyRing):
            self.keys()

    def keys(self) -> KeyRing:
        """The key ring of this moment.

        Raises:
            SchemeError: it cannot serve the scheme.
        """
        keys = self._keys if isinstance(self._keys, KeyRing) else self._keys()
        if keys is not self._checked:
            check_keys(self.scheme, keys)
            self._checked = keys
        return keys

    def now(self) -> float:
        """The wall clock."""
        return self._clock()

    def check_length(self, texts: tuple[str, ...]) -> None:
        """Refuse a body by its Content-Length alone.

        Raises:
            NotAdmitted: 413.
        """
        for text in texts:
            # More digits than any length has; int() refuses still longer texts by an error of its own.
            if len(text) > len(str(1 << 63)) or (text.isdecimal() and int(text) > self.max_body_bytes):
                raise self.too_large()

    def too_large(self) -> NotAdmitted:
        """413, and a line in the log."""
        _LOG.info("%s: refused: the body is longer than %d bytes", self.scheme.name, self.max_body_bytes)
        return NotAdmitted(content_too_large(self.max_body_bytes))

    def rejected(self, rejected: Rejected) -> NotAdmitted:
        """401, and the reason in the log only."""
        _LOG.info("%s: rejected: %s: %s", self.scheme.name, rejected.kind, rejected)
        return NotAdmitted(UNAUTHORIZED)


class Reception:
    """One request's body. Close it when the application is done.

    Args:
        head: the message with an empty body.
        admission: what it has to pass.
    """

    def __init__(self, head: Message, admission: Admission) -> None:
        self._head = head
        self._admission = admission
        self._keys = admission.keys()
        self._verifier: BodyVerifier | None = None
        self._can_stream = can_stream(admission.scheme)
        self.length = 0
        self.file: IO[bytes] = BytesIO()

    def add(self, chunk: bytes) -> None:
        """Take the next octets of the body.

        Raises:
            NotAdmitted: 413 over the cap; 401 where the head alone decides.
        """
        self.length += len(chunk)
        if self.length > self._admission.max_body_bytes:
            raise self._admission.too_large()
        if self._verifier is None and self._can_stream and self.length > MOST_IN_MEMORY_BYTES:
            self._verifier = self._begin()
        if self._verifier is not None:
            self._verifier.update(chunk)
        self.file.write(chunk)

    def finish(self) -> Verified:
        """The verdict; `file` then stands at its beginning.

        Raises:
            NotAdmitted: 401.
        """
        scheme, now = self._admission.scheme, self._admission.now()
        try:
            if self._verifier is not None:
                verified = self._verifier.finish(now=now)
            else:
                self.file.seek(0)
                verified = verify(replace(self._head, body=self.file.read()), scheme, self._keys, now=now)
        except Rejected as rejected:
            raise self._admission.rejected(rejected) from None
        self.file.seek(0)
        return verified

    def close(self) -> None:
        """Let go of the body."""
        self.file.close()

    def _begin(self) -> BodyVerifier:
        """Verify piece by piece from here on, and move to a file what has come so far."""
        try:
            verifier = BodyVerifier(self._head, self._admission.scheme, self._keys, now=self._admission.now())
        except Rejected as rejected:
            raise self._admission.rejected(rejected) from None
        self.file.seek(0)
        so_far = self.file.read()
        verifier.update(so_far)
        self.file.close()
        self.file = TemporaryFile()  # noqa: SIM115  `close` closes it, when the application is done
        self.file.write(so_far)
        return verifier
