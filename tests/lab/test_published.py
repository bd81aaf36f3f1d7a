"""Each hole of the published remediations is a row, and a row is shown by its own evidence and by nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.published import row, scene_of, table
from lab._expected import truths
from lab._published import HOLES, Hole, is_shown
from lab._services import find, names
from lab._slow_disk import environment
from tocsin import scan

CHECKS = {check.id for check in scan.CHECKS}
EVIDENCE: dict[str, dict[str, Any]] = {
    "signature-bypass": {"probes": {"non_ascii": "server_error"}},
    "signed-robustness": {
        "effects_of_both_sendings": {"/order_id null": [1, 1]},
        "server_errors": ["/order_id missing", "/order_id list", "body: a list"],
    },
    "signature-coverage": {
        "other_routes": {"POST /returns": "accepted"},
        "parts": {"timestamp": "absent", "nonce": "absent", "raw_body": "not covered"},
    },
}


def named(hole: Hole) -> str:
    return f"{hole.remediation}: {hole.what}"


def finding(check: str, verdict: str, evidence: dict[str, Any]) -> dict[str, Any]:
    return {"check": check, "verdict": verdict, "severity": "high", "evidence": evidence}


@pytest.mark.parametrize("hole", HOLES, ids=named)
def test_a_hole_is_shown_by_its_evidence_under_a_violation(hole: Hole) -> None:
    assert hole.check in CHECKS
    evidence = EVIDENCE.get(hole.check, {})
    assert is_shown(hole, finding(hole.check, "VIOLATED", evidence))
    assert not is_shown(hole, finding(hole.check, "NOT_OBSERVED", evidence))
    if hole.check in EVIDENCE:
        assert not is_shown(hole, finding(hole.check, "VIOLATED", {}))


@pytest.mark.parametrize("hole", [hole for hole in HOLES if hole.service in names()], ids=named)
def test_what_a_hole_asks_of_a_scan_is_what_the_service_is_said_to_be(hole: Hole) -> None:
    truth = truths(find(hole.service))[hole.check]
    # What expected.toml says is said of this machine's own disk.
    assert (truth.verdict == "VIOLATED") == (not hole.fsync_ms)


def test_a_hole_that_a_scan_does_not_show_is_told() -> None:
    hole = next(hole for hole in HOLES if hole.check == "signature-bypass")
    missed = row(hole, finding("signature-bypass", "NOT_OBSERVED", {}))
    assert not missed["is_shown"]
    assert table([missed])[-1].endswith("| NOT_OBSERVED; NOT SHOWN |")


def test_a_hole_that_takes_a_slow_disk_is_looked_for_on_one_and_says_so() -> None:
    hole = next(hole for hole in HOLES if hole.fsync_ms)
    assert scene_of(hole) == ("flask-published", 100, ("contention-errors",))
    shown = row(hole, finding(hole.check, "VIOLATED", {}))
    assert table([shown])[-1].endswith("| VIOLATED, high (on a disk of 100 ms a fsync) |")


@pytest.mark.skipif(sys.platform != "linux", reason="a slow disk needs LD_PRELOAD, which is Linux's")
@pytest.mark.skipif(shutil.which("cc") is None, reason="a slow disk needs a C compiler: apt-get install gcc libc6-dev")
def test_on_a_slow_disk_every_fsync_takes_as_much_longer(tmp_path: Path) -> None:
    code = "import os, sys, time; file = open(sys.argv[1], 'w'); began = time.monotonic(); os.fsync(file)"
    command = [sys.executable, "-c", f"{code}; print(time.monotonic() - began)", str(tmp_path / "file")]
    took = subprocess.run(command, env=os.environ | environment(250), capture_output=True, text=True, check=True)
    assert float(took.stdout) >= 0.25
