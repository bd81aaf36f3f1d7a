"""What a command sends, curl itself says: it is run by bash, and what arrives is compared with what was read."""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tocsin.curl import CurlError, parse_curl

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("bash") is None, reason="no program curl; apt-get install curl bash"
)
# What curl says of itself, and what it sends for the address and the body.
OF_ITS_OWN = re.compile(rb"(?i)(host|user-agent|accept|accept-encoding|content-length):")
Arrived = tuple[str, list[bytes], bytes]


@pytest.fixture(scope="module")
def echo() -> Iterator[tuple[str, list[Arrived]]]:
    """An origin, and what has arrived there."""
    arrived: list[Arrived] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_each, args=(server, arrived), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", arrived
        server.shutdown(socket.SHUT_RDWR)


def _answer_each(server: socket.socket, arrived: list[Arrived]) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, connection.makefile("rb") as lines:
            first = lines.readline().decode("latin-1").strip()
            fields = list(iter(lambda: lines.readline().rstrip(b"\r\n"), b""))
            length = next((int(field[15:]) for field in fields if field.lower().startswith(b"content-length:")), 0)
            arrived.append((first, [one for one in fields if not OF_ITS_OWN.match(one)], lines.read(length)))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


READ = [
    "curl URL/a -d=x",
    "curl URL/a -d -5",
    'curl URL/a -d "one\\\ntwo"',
    "curl URL/a -d 'one\\\ntwo'",
    "curl URL/a\\\nb -d x",
    'curl URL/a -d "{\\"a\\":\\"\\$5\\"}"',
    "curl URL/a -H 'X-Event: café' -H 'X-B:  b\t ' -d 'é'",
    "curl URL/a -H 'Content-Type:' -d x",
    "curl URL/a -H 'Content-Type:' -H 'content-type: a/b' -d x",
    "curl URL/a -H 'Expect:' -H 'X-A: 1' -H 'X-A:' -H 'X-A: 2' -d ''",
    "curl URL -X PUT -sSfkXPATCH --compressed --insecure -d x -d y --data-raw @z",
    "curl -g 'URL/a[1]{b}\\' --data-binary 'a\r\nb'",
    "curl URL/a//b?x=%zz#part -X get",
    "curl 'URL/a\"<>^`|b?;='",
    "curl -sd x 'URL/#a?b'",
]
REFUSED = [
    "curl URL/a --data=x",
    "curl URL/caf\u00e9 -d x",
    "curl 'URL/item/{a,b}' -d x",
    "curl 'URL/item/[1-2]' -d x",
    "curl 'URL/a/{b}' -d x",
    "curl 'URL/a b' -d x",
    "curl URL/a?x=1&y=2",
    "curl URL/a -d ~",
    "curl URL/a\n-d x",
    "curl URL/a/../b",
]


def sent(command: str, arrived: list[Arrived]) -> list[Arrived]:
    """What bash and curl have sent for a command."""
    arrived.clear()
    command = command.replace("curl ", "curl --silent --max-time 20 --noproxy '*' ", 1)
    subprocess.run(["bash", "-c", command], check=False, capture_output=True, env={"HOME": "/h", "PATH": _PATH})
    return arrived


_PATH = "/usr/local/bin:/usr/bin:/bin"


def read(command: str) -> Arrived:
    """What is read of a command, in the form of what has arrived."""
    given = parse_curl(command)
    fields = [f"{name}: {value}".encode("latin-1") for name, value in given.headers]
    return f"{given.method} {given.target} HTTP/1.1", fields, given.body.encode()


def spaceless(fields: list[bytes]) -> list[bytes]:
    """Fields without the blanks around their values, which are none of the value (RFC 9110 section 5.5)."""
    return sorted(re.sub(rb":[ \t]*(.*?)[ \t]*\Z", rb": \1", field) for field in fields)


@pytest.mark.parametrize("command", READ)
def test_what_is_read_is_what_curl_sends(echo: tuple[str, list[Arrived]], command: str) -> None:
    origin, arrived = echo
    command = command.replace("URL", origin)
    line, fields, body = read(command)

    [(line_sent, fields_sent, body_sent)] = sent(command, arrived)

    assert (line, spaceless(fields), body) == (line_sent, spaceless(fields_sent), body_sent)


@pytest.mark.parametrize("command", REFUSED)
def test_what_is_refused_curl_does_not_send_as_it_stands(echo: tuple[str, list[Arrived]], command: str) -> None:
    """Or it sends something else, or several requests, or nothing."""
    origin, arrived = echo
    literal = command.replace("URL", origin)
    with pytest.raises(CurlError):
        parse_curl(literal)

    as_it_stands = command.replace("URL", "").replace("'", "").split()[1]
    assert [line.split(" ")[1] for line, _, body in sent(literal, arrived) if body in {b"x", b"~"}] != [as_it_stands]
