"""A MariaDB server of our own: a temporary directory, a socket, a port that the kernel chose, a user that is not root.

Rule: see _postgres. It cannot outlive whoever started it.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from lab._postgres import Daemon, free_port, identity, other_user

# For tests that pull no plug: nothing waits for the disk.
CARELESS = ("innodb-flush-log-at-trx-commit=0", "innodb-flush-method=nosync", "skip-innodb-doublewrite", "sync-frm=0")
# Asynchronous reads and writes are paid for in locked memory, of which a user has little for all of his servers.
_AIO = "--innodb-use-native-aio=0"
WANTED = "no MariaDB server found; apt-get install mariadb-server"


def found(program: str) -> str | None:
    """Where a program of MariaDB is: in PATH, or where Debian keeps servers, which a user's PATH may leave out."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def missing() -> str:
    """Why no server can be started here, or ""."""
    return "" if found("mariadbd") and found("mariadb-install-db") else WANTED


class MariaDB:
    """A running server with a user "tocsin" without a password, who may do everything. A context manager.

    Args:
        options: of mariadbd, without the dashes in front.
    """

    def __init__(self, *options: str) -> None:
        install, server = found("mariadb-install-db"), found("mariadbd")
        assert install is not None
        assert server is not None
        self.directory = Path(tempfile.mkdtemp(prefix="tocsin-mariadb-"))
        user = other_user()
        if user is not None:
            shutil.chown(self.directory, user)
        data = self.directory / "data"
        # One statement a line: a server reads this file so.
        (self.directory / "first.sql").write_text(
            "".join(
                f"CREATE USER IF NOT EXISTS tocsin@'{host}';\nGRANT ALL ON *.* TO tocsin@'{host}' WITH GRANT OPTION;\n"
                for host in ("127.0.0.1", "localhost")
            )
        )
        self.directory.chmod(0o755)
        made = subprocess.run(
            [
                install,
                "--no-defaults",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
                _AIO,
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **identity(),
        )
        if made.returncode != 0:
            raise OSError(f"mariadb-install-db: {made.stdout}{made.stderr}")
        self.port = free_port()
        self.socket = self.directory / "socket"
        settings = [
            f"datadir={data}",
            f"socket={self.socket}",
            f"port={self.port}",
            f"init-file={self.directory / 'first.sql'}",
            f"pid-file={self.directory / 'pid'}",
            f"tmpdir={self.directory}",
            "bind-address=127.0.0.1",
            "max-connections=150",
            "innodb-buffer-pool-size=32M",
            "innodb-log-file-size=16M",
            "skip-name-resolve",
            *options,
        ]
        arguments = [_AIO, *[f"--{setting}" for setting in settings]]
        self._daemon = Daemon([server, "--no-defaults", *arguments], "ready for connections", "KILL")
        self._daemon.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._daemon.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self) -> None:
        """Kill it: what a crash leaves behind, without the crash of the machine."""
        self._daemon.stop()

    def start(self) -> None:
        """Start again on what is there."""
        self._daemon.start()
