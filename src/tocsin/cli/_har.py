"""A request in an HTTP archive, to Message, exactly as it was sent; what cannot be known exactly is refused."""

from dataclasses import dataclass

from tocsin.cli._errors import UsageError
from tocsin.har import HarError, entries, entry_of
from tocsin.signing import Message


@dataclass(frozen=True, slots=True)
class HarRequest:
    """An entry's request.

    Args:
        message: what it says; Transfer-Encoding, which an archive has undone, is not among its headers.
    """

    message: Message

    def rendered(self, signed: Message) -> bytes:
        """A signed version of the message as a raw request."""
        fields = [(name, value) for name, value in signed.headers if name.lower() != "content-length"]
        fields.append(("Content-Length", str(len(signed.body))))
        lines = [f"{signed.method} {signed.target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + signed.body


def parse_har(octets: bytes, number: int, *, public_origin: str = "") -> HarRequest:
    """Read an entry.

    Args:
        octets: the archive.
        number: the entry's index in log.entries, from 0.
        public_origin: see Message; "" for the origin of the entry's URL.

    Raises:
        UsageError: no archive, no such entry, or one whose octets cannot be known.
    """
    try:
        found = entries(octets)
    except HarError as error:
        line = f" (line {error.line}: {error})" if error.line else ""
        raise UsageError(f"--har: not an HTTP archive: wanted JSON with log.entries{line}") from None
    if not 0 <= number < len(found):
        raise UsageError(f"--entry {number}: the archive has {len(found)} entries, counted from 0")
    try:
        sent = entry_of(found[number]).sent()
    except HarError as error:
        raise UsageError(f"--har: entry {number} {error}") from None
    return HarRequest(Message(sent.method, sent.target, sent.headers, sent.body, public_origin or sent.origin))
