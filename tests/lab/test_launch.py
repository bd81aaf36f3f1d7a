"""A lab service starts, answers, survives a crash with its data, and never outlives its launcher."""

import contextlib
import dataclasses
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lab import _launch
from lab._bruteforce import OrderDesk, sign_hex
from lab._launch import start
from lab._services import LabError, Service, find


def is_refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_stopped_service_leaves_neither_listener_nor_data() -> None:
    with start("flask-published") as running:
        assert not is_refused(running.port)
    assert is_refused(running.port)
    assert not running.data.exists()
    running.stop()


def test_every_start_has_a_secret_of_its_own_and_shows_none() -> None:
    with start("flask-published") as one, start("flask-published") as other:
        assert one.secret != other.secret
        assert one.port != other.port
        assert one.secret not in repr(one)
        assert one.secret not in one.log.read_text()


def test_a_killed_service_comes_back_on_its_port_with_its_secret_and_its_data() -> None:
    with start("flask-published") as running:
        desk = OrderDesk(running, sign_hex, has_stock=False)
        order = desk.order("sku-1", "kept")
        desk.send(*order)
        running.kill()
        assert is_refused(running.port)
        running.restart()
        assert b"duplicate" in desk.send(*order).body


def test_given_data_and_secret_are_used_and_the_data_is_kept(tmp_path: Path) -> None:
    with start("flask-published", secret="given", data=tmp_path) as running:
        desk = OrderDesk(running, sign_hex, has_stock=False)
        assert (running.secret, desk.send(*desk.order("sku-1")).status) == ("given", 200)
    assert (tmp_path / "orders.db").exists()


def test_a_launcher_that_is_killed_takes_its_service_and_the_data_along() -> None:
    """Nothing of the launcher can run after kill -9; the leash notices that its standard input has ended."""
    script = (
        "from lab._launch import start\n"
        "running = start('flask-published'); print(running.port, running.data, flush=True); running.wait()"
    )
    root = Path(_launch.__file__).parents[1]
    with subprocess.Popen(
        [sys.executable, "-c", script],
        text=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root)},
    ) as launcher:
        assert launcher.stdout is not None
        shown, data = launcher.stdout.readline().split()
        port = int(shown)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as open_connection:
            launcher.kill()
            # The end of the connection, a reset too, is the end of the worker that held it; its parent follows.
            with contextlib.suppress(ConnectionResetError):
                assert open_connection.recv(1) == b""
    _launch.await_free_port(port)
    deadline = time.monotonic() + 10
    while Path(data).exists():
        assert time.monotonic() < deadline


def with_command(monkeypatch: pytest.MonkeyPatch, *command: str) -> None:
    def altered(name: str) -> Service:
        return dataclasses.replace(find(name), command=command)

    monkeypatch.setattr(_launch, "find", altered)


def test_a_service_that_ends_at_once_is_an_error_with_the_end_of_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, "{python}", "-c", "import sys; sys.exit('no database today')")
    with pytest.raises(LabError, match="flask-published ended with status 1; its log ends: no database today"):
        start("flask-published")


def test_a_service_that_never_answers_is_stopped_and_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, "{python}", "-c", "import signal; signal.pause()")
    monkeypatch.setattr(_launch, "READY_S", 0.2)
    with pytest.raises(LabError, match=r"did not answer within 0 s; its log is empty"):
        start("flask-published")


def test_a_service_killed_by_a_signal_says_so_as_a_shell_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with_command(monkeypatch, "{python}", "-c", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(LabError, match="ended with status 137"):
        start("flask-published")


def test_a_port_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_launch, "PORT_FREE_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LabError, match=rf"port {port} of 127\.0\.0\.1 is taken"):
            start("flask-published", port=port)


def test_a_missing_module_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(name: str) -> Service:
        return dataclasses.replace(find(name), modules=("flask", "no_such_module"), install="pip install it")

    monkeypatch.setattr(_launch, "find", altered)
    with pytest.raises(LabError, match="needs the Python module no_such_module: pip install it"):
        start("flask-published")
