"""A real server for tests: gunicorn with threads, on a port that the kernel chose."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Self

from tocsin.signing import Message, Secret, preset, sign

SERVICES = Path(__file__).with_name("services")
SECRET = Secret(b"a secret of the tests, 32 octets")
SCHEME = preset("hex-sha256-body")
# Each is a chunked body that has no end which a server could find: its size, its terminator, its trailer is none.
MALFORMED = (b"zz\r\n", b"1\r\naXX\r\n0\r\n\r\n", b"0\r\nA\x00: b\r\n\r\n")
_LISTENING = re.compile(r"Listening at: http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def stored(self) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """What a duplicate has to get again: without what the server adds and what marks a replay."""
        own = {"date", "server", "connection", "idempotent-replayed"}
        return self.status, tuple(field for field in self.headers if field[0].lower() not in own), self.body


def gunicorn(
    port: int = 0, *, workers: int = 1, threads: int = 8, more: Sequence[str] = (), app: str = "orders:app"
) -> list[str]:
    """The command that serves one of services/."""
    command = [sys.executable, "-m", "gunicorn", app, "--bind", f"127.0.0.1:{port}", "--worker-class=gthread"]
    return [*command, f"--workers={workers}", f"--threads={threads}", "--backlog=256", "--no-control-socket", *more]


@dataclass(slots=True)
class Server:
    """A running service; leaving the context kills all of its processes.

    Args:
        command: what to run; it says "Listening at: http://127.0.0.1:PORT" on standard error, as gunicorn does.
        environment: added to ours.
        ready: how many processes say "Ready" on standard error before requests may be sent.
        listener: the socket that it inherits; None: it opens one itself, and says so.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    ready: int = 1
    listener: socket.socket | None = None
    port: int = field(default=0, init=False)
    log: list[str] = field(default_factory=list, init=False)
    process: "subprocess.Popen[str] | None" = field(default=None, init=False)
    reader: Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        if self.listener is not None:
            self.port = self.listener.getsockname()[1]
        self.process = subprocess.Popen(
            self.command,
            cwd=SERVICES,
            env=os.environ | self.environment,
            pass_fds=() if self.listener is None else (self.listener.fileno(),),
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self._await_ready()
        # Unread, a full pipe would stop the service.
        self.reader = Thread(target=self.log.extend, args=(self.process.stderr,))
        self.reader.start()
        return self

    def _await_ready(self) -> None:
        assert self.process is not None
        assert self.process.stderr is not None
        ready = 0
        while not self.port or ready < self.ready:
            line = self.process.stderr.readline()
            self.log.append(line)
            listening = _LISTENING.search(line)
            self.port = int(listening[1]) if listening else self.port
            ready += line.count("Ready")  # two workers may write into one line
            if not line:
                self.kill()
                raise AssertionError("".join(self.log))

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill -9 every process of the service."""
        assert self.process is not None
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        if self.listener is not None:
            self.listener.close()

    def send(self, body: bytes, headers: Mapping[str, str], path: str = "/order") -> Reply:
        """One request on a connection of its own. Raises OSError or HTTPException if the service dies meanwhile."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            return Reply(response.status, tuple(response.getheaders()), response.read())

    def begin(self, octets: bytes) -> bytes:
        """Send these as they are; the first line of what comes back."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=30)) as client:
            client.sendall(octets)
            return client.recv(1000).partition(b"\r\n")[0]

    def order(self, order_id: str) -> Reply:
        """Send a signed order."""
        body = json.dumps({"order_id": order_id}).encode()
        return self.send(body, dict(sign(Message("POST", "/order", (), body), SCHEME, SECRET, now=0)))


def environment(database: Path, **more: str) -> dict[str, str]:
    """What services/orders.py reads."""
    return {"ORDERS_DB": str(database), "ORDERS_SECRET": "a secret of the tests, 32 octets", **more}
