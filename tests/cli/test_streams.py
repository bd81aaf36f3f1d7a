"""Standard streams that fail: a full disk, a reader who has gone, a stream that the shell has closed."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.scan.services.commanding import plan
from tests.scan.services.desk import Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BYPASS, DUPLICATES
from tests.scan.services.serving import serving
from tocsin.cli import main

pytestmark = pytest.mark.usefixtures("brisk")
FULL = "standard output: No space left on device"


@pytest.fixture(autouse=True)
def files(elsewhere: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """What the command lines below name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("S", "a secret of 16 octets")
    Path("order.http").write_bytes(b"POST /order HTTP/1.1\r\nHost: a\r\n\r\n{}")
    report = {"operation": "GET /", "target": "http://a", "started_at": "2026-01-01T00:00:00Z", "findings": []}
    Path("r.json").write_text(json.dumps(report), encoding="utf-8")


def shell(redirected: str, *words: str, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """A command line of a shell, with what stands behind it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "tocsin", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment | ({"PYTHONUNBUFFERED": "1"} if unbuffered else {}),
    )


COMMANDS = (
    ["explain"],
    ["explain", "concurrent-duplicate"],
    ["runs", "list"],
    ["plan", "new", "--curl", "curl http://127.0.0.1:8000/order -d '{}'"],
    ["sign", "order.http", "--scheme", "github", "--secret-env", "S"],
    ["diff", "r.json", "r.json"],
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_disk_is_one_line_and_not_a_bug(words: Sequence[str]) -> None:
    done = shell("> /dev/full", *words)
    assert (done.returncode, done.stderr) == (3, f"tocsin: {FULL}\n")


def test_a_full_disk_is_no_bug_where_python_buffers_nothing() -> None:
    done = shell("> /dev/full", "schemes", unbuffered=True)
    assert (done.returncode, done.stderr) == (3, f"tocsin: {FULL}\n")


@pytest.mark.parametrize("words", COMMANDS[-2:], ids=" ".join)
def test_a_closed_standard_output_is_one_line_and_not_a_bug(words: Sequence[str]) -> None:
    done = shell(">&-", *words)
    assert (done.returncode, done.stderr) == (3, "tocsin: standard output: Bad file descriptor\n")


@pytest.mark.parametrize("redirected", ["2> /dev/full", "2>&-"])
def test_an_error_that_cannot_be_told_has_its_exit_code_and_is_no_output(redirected: str) -> None:
    done = shell(redirected, "explain", "no-such-check")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("words", [["sign"], ["verify"], ["sign", "--curl", "-"]])
def test_a_closed_standard_input_is_one_line(words: list[str]) -> None:
    done = shell("<&-", *words, "--secret-env", "S", "--key-id", "k1")
    assert (done.returncode, done.stderr) == (2, "tocsin: standard input is closed; wanted FILE\n")


@pytest.mark.parametrize("words", [COMMANDS[0], *COMMANDS[-2:]], ids=" ".join)
def test_a_reader_who_has_seen_enough_is_no_error(words: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-u", "-m", "tocsin", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    # Whose exit code is a verdict, has not come to one.
    assert (done.returncode, done.stderr) == (3 if words[0] == "diff" else 0, "")


@contextmanager
def no_reader() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer


@contextmanager
def full() -> Iterator[int]:
    yield os.open("/dev/full", os.O_WRONLY)


def scanned(standard_output: int, monkeypatch: pytest.MonkeyPatch, desk: Desk, *words: str) -> int:
    """The exit code of a scan that writes there; its report is r.json, which a scan of nothing would leave as it is."""
    with os.fdopen(standard_output, "w", encoding="utf-8") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        return main(["scan", plan(desk), "--json", "r.json", "--no-history", *words])


def verdicts() -> list[str]:
    return [finding["verdict"] for finding in json.loads(Path("r.json").read_text(encoding="utf-8"))["findings"]]


@pytest.mark.parametrize(("output", "clean"), [(no_reader, 0), (full, 3)])
def test_a_scan_that_nobody_listens_to_comes_to_its_end_and_says_so_by_its_exit_code(
    output: Callable[[], AbstractContextManager[int]],
    clean: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = "" if output is no_reader else f"tocsin: {FULL}; the scan goes on\n"
    with serving(Unlocked()) as racy, output() as stream:
        assert scanned(stream, monkeypatch, racy, "--only", DUPLICATES) == 1
    assert (verdicts(), capsys.readouterr().err) == (["VIOLATED"], told)
    with serving(Desk()) as desk, output() as stream:
        assert scanned(stream, monkeypatch, desk, "--only", BYPASS) == clean
    assert (verdicts(), capsys.readouterr().err) == (["NOT_OBSERVED"], told)
