"""Scan a running lab service with the real command line, and compare what it says with the truth."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab._expected import mismatches, truths
from lab._launch import Running
from lab._services import LAB, LabError

# Exit codes of `tocsin scan` that come with a report: clean, violated, inconclusive.
WITH_REPORT = frozenset({0, 1, 3})
# An interrupted scan waits for the answers of its burst first; a request's time-out is 10 s.
INTERRUPTED_S = 15.0


@dataclass(frozen=True, slots=True)
class Scanned:
    """One scan of one service.

    Args:
        seconds: how long the command took, start of Python included.
        findings: of the JSON report, one for each check.
        html: the HTML report.
        wrong: every difference from expected.toml, a sentence each.
    """

    service: str
    seconds: float
    findings: Sequence[Mapping[str, Any]]
    html: Path
    wrong: Sequence[str]

    def verdicts(self) -> dict[str, str]:
        """The verdict of every check."""
        return {finding["check"]: finding["verdict"] for finding in self.findings}


def scan(
    running: Running, reports: Path, *, quick: bool = False, only: Sequence[str] = (), shows: bool = False
) -> Scanned:
    """Run `tocsin scan` on the service's plan.

    Args:
        running: the service, or one of its other routes.
        reports: a directory for the JSON and the HTML report.
        quick: pass --quick.
        only: the checks to run, each with as much time as the plan gives to all; none: all of them.
        shows: let the command write to our standard output; else what it says is kept for the error alone.

    Raises:
        LabError: it ended without a report.
    """
    service = running.service
    reports.mkdir(parents=True, exist_ok=True)
    name = service.title.replace("/", "-")
    report, html = reports / f"{name}.json", reports / f"{name}.html"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tocsin", "scan", os.path.relpath(service.plan, LAB.parent), "--no-history"]
    command += ["--json", str(report), "--html", str(html)]
    if running.port != service.port:
        command += ["--base-url", running.base_url]
    if quick:
        command.append("--quick")
    if only:
        command += ["--only", ",".join(only)]
    sys.stdout.flush()
    began = time.monotonic()
    status, said = _run(command, running.secret, shows=shows)
    seconds = time.monotonic() - began
    if status not in WITH_REPORT or not report.exists():
        raise LabError(f"the scan of {service.title} ended with status {status} and no report: {said.strip()}")
    findings = json.loads(report.read_text())["findings"]
    expected = {check: truth for check, truth in truths(service).items() if not only or check in only}
    return Scanned(service.title, seconds, findings, html, mismatches(findings, expected))


def _run(command: list[str], secret: str, *, shows: bool) -> tuple[int, str]:
    """The command's exit status, and what it said where that is not shown."""
    with subprocess.Popen(
        command,
        cwd=LAB.parent,
        env=os.environ | {"LAB_SECRET": secret},
        stdout=None if shows else subprocess.PIPE,
        stderr=None if shows else subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            said, _ = process.communicate()
        except KeyboardInterrupt:
            # Ctrl-C has reached the scan too; it ends its burst and says what state may be left behind.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(INTERRUPTED_S)
            process.kill()
            raise
    return process.returncode, said or ""
