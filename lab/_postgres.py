"""A PostgreSQL server of our own: a temporary directory, a port that the kernel chose, a user that is not root.

Rule: it cannot outlive whoever started it. Its standard input is ours; when that ends, killed or not, it is stopped.
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO, Any, Self

WANTED = "no PostgreSQL server found; apt-get install postgresql"
_LEASHED = '"$@" & read -r _; kill -s "$STOP" $!; wait $!'


def found(program: str) -> str | None:
    """Where a program of PostgreSQL is: where Debian keeps it, the newest first, or in PATH."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: -float(path.parts[4]))
    return str(kept[0]) if kept else shutil.which(program)


def missing() -> str:
    """Why no server can be started here, or ""."""
    return "" if found("initdb") and found("postgres") else WANTED


def other_user() -> str | None:
    """Whom a server runs as that refuses root; None: we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def identity() -> dict[str, Any]:
    """What subprocess is told to become that user."""
    user = other_user()
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid}


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return int(listener.getsockname()[1])


@dataclass(slots=True)
class Daemon:
    """A server process that says on standard error when it is ready, and is stopped by a signal.

    Args:
        command: what runs.
        ready: what it says.
        signal: that stops it.
        log: what it has said so far.
    """

    command: list[str]
    ready: str
    signal: str
    process: "subprocess.Popen[str] | None" = None
    reader: Thread | None = None
    log: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            OSError: it ended instead; the message has its log.
        """
        self.process = subprocess.Popen(
            ["sh", "-c", _LEASHED, "sh", *self.command],
            cwd="/",
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | {"LC_ALL": "C", "STOP": self.signal},
            **identity(),
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if self.ready in line:
                break
        else:
            self.stop()
            raise OSError("".join(self.log))
        # Unread, a full pipe would stop the server.
        self.reader = Thread(target=self._read, args=(self.process.stderr,))
        self.reader.start()

    def stop(self) -> None:
        """Stop it and wait for its end."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read(self, stream: IO[str]) -> None:
        self.log.extend(stream)


class Cluster:
    """A running server with a superuser "tocsin" and no passwords, on 127.0.0.1. A context manager.

    Args:
        settings: for postgresql.conf, "fsync=off" where nobody pulls the plug.
    """

    def __init__(self, *settings: str) -> None:
        initdb, postgres = found("initdb"), found("postgres")
        assert initdb is not None
        assert postgres is not None
        self.directory = Path(tempfile.mkdtemp(prefix="tocsin-pg-"))
        user = other_user()
        if user is not None:
            shutil.chown(self.directory, user)
        data = self.directory / "data"
        subprocess.run(
            [initdb, "-D", str(data), "-U", "tocsin", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd="/",
            **identity(),
        )
        self.port = free_port()
        options = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.directory}"]
        options += ["max_connections=150", "deadlock_timeout=50ms", "shared_buffers=32MB", *settings]
        arguments = [part for option in options for part in ("-c", option)]
        self._daemon = Daemon([postgres, "-D", str(data), *arguments], "ready to accept connections", "QUIT")
        self._daemon.start()

    @property
    def url(self) -> str:
        """The database "postgres" of this server."""
        return f"postgresql://tocsin@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """An immediate shut-down: what a crash leaves behind, without the crash of the machine."""
        self._daemon.stop()

    def start(self) -> None:
        """Start again on what is there."""
        self._daemon.start()
