"""Start a lab service, wait until it answers, stop it, kill it, start it again on what it left behind.

Rule: no service outlives its launcher, however that ends (see _leash.py), and every one listens on 127.0.0.1 only.
"""

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from lab._postgres import Cluster
from lab._services import LabError, Service, find

# A loaded machine of two cores starts Python, Flask and gunicorn in 1 to 3 s; more means it never will.
READY_S = 30.0
# Longer than the leash's own grace, which is longer than the services' graceful time-outs.
STOP_S = 8.0
# How long a killed service's port may stay taken: the kernel closes it with the last process.
PORT_FREE_S = 5.0
POLL_S = 0.01


class Database(Protocol):
    """A database server: ours to stop, or another service's."""

    @property
    def url(self) -> str: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Running:
    """A service that runs, and its data. A context manager: leaving it stops the service.

    Args:
        service: what runs.
        port: where, on 127.0.0.1.
        secret: what its requests are signed with; it is in no repr and no log.
        data: its directory: database and service.log.
        keeps_data: whether `data` is left when the service stops.
        database: the PostgreSQL server that is stopped with the service, but survives its being killed.
        shares_database: whether the server is somebody else's, who stops it.
        environment: what its own has beyond ours.
    """

    service: Service
    port: int
    secret: str = field(repr=False)
    data: Path
    keeps_data: bool
    database: Database | None = field(default=None, repr=False)
    shares_database: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it wrote to standard output and standard error."""
        return self.data / "service.log"

    def begin(self) -> None:
        """Start it and wait until it answers.

        Raises:
            LabError: the port is taken, or the service ended or stayed silent; the message has the end of its log.
        """
        await_free_port(self.port)
        environment = os.environ | self.environment | {"LAB_SECRET": self.secret, "LAB_DATA": str(self.data)}
        if self.database is not None:
            environment["LAB_DATABASE"] = self.database.url
        leash = [sys.executable, "-I", "-S", str(Path(__file__).with_name("_leash.py"))]
        leash.append("" if self.keeps_data else str(self.data))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                leash + self.service.command_line(python=sys.executable, port=self.port),
                cwd=self.service.folder,
                env=environment,
                stdin=subprocess.PIPE,  # never written to: it ends when we do
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_S
        while not _answers(self.port, self.service.ready):
            if process.poll() is not None:
                raise LabError(f"{self.service.name} ended with status {process.returncode}; {self.last_words()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.service.name} did not answer within {READY_S:.0f} s; {self.last_words()}")
            time.sleep(POLL_S)

    def last_words(self) -> str:
        """The end of its log, as the end of a sentence."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "its log ends: " + " | ".join(lines[-3:]) if lines else "its log is empty"

    def wait(self) -> int:
        """Wait until the service ends by itself, and say with which status."""
        return self._process.wait() if self._process else 0

    def kill(self) -> None:
        """Kill -9 the service with all its processes, as a crash would, and leave its data."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start a killed service again: same port, same secret, same data."""
        self.kill()
        self.begin()

    def stop(self) -> None:
        """Stop the service, politely first, and remove its data unless they were somebody else's."""
        self._end(signal.SIGTERM)
        if self.database is not None and not self.shares_database:
            self.database.close()
        if not self.keeps_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def _end(self, first: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        _signal_group(process, first)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        # Whatever the leader left behind; usually nothing.
        _signal_group(process, signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
        # We have waited for the leader only; the others die with it, but a moment later.
        await_free_port(self.port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(
    name: str, *, port: int = 0, secret: str | None = None, data: Path | None = None, database: Database | None = None
) -> Running:
    """Start the lab service `name` and return once it answers.

    Args:
        name: a folder of the lab.
        port: 0 lets the kernel choose a free one.
        secret: the shared secret; made anew for this start unless given.
        data: where it keeps its state; a temporary directory, removed at the end, unless given.
        database: somebody else's PostgreSQL server; one of its own unless given.

    Raises:
        LabError: no such service, something it needs is missing, or it does not start.
    """
    return launch(find(name), port=port, secret=secret, data=data, database=database)


def launch(
    service: Service,
    *,
    port: int = 0,
    secret: str | None = None,
    data: Path | None = None,
    database: Database | None = None,
    environment: Mapping[str, str] | None = None,
) -> Running:
    """Start a service, wherever its folder is, with more in its environment if need be; else as start."""
    if missing := service.missing():
        raise LabError(f"{service.name} needs {missing}")
    _build(service)
    own = data is None
    running = Running(
        service=service,
        port=port or reserve_port(),
        secret=secret or secrets.token_hex(16),
        data=Path(tempfile.mkdtemp(prefix=f"tocsin-lab-{service.name}-")) if data is None else data,
        keeps_data=not own,
        database=database,
        shares_database=database is not None,
        environment=environment or {},
    )
    try:
        if service.postgres and database is None:
            running.database = Cluster()
        running.begin()
    except BaseException:
        running.stop()
        raise
    return running


def _build(service: Service) -> None:
    """Build what has to be built, and let the compiler's own progress be seen on standard error.

    Raises:
        LabError: it cannot be built.
    """
    command = service.build_line(python=sys.executable)
    if command and subprocess.run(command, cwd=service.folder, stdout=sys.stderr, check=False).returncode:
        raise LabError(f"{service.name} cannot be built; what is wrong stands above ({' '.join(command)})")


def reserve_port() -> int:
    """A free port that the kernel will not give to anybody else for a minute.

    A port just bound and closed may be somebody else's a moment later. One that has a connection in TIME_WAIT is passed
    over when the kernel chooses, while a server may still bind it by number if it sets SO_REUSEADDR as we do; all do.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # TIME_WAIT falls to the side that closes first, which must be the listening port's.
            listener.accept()[0].close()
    return port


def await_free_port(port: int) -> None:
    """Return once nothing listens on the port any more.

    Raises:
        LabError: something still does.
    """
    deadline = time.monotonic() + PORT_FREE_S
    while not is_free(port):
        if time.monotonic() > deadline:
            raise LabError(f"port {port} of 127.0.0.1 is taken; wanted a free one (--port 0 lets the kernel choose)")
        time.sleep(POLL_S)


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The process leads its group. PermissionError: macOS says so of a group in which only zombies are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
