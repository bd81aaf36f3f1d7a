"""A scan that is broken off from outside: one line, the right exit code, and the reports all the same."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.plans import toml
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, tables
from tests.scan.services.serving import serving
from tests.untraced import untraced
from tocsin.cli._sigterm import raising

# A shell starts its background jobs with SIGINT ignored, and whatever they start inherits that.
COMMAND = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tocsin.cli import main
sys.exit(main())
"""


class Waits(Desk):
    """Answers the orders from a given number on once the test says so."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def order(self, asked: Asked) -> Answer:
        if len(self.orders_asked()) >= self.at:
            self.reached.set()
            self.go_on.wait(20)
        return super().order(asked)


@contextmanager
def scanning(desk: Desk, folder: Path, stdout: int | IO[bytes] = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, with both reports."""
    plan = tables(desk, signing={"secret": {"env": "DESK_SECRET"}})
    (folder / "plan.toml").write_text(toml(plan), encoding="utf-8")
    command = ["scan", "plan.toml", "--json", "r.json", "--html", "r.html", "--only", DUPLICATES]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *command],
        cwd=folder,
        env=untraced(DESK_SECRET=SECRET),
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ended_by(number: signal.Signals, desk: "Waits | WaitsAfterAHit", folder: Path) -> tuple[int, str, str]:
    """Send the command a signal when the desk waits; its exit code, and what it said."""
    with serving(desk), scanning(desk, folder) as process:
        assert desk.reached.wait(20)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        desk.go_on.set()
    return process.returncode, out, err


# Control, room for two and a twin of twenty come before the first burst.
@pytest.mark.parametrize("at", [1, 24], ids=["in the control", "in a burst"])
def test_ctrl_c_is_one_line_and_exit_130_and_says_what_may_be_left_behind(at: int, tmp_path: Path) -> None:
    desk = Waits(at)
    code, out, err = ended_by(signal.SIGINT, desk, tmp_path)

    assert (code, err) == (130, "tocsin: interrupted\n")
    said = " ".join(out.split())
    assert "Ended early: interrupted by the user" in said
    left = re.search(r"Left behind: (\d+) effects that were read, and at most (\d+) more that were not", said)
    assert left is not None
    assert (int(left[1]), int(left[2])) == ((0, 1) if at == 1 else (4, 20))
    assert "the last [reset] is missing" in said

    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (report["interrupted"], report["verdict"]) == ("interrupted by the user", "INCONCLUSIVE")
    assert report["not_run"] == [DUPLICATES]
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_interrupted_scan_sends_nothing_more(tmp_path: Path) -> None:
    desk = Waits(24)
    with serving(desk), scanning(desk, tmp_path) as process:
        assert desk.reached.wait(20)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        asked = len(desk.asked)
        desk.go_on.set()

    assert [later.path for later in desk.asked[asked:] if later.path != "/order"] == []
    assert desk.asked[-1].path == "/order"


class WaitsAfterAHit(Unlocked):
    """Applies copies twice. After that it answers some reads and some other messages, and then nothing more."""

    def __init__(self, *, reads: int, messages: int) -> None:
        super().__init__()
        self.left = {"GET": reads, "POST": messages}
        self.after: set[bytes] = set()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def answer(self, asked: Asked) -> Answer:
        with self.lock:
            has_hit = any(count > 1 for count in self.orders.values())
            if has_hit and asked.path != "/items" and not self.is_a_copy(asked):
                self.left[asked.method] -= 1
                self.after.add(asked.body)
        if self.left[asked.method] < 0:
            self.reached.set()
            self.go_on.wait(20)
        return super().answer(asked)

    def is_a_copy(self, asked: Asked) -> bool:
        """Whether this is of the burst that hit, or of a later one that has begun."""
        return asked.method == "POST" and (asked.body in self.after or self.orders[asked.document["order_id"]] > 0)


# The reading that shows the hit, the two that confirm it; then five repetitions, and smaller bursts.
@pytest.mark.parametrize("messages", [0, 3, 6], ids=["before it was repeated", "in a repetition", "in a smaller burst"])
def test_a_hit_that_was_read_is_told_when_ctrl_c_comes_while_it_is_repeated(messages: int, tmp_path: Path) -> None:
    desk = WaitsAfterAHit(reads=1000, messages=messages)
    code, out, err = ended_by(signal.SIGINT, desk, tmp_path)

    assert (code, err) == (130, "tocsin: interrupted\n")
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    [finding] = report["findings"]
    assert (report["interrupted"], report["verdict"]) == ("interrupted by the user", "VIOLATED")
    assert finding["verdict"] == "VIOLATED"
    assert finding["evidence"]["variants"]["identical"]["cut_short"] == "interrupted by the user"
    assert "Ended early: interrupted by the user" in " ".join(out.split())
    if not messages:
        assert finding["evidence"]["summary"].endswith("It was not tried again: interrupted by the user.")


def test_a_hit_that_ctrl_c_leaves_unconfirmed_is_told_and_is_no_verdict(tmp_path: Path) -> None:
    desk = WaitsAfterAHit(reads=1, messages=0)
    code, _out, _err = ended_by(signal.SIGINT, desk, tmp_path)

    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    [finding] = report["findings"]
    assert (code, finding["verdict"]) == (130, "INCONCLUSIVE")
    assert finding["evidence"]["summary"].endswith("and before that could be confirmed: interrupted by the user")


def test_sigterm_brings_the_state_back_writes_the_reports_and_exits_143(tmp_path: Path) -> None:
    desk = Waits(24)
    code, out, err = ended_by(signal.SIGTERM, desk, tmp_path)

    assert (code, err) == (143, "tocsin: ended by SIGTERM\n")
    assert "Ended early: ended by SIGTERM" in " ".join(out.split())
    assert desk.asked[-1].path == "/__reset"
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (report["interrupted"], report["left_behind"]) == ("ended by SIGTERM", "")
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


class NeverBroughtBack(Waits):
    """Answers the first reset alone."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.resets = 0
        self.again = threading.Event()

    def reset(self) -> Answer:
        self.resets += 1
        if self.resets == 2:
            self.again.set()
            self.go_on.wait(20)
        return super().reset()


def test_a_reset_that_hangs_keeps_no_sigterm_from_ending_the_scan(tmp_path: Path) -> None:
    desk = NeverBroughtBack(24)
    code, _out, _err = ended_by(signal.SIGTERM, desk, tmp_path)

    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert code == 143
    assert report["interrupted"].startswith("ended by SIGTERM; POST /__reset was not answered in time")
    assert report["left_behind"].endswith("; the last [reset] is missing")


def test_a_second_sigterm_ends_the_process_as_it_would_have_at_first(tmp_path: Path) -> None:
    desk = NeverBroughtBack(24)
    with serving(desk), scanning(desk, tmp_path) as process:
        assert desk.reached.wait(20)
        process.send_signal(signal.SIGTERM)
        assert desk.again.wait(20)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        desk.go_on.set()

    assert process.returncode == -signal.SIGTERM


def test_sigterm_is_what_it_was_once_the_block_is_over_and_another_thread_leaves_it_alone() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with raising(ZeroDivisionError):
        assert signal.getsignal(signal.SIGTERM) != former
        with pytest.raises(ZeroDivisionError):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == former

    seen: list[object] = []

    def elsewhere() -> None:
        with raising(ZeroDivisionError):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [former]


def test_a_reader_who_leaves_costs_the_scan_neither_its_verdict_nor_its_files(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    desk = Desk()
    with serving(desk), scanning(desk, tmp_path, stdout=writer) as process:
        os.close(writer)
        _, err = process.communicate(timeout=20)

    assert (process.returncode, err) == (0, "")
    report = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert (report["interrupted"], report["verdict"], report["not_run"]) == ("", "NOT_OBSERVED", [])
