"""Starts one of the services, sends it requests, and counts what is in its database."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Self

from tocsin.signing import Message, Secret, preset, sign

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# A library that leaves a client without an answer for that long has failed it.
PATIENCE_S = 10.0
SECRETS = {
    "alice": Secret(b"a secret of alice, 32 octets long", key_id="alice"),
    "bob": Secret(b"a secret of bob, also 32 octets..", key_id="bob"),
}
_SCHEME = preset("tocsin-v1")
# What uvicorn says when a worker may be sent requests; and what ours on gunicorn does.
_READY = re.compile(r"Application startup complete|Booting worker with pid")


@dataclass(frozen=True, slots=True)
class Library:
    """One row of the table.

    Args:
        name: as PyPI has it.
        python: of the environment that it is installed in.
        module: what the server imports.
        key: what PEER says.
        is_signed: whether its requests are signed.
        needs_redis: whether it keeps its records there.
        is_wsgi: whether gunicorn serves it rather than uvicorn.
        is_for_functions: whether it is a decorator for functions rather than a part of a service.
    """

    name: str
    python: Path
    module: str
    key: str
    is_signed: bool = False
    needs_redis: bool = False
    is_wsgi: bool = False
    is_for_functions: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client got; status 0: nothing."""

    status: int
    body: bytes = b""
    cookies: tuple[str, ...] = ()


@dataclass(slots=True)
class Service:
    """A library behind a server; the context ends it.

    Args:
        library: which one.
        data: the directory of its databases.
        workers: how many processes.
        redis: where Redis listens.
        lease_s: how long the library may hold a key for a process that has died; 0: what its documentation says.
    """

    library: Library
    data: Path
    workers: int
    redis: str
    lease_s: int
    port: int = field(default=0, init=False)
    process: "subprocess.Popen[str] | None" = field(default=None, init=False)
    reader: Thread | None = field(default=None, init=False)
    log: list[str] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = int(free.getsockname()[1])
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, on what is in its directory, and wait until every worker is ready."""
        environment = os.environ | {"PEER": self.library.key, "DATA": str(self.data), "REDIS": self.redis}
        environment |= {"LEASE_S": str(self.lease_s)}
        self.process = subprocess.Popen(
            self._command(), cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stderr is not None
        ready = 0
        for line in self.process.stderr:
            self.log.append(line)
            ready += len(_READY.findall(line))
            if ready >= self.workers:
                break
        else:
            raise RuntimeError("".join(self.log))
        # Unread, a full pipe would stop the service.
        self.reader = Thread(target=self.log.extend, args=(self.process.stderr,))
        self.reader.start()
        self._await_listening()

    def stop(self) -> None:
        """Kill -9 every process of it."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def post(
        self,
        key: str,
        document: str | Mapping[str, object],
        *,
        do: str = "",
        path: str = "/order",
        header: str = "Idempotency-Key",
        sender: str = "alice",
        gone_after: Event | None = None,
    ) -> Reply:
        """Send an order; with `gone_after` the client closes its connection when that is set, unanswered."""
        body = (document if isinstance(document, str) else json.dumps(document)).encode()
        headers = [(header, key), ("Content-Type", "application/json"), ("X-Do", do)]
        headers.append(("Authorization", f"Bearer {sender}"))
        if self.library.is_signed:
            headers += sign(Message("POST", path, tuple(headers), body), _SCHEME, SECRETS[sender], now=time.time())
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)) as connection:
            try:
                # Whoever is told 413 while it still sends may find its connection closed, and its answer waiting.
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request("POST", path, body, dict(headers))
                if gone_after is not None:
                    gone_after.wait()
                    return Reply(0)
                response = connection.getresponse()
                return Reply(response.status, response.read(), tuple(response.msg.get_all("Set-Cookie") or ()))
            except (OSError, http.client.HTTPException):
                return Reply(0)

    def together(self, count: int, send: Callable[[], Reply]) -> list[Reply]:
        """So many clients at once."""
        start = Barrier(count)

        def one() -> Reply:
            start.wait()
            return send()

        with ThreadPoolExecutor(count) as pool:
            return [future.result() for future in [pool.submit(one) for _ in range(count)]]

    def has_run(self, order_id: str) -> bool:
        """Whether the handler has written its row for this order, committed or not."""
        return (self.data / f"ran-{order_id}").exists()

    def effects(self, order_id: str) -> int:
        """How often an order is in the database."""
        with closing(sqlite3.connect(self.data / "effects.db", timeout=PATIENCE_S)) as db:
            (count,) = db.execute("SELECT count(*) FROM effects WHERE order_id = ?", (order_id,)).fetchone()
        return int(count)

    def _command(self) -> list[str]:
        python, target = str(self.library.python), f"bench.peers.{self.library.module}:app"
        if self.library.is_wsgi:
            bind = ["--bind", f"127.0.0.1:{self.port}", "--worker-class=gthread", "--threads=64"]
            return [python, "-m", "gunicorn", target, *bind, f"--workers={self.workers}", "--no-control-socket"]
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers), "--no-access-log"]
        return [python, "-m", "uvicorn", target, *options]

    def _await_listening(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return


@dataclass(slots=True)
class Redis:
    """A server of its own for the libraries that want one, without persistence; the context ends it."""

    program: str
    port: int = field(default=0, init=False)
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> str:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = int(free.getsockname()[1])
        command = [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd="/")
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return f"redis://127.0.0.1:{self.port}/0"

    def __exit__(self, *_: object) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait()


def statuses(replies: list[Reply]) -> str:
    """Such as "20 x 200, 44 x 409"."""
    counted = sorted(Counter(reply.status for reply in replies).items())
    return ", ".join(f"{count} x {status or 'no answer'}" for status, count in counted)


OUR_PYTHON = Path(sys.executable)
