"""What `tocsin scan` writes, keeps and accepts, on a small service with a real socket."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.scan.services.commanding import plan, said
from tests.scan.services.desk import SECRET, Answer, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BYPASS, DUPLICATES
from tests.scan.services.serving import serving
from tocsin.cli import main
from tocsin.cli._rerun import Rerun, outcome
from tocsin.cli._run_archive import Origin, RunArchive, default_path
from tocsin.findings import Evidence, Finding, Severity, Verdict

SAMPLE = Path(__file__).parents[1] / "report" / "snapshots" / "report.json"

pytestmark = pytest.mark.usefixtures("brisk", "elsewhere")


@pytest.fixture(autouse=True)
def own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def violated(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """A scan of a service that applies duplicates twice."""
    with serving(Unlocked()) as racy:
        return said(capsys, plan(racy), "--only", DUPLICATES, *words)


def test_every_report_is_written_and_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = violated(
        capsys, *("--json", "r.json", "--html", "r.html", "--sarif", "r.sarif", "--junit", "r.xml"), "--no-history"
    )
    assert (code, err) == (1, "")
    assert out.endswith("JSON report: r.json\nHTML report: r.html\nSARIF report: r.sarif\nJUnit report: r.xml\n")
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    [run] = json.loads(Path("r.sarif").read_text(encoding="utf-8"))["runs"]
    assert [result["kind"] for result in run["results"]] == ["fail"]
    assert run["properties"]["score"] == report["score"] < 60
    assert f'grade" value="{report["grade"]}' in Path("r.xml").read_text(encoding="utf-8")
    assert f"Grade {report['grade']}, {report['score']} of 100" in out


@pytest.mark.parametrize(
    ("threshold", "code", "reason"),
    [("F", 0, "reaches the threshold of 0 (F)"), ("D", 1, "is below the threshold of 60 (D)")],
)
def test_a_threshold_decides_about_the_exit_code(
    threshold: str, code: int, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ended, out, _ = violated(capsys, "--threshold", threshold)
    assert ended == code
    assert f"Exit code {code}: " in out
    assert reason in " ".join(out.split())


def test_a_baseline_lets_through_what_it_knows_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    violated(capsys, "--json", "before.json")
    code, out, _ = violated(capsys, "--baseline", "before.json", "--json", "after.json")
    assert code == 0
    assert "1 violation known by the baseline." in out
    assert "Exit code 0: nothing new." in out
    assert "high, known" in out
    [finding] = json.loads(Path("after.json").read_text(encoding="utf-8"))["findings"]
    assert finding["known"] is True
    clean = json.loads(Path("before.json").read_text(encoding="utf-8"))
    clean["findings"] = []
    Path("clean.json").write_text(json.dumps(clean), encoding="utf-8")
    assert violated(capsys, "--baseline", "clean.json")[0] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--threshold", "E"], "tocsin: --threshold 'E': wanted a grade (A, B, C, D, F) or a score from 0 to 100\n"),
        (["--baseline", "none.json"], "tocsin: none.json: no such file, and no id of a run\n"),
        (["--baseline", "plan.toml"], "tocsin: plan.toml: not JSON: wanted a report of tocsin scan --json\n"),
        (["--baseline", "."], "tocsin: .: Is a directory\n"),
        (["--baseline", "latin.json"], "tocsin: latin.json: not UTF-8, as JSON is\n"),
        (["--baseline", "other.json"], "tocsin: --baseline other.json is of GET /; this scan is of POST /order\n"),
        (
            ["--baseline", "abc"],
            f"tocsin: run 'abc': no such run in {{state}}{os.sep}tocsin{os.sep}runs.db; tocsin runs",
        ),
        (["--sarif", "no/where.sarif"], "tocsin: no/where.sarif: there is no folder no\n"),
        (["--history", "no/where.db"], "tocsin: no/where.db: there is no folder no\n"),
        (["--seed", str(2**63)], f"tocsin: --seed {2**63}: wanted a number of at most 64 bits\n"),
        (["--accept-effects", "-1"], "tocsin: --accept-effects -1: wanted 1 or more\n"),
        (["--rerun", "abc"], "tocsin: --rerun takes PLAN from the run: wanted only one of the two\n"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_nothing_is_sent(
    words: list[str], told: str, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(desk)
    Path("latin.json").write_bytes(b'"caf\xe9"')
    other = {"operation": "GET /", "target": "http://a", "started_at": "2026-01-01T00:00:00Z", "findings": []}
    Path("other.json").write_text(json.dumps(other), encoding="utf-8")
    for dry_run in ([], ["--dry-run"]):
        code, out, err = said(capsys, "plan.toml", *words, *dry_run)
        assert (code, out, desk.asked) == (2, "", [])
        assert err.startswith(told.format(state=tmp_path / "state"))
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--json", "plan.toml"], "plan.toml is the plan"),
        (["--html", "here/plan.toml"], "here/plan.toml is the plan"),
        (["--html", "hard.toml"], "hard.toml is the plan"),
        (["--sarif", "soft.toml"], "soft.toml is the plan"),
        (["--history", "hard.toml"], "hard.toml is the plan"),
        (["--html", "sec.txt"], "sec.txt is the file of a secret"),
        (["--html", "bob.txt"], "bob.txt is the file of a secret"),
        (["--html", "ca.pem"], "ca.pem is [target] ca_file"),
        (["--junit", "orders.log"], "orders.log is what a [[state]] reads"),
        (["--junit", "orders.db"], "orders.db is what a [[state]] reads"),
        (["--json", "x", "--html", "x"], "x is --json"),
        (["--json", "h.db", "--history", "h.db"], "h.db is the history"),
    ],
)
def test_a_report_takes_the_place_of_nothing_that_is_read_or_written(
    words: list[str], told: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [{"file": "orders.log"}, {"sql": "SELECT 1", "database": "sqlite:orders.db"}, {"request": "GET /orders"}]
    target = {"base_url": desk.base_url, "ca_file": "ca.pem"}
    actor = [{"secret": {"file": "bob.txt"}}, {"secret": {"env": "S"}}]
    plan(desk, target=target, state=states, actor=actor, signing={"secret": {"file": "sec.txt"}})
    written = Path("plan.toml").read_bytes()
    Path("hard.toml").hardlink_to("plan.toml")
    Path("soft.toml").symlink_to("plan.toml")
    Path("here").symlink_to(Path.cwd())
    allowed = "--allow-oracle", "file", "--allow-oracle", "sql"
    code, out, err = said(capsys, "plan.toml", *words, *allowed)
    assert (code, out, err) == (2, "", f"tocsin: {told}, which would be overwritten: wanted another file\n")
    assert (Path("plan.toml").read_bytes(), desk.asked) == (written, [])


def test_a_report_does_not_take_the_place_of_a_captured_request(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    Path("order.http").write_text("POST /order HTTP/1.1\nX-Signature: 00\n\n{}", encoding="utf-8")
    toml = f'target.base_url = "{desk.base_url}"\ncaptured.raw = "order.http"\n'
    Path("plan.toml").write_text(toml, encoding="utf-8")
    _, _, err = said(capsys, "plan.toml", "--accept-effects", "9", "--json", "order.http")
    assert err.startswith("tocsin: order.http is the captured request, which would be overwritten")


def test_a_report_may_take_the_place_of_the_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    assert violated(capsys, "--json", "r.json")[0] == 1
    assert violated(capsys, "--baseline", "r.json", "--json", "r.json")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--json", "a", "--json", "b"], "argument --json: wanted once"),
        (["--html", "-"], "argument --html: '-': wanted a file; standard output shows the scan itself"),
    ],
)
def test_a_report_that_would_be_lost_without_a_word_is_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["scan", "plan.toml", *words])
    assert left.value.code == 2
    assert capsys.readouterr().err.endswith(f"tocsin scan: error: {told}\n")


def kept(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """A scan that found a violation: the ids of its run and of its finding."""
    out = violated(capsys, "--seed", "7")[1]
    run = re.search(r"^Run ([0-9a-f]{8}) \(tocsin runs\)$", out, re.MULTILINE)
    finding = re.search(r"^finding ([0-9a-f]{12});", out, re.MULTILINE)
    assert run
    assert finding
    return run[1], finding[1]


def test_a_run_is_kept_unless_it_must_not_be(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    run, _ = kept(capsys)
    assert [one.id for one in RunArchive(default_path()).newest(5)] == [run]
    assert stat.S_IMODE(default_path().stat().st_mode) == 0o600
    assert "Run " not in said(capsys, plan(desk), "--only", BYPASS, "--no-history")[1]
    assert len(RunArchive(default_path()).newest(5)) == 1


def test_the_history_holds_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Unlocked()) as racy:
        words = plan(racy, signing={"secret": {"value": SECRET}}), "--only", DUPLICATES
        assert said(capsys, *words)[0] == 1
    assert SECRET.encode() not in default_path().read_bytes()


def test_a_history_that_nobody_asked_for_costs_no_verdict(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be", encoding="utf-8")
    code, _, err = said(capsys, plan(desk), "--only", BYPASS)
    assert code == 0
    assert err.startswith("tocsin: note: this run is not kept: history ")


NO_DATABASE = "no database at all, and long enough to be looked at"


def test_a_history_that_is_no_database_is_told_before_anything_is_sent(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs.db").write_text(NO_DATABASE, encoding="utf-8")
    code, out, err = said(capsys, plan(desk), "--only", BYPASS, "--history", "runs.db")
    assert (code, out, err) == (2, "", "tocsin: history runs.db: file is not a database\n")
    assert desk.asked == []


def test_a_history_that_was_asked_for_and_cannot_be_kept_is_not_clean(capsys: pytest.CaptureFixture[str]) -> None:
    class Spoils(Desk):
        def order(self, asked: Any) -> Answer:
            Path("runs.db").write_text(NO_DATABASE, encoding="utf-8")
            return super().order(asked)

    with serving(Spoils()) as desk:
        code, out, err = said(capsys, plan(desk), "--only", BYPASS, "--history", "runs.db")
    assert (code, err) == (3, "tocsin: note: this run is not kept: history runs.db: file is not a database\n")
    assert "Exit code 3: not all that was asked for could be written." in " ".join(out.split())


def test_a_finding_is_asked_again_with_the_plan_the_check_and_the_seed_of_its_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(Unlocked()) as racy:
        plan(racy)
        asked = ("--only", f"{DUPLICATES},{BYPASS}", "--seed", "7", "--protocol", "http/1.1")
        assert said(capsys, "plan.toml", *asked, "--json", "a.json")[0] == 1
        [finding, _] = json.loads(Path("a.json").read_text(encoding="utf-8"))["findings"]
        code, out, err = said(capsys, "--rerun", finding["id"][:5], "--json", "b.json")
    assert code == 1
    assert err.startswith(f"tocsin: rerun of {DUPLICATES}, violated in run ")
    assert "changed" not in err
    again = json.loads(Path("b.json").read_text(encoding="utf-8"))
    assert [one["check"] for one in again["findings"]] == [DUPLICATES]
    assert (again["seed"], again["plan"], again["findings"][0]["id"]) == (7, "plan.toml", finding["id"])
    assert "--protocol http/1.1" in again["findings"][0]["reproducer"]["command"]
    assert "seed 7, 1 check" in out
    assert out.endswith("Rerun: violated again.\n")


def test_a_rerun_says_what_became_of_the_finding(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    _, finding = kept(capsys)
    before = RunArchive(default_path()).newest(1)[0]
    plan(desk)
    code, out, err = said(capsys, "--rerun", finding)
    assert code == 0
    assert "plan.toml has changed" in err  # it names the port of another service
    assert out.endswith("Rerun: NOT_OBSERVED this time.\n")

    rerun = Rerun(finding, DUPLICATES, before, "")
    assert outcome(rerun, []) == "Rerun: came to no conclusion this time."
    again = Finding(DUPLICATES, "?", Verdict.VIOLATED, Evidence("because"), Severity.HIGH)
    assert outcome(rerun, [again]) == "Rerun: violated again, but not identical."


def test_a_rerun_says_when_the_plan_is_another_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, finding = kept(capsys)
    text = Path("plan.toml").read_text(encoding="utf-8")
    Path("plan.toml").write_text(f"# only a remark\n{text}", encoding="utf-8")
    with serving(Unlocked()) as racy:
        unchanged = said(capsys, "--rerun", finding)[2]
        assert "changed" not in unchanged
        plan(racy)
        code, _, err = said(capsys, "--rerun", finding)
    assert code == 1
    assert "tocsin: note: plan.toml has changed since that run: what follows is about another plan\n" in err
    Path("plan.toml").unlink()
    code, _, err = said(capsys, "--rerun", finding)
    assert code == 2
    assert err.endswith(f"its plan {tmp_path / 'plan.toml'}: No such file or directory\n")


def test_a_rerun_finds_its_plan_from_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "elsewhere").mkdir()
    with serving(Unlocked()) as racy, pytest.MonkeyPatch.context() as patch:
        _, out, _ = said(capsys, plan(racy), "--only", DUPLICATES, "--seed", "7")
        [finding] = re.findall(r"^finding ([0-9a-f]{12});", out, re.MULTILINE)
        patch.chdir(tmp_path / "elsewhere")
        code, out, _ = said(capsys, "--rerun", finding)
    assert code == 1
    assert "plan ../plan.toml, seed 7" in out


def test_a_rerun_grants_nothing_that_the_run_was_granted(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Unlocked()) as racy:
        plan(racy, reset=None)
        code, out, _ = said(capsys, "plan.toml", "--only", DUPLICATES, "--accept-effects", "400")
        assert code == 1
        [finding] = re.findall(r"^finding ([0-9a-f]{12});", out, re.MULTILINE)
        code, _, err = said(capsys, "--rerun", finding)
        assert code == 2
        assert "every accepted request changes the state" in err
        assert said(capsys, "--rerun", finding, "--accept-effects", "400")[0] == 1


def test_a_run_without_a_plan_cannot_be_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    RunArchive(default_path()).add(SAMPLE.read_text(encoding="utf-8"), Origin("/", "--curl", ""))
    code, _, err = said(capsys, "--rerun", "be60")
    assert code == 2
    assert err.endswith("was made with --curl, and the request is not kept: give it again\n")


def archived(**changes: Any) -> str:
    """Put the sample of the reports into the history, with changes."""
    text = SAMPLE.read_text(encoding="utf-8")
    origin = Origin("/srv", "orders.toml", "0" * 64)
    return RunArchive(default_path()).add(json.dumps(json.loads(text) | changes) if changes else text, origin)


def test_runs_are_listed_shown_and_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(capsys, "runs", "list") == (0, f"No runs in {default_path()}.\n", "")
    run = archived()
    code, out, _ = command(capsys, "runs", "list")
    assert code == 0
    head, line = out.splitlines()
    assert head.split() == ["run", "started", "(UTC)", "grade", "verdict", "operation"]
    assert line.startswith(run)
    assert line.endswith("VIOLATED        POST /order")
    assert max(map(len, out.splitlines())) <= 80

    code, out, _ = command(capsys, "runs", "show", run[:4])
    assert code == 0
    assert f"run {run} of " in out
    assert "    rerun: tocsin scan --rerun be6089131821\n" in out
    assert "plan orders.toml in /srv, seed 17\n" in out
    assert re.search(r"^reordering +not run$", out, re.MULTILINE)
    assert out.isprintable() or {mark for mark in out if not mark.isprintable()} == {"\n"}
    assert command(capsys, "runs", "show", run, "--json")[1] == SAMPLE.read_text(encoding="utf-8")

    assert command(capsys, "runs", "delete", run)[:2] == (0, "1 deleted.\n")
    assert command(capsys, "runs", "show", run)[0] == 2


def test_all_but_the_newest_runs_are_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        archived()
    newest = RunArchive(default_path()).newest(1)
    assert command(capsys, "runs", "delete", "--keep", "1")[:2] == (0, "2 deleted.\n")
    assert RunArchive(default_path()).newest(5) == newest


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "abc"], "tocsin: run 'abc': no such run in "),
        (["show", ""], "tocsin: run '': no such run in "),
        (["list", "--most", "0"], "tocsin: --most 0: wanted 1 or more\n"),
        (["list", "--most", "9" * 20], f"tocsin: --most {'9' * 20}: wanted at most 1000000000\n"),
        (["delete"], "tocsin: wanted either ids of runs or --keep N\n"),
        (["delete", "a", "--keep", "1"], "tocsin: wanted either ids of runs or --keep N\n"),
        (["delete", "--keep", "-1"], "tocsin: --keep -1: wanted 0 or more\n"),
    ],
)
def test_wrong_words_about_runs_are_one_line(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "runs", *words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(told)


def test_two_runs_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = archived(), archived(target="http://127.0.0.1:9")
    code, out, _ = command(capsys, "diff", first, second)
    assert (code, out.splitlines()[-1]) == (0, "Nothing changed.")
    assert "note: http://127.0.0.1:8000 then, http://127.0.0.1:9 now\n" in out
    clean = json.loads(SAMPLE.read_text(encoding="utf-8"))
    clean["findings"][0] |= {"verdict": "NOT_OBSERVED", "severity": "none", "effects": None}
    clean["findings"][0] |= {"bound": {"upper_limit": 0.0198, "trials": 150}, "evidence": {}}
    Path("clean.json").write_text(json.dumps(clean), encoding="utf-8")
    code, out, _ = command(capsys, "diff", "clean.json", first)
    assert code == 1
    assert f"APPEARED  {DUPLICATES}: a violation that was not there\n          VIOLATED, high, 3 effects, " in out
    assert "was NOT_OBSERVED in 150 trials, at most 2.0 % a trial" in " ".join(out.split())
    code, out, _ = command(capsys, "diff", first, "clean.json")
    assert code == 0
    assert f"GONE      {DUPLICATES}: was violated and is clean now\n" in out


def test_runs_of_two_operations_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("GET /a", "GET /b"):
        report: dict[str, Any] = {
            "operation": name,
            "target": "http://a",
            "started_at": "2026-01-01T00:00:00Z",
            "findings": [],
        }
        Path(f"{name[-1]}.json").write_text(json.dumps(report), encoding="utf-8")
    assert command(capsys, "diff", "a.json", "b.json") == (
        2,
        "",
        "tocsin: one is of GET /a and the other of GET /b: wanted two of one operation\n",
    )
