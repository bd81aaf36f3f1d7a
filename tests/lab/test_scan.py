"""The real command line against real services, and what the demo makes of its reports."""

from pathlib import Path

import pytest

from lab import demo
from lab._launch import start
from lab._scan import Scanned, scan
from lab._services import LabError


def test_a_quick_scan_of_the_guarded_service_finds_nothing(tmp_path: Path) -> None:
    with start("flask-guarded") as running:
        scanned = scan(running, tmp_path, quick=True)
    assert "VIOLATED" not in scanned.verdicts().values()
    assert len(scanned.verdicts()) == 14
    assert scanned.html.exists()


def test_a_scan_without_a_report_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    with start("flask-published") as running:
        running.kill()
        with pytest.raises(LabError, match="the scan of flask-published ended with status 3 and no report: tocsin: "):
            scan(running, tmp_path)


def finding(check: str, verdict: str, bound: str = "") -> dict[str, object]:
    return {
        "check": check,
        "verdict": verdict,
        "evidence": {"summary": f"What was read. {'It is a long story. ' * 9}"},
        "bound": {"text": bound} if bound else None,
        "reproducer": {"command": f"tocsin scan plan.toml --only {check}"},
        "remedy": {"text": "Bind them. " * 12, "guard_call": '@guard.flask(key=json_pointer("/order_id"))'},
    }


def summary_of(*wrong: str) -> list[str]:
    races = [finding(check, "VIOLATED") for check in demo.RACES]
    clean = [finding(check, "NOT_OBSERVED", "0 of 150 bursts: at most 2.0 % a burst") for check in demo.RACES]
    before = Scanned(demo.VULNERABLE, 12.0, races, demo.REPORTS / "before.html", wrong)
    after = Scanned(demo.GUARDED, 20.0, clean, demo.REPORTS / "after.html", ())
    return list(demo.summary(before, after))


def test_the_demo_ends_with_counts_rerun_fix_bounds_and_reports_in_80_columns() -> None:
    lines = summary_of()
    said = "\n".join(lines)
    assert all(len(line) <= 80 for line in lines if "build/demo" not in line)
    assert "flask-vulnerable, concurrent-duplicate: VIOLATED. What was read." in said
    assert "scan plan.toml --only concurrent-duplicate" in said
    assert '    @guard.flask(key=json_pointer("/order_id"))' in lines
    assert "    over-allocation: NOT_OBSERVED, 0 of 150 bursts: at most 2.0 % a burst" in lines
    assert said.endswith("after.html")


def test_the_demo_says_what_was_not_as_expected() -> None:
    assert summary_of("c: missing")[-1] == "  NOT AS EXPECTED: flask-vulnerable: c: missing"


def test_a_demo_without_a_service_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "VULNERABLE", "flask-vulnerabel")
    assert demo.main() == 2
    assert capsys.readouterr().err.startswith("demo: no service 'flask-vulnerabel' in the lab; did you mean")
