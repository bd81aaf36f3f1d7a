"""A Redis server of our own: a temporary directory, a port that the kernel chose, nothing kept unless asked for."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import redis

from lab._postgres import free_port

WANTED = "no redis-server found; apt-get install redis-server"


def missing() -> str:
    """Why no server can be started here, or ""."""
    return "" if program() else WANTED


def program() -> str | None:
    """Where the server is: Redis, or Valkey."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """A running server on 127.0.0.1. A context manager.

    Args:
        options: for its command line, "--appendonly yes".
    """

    def __init__(self, *options: str) -> None:
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
        found = program()
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
