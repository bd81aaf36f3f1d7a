"""A curl command, to Message and back with a signature."""

import shlex
from dataclasses import dataclass

from tocsin.cli._errors import UsageError
from tocsin.curl import CurlError, parse_curl
from tocsin.signing import Message


@dataclass(frozen=True, slots=True)
class CurlCommand:
    """A command and what it sends.

    Args:
        text: the command.
        message: with the headers that it names; curl's own, such as User-Agent, are not known.
    """

    text: str
    message: Message

    def rendered(self, signed: Message) -> bytes:
        """The command with the headers that signing adds.

        Raises:
            UsageError: signing changes the body.
        """
        if signed.body != self.message.body:
            raise UsageError("the scheme carries its signature in the body; wanted a raw request, not --curl")
        added = signed.headers[len(self.message.headers) :]
        options = "".join(f" -H {shlex.quote(f'{name}: {value}')}" for name, value in added)
        return f"{self.text.rstrip()}{options}\n".encode("utf-8", "surrogateescape")


def parse_curl_request(command: str, *, public_origin: str = "") -> CurlCommand:
    """Read a command.

    Args:
        command: as it is pasted into a shell.
        public_origin: see Message; "" for the origin of the command's URL.

    Raises:
        UsageError: it is no command that is understood.
    """
    try:
        given = parse_curl(command)
    except CurlError as error:
        raise UsageError(f"--curl: {error}") from None
    body = given.body.encode("utf-8", "surrogateescape")
    return CurlCommand(command, Message(given.method, given.target, given.headers, body, public_origin or given.origin))
