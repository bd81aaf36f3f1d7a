"""`tocsin scan` from its words to its exit code, on a small service with a real socket."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest

import tocsin.cli.scan
import tocsin.report
from tests.scan.services.commanding import plan, said
from tests.scan.services.desk import Answer, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BYPASS, DUPLICATES, FIVE
from tests.scan.services.serving import serving
from tocsin.cli import main
from tocsin.wire.testing import RecordingPeer, Script

pytestmark = pytest.mark.usefixtures("brisk", "elsewhere")


def test_a_clean_service_exits_0_and_a_pipe_gets_no_control_codes(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, plan(desk), "--only", ",".join(FIVE), "--seed", "7")

    assert (code, err) == (0, "")
    assert "5 of 5 checks ran clean. That is worth the bound of each, and no more." in out
    assert "seed 7, 5 checks in at most 10 s" in out
    assert "\x1b" not in out
    assert "\r" not in out


def test_the_request_that_finds_out_whether_anything_answers_is_counted_as_well(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    said(capsys, plan(desk), "--only", BYPASS, "--json", "r.json")
    assert json.loads(Path("r.json").read_text(encoding="utf-8"))["requests"] == len(desk.asked)


def test_a_violation_exits_1_and_the_report_is_what_its_schema_says(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Unlocked()) as racy:
        code, out, _ = said(
            capsys, plan(racy), "--only", f"{BYPASS}, {DUPLICATES}", "--json", "r.json", "--html", "r.html"
        )
    report = json.loads(Path("r.json").read_text(encoding="utf-8"))
    schema = Path(tocsin.report.__file__).with_name("report.schema.json").read_text(encoding="utf-8")
    jsonschema.validate(report, json.loads(schema), format_checker=jsonschema.FormatChecker())

    assert code == 1
    assert out.endswith("JSON report: r.json\nHTML report: r.html\n")
    assert {finding["check"]: finding["verdict"] for finding in report["findings"]} == {
        DUPLICATES: "VIOLATED",
        BYPASS: "NOT_OBSERVED",
    }
    rerun = f"tocsin scan plan.toml --only {DUPLICATES} --seed {report['seed']}"
    assert report["findings"][0]["reproducer"]["command"] == rerun
    assert rerun in out
    assert Path("r.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_example_of_a_curl_command_is_accepted_as_it_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_SECRET", "a secret of 16 octets")
    with pytest.raises(SystemExit):
        main(["scan", "--help"])
    [example] = re.findall(r"(?m)^  tocsin scan --scheme(?:.*\\\n)+.*", capsys.readouterr().out)
    with serving(Desk()) as desk:
        dead = desk.base_url
    code, _, err = said(capsys, *shlex.split(example.replace("\\\n", ""))[2:], "--base-url", dead)
    assert (code, err.startswith(f"tocsin: nothing to scan: {dead}: the connection was refused")) == (3, True)


def test_checks_may_be_named_together_and_one_by_one(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, plan(desk), "--dry-run", "--only", f"{BYPASS},{FIVE[-1]}", "--only", DUPLICATES)
    assert all(f"  {check}" in out for check in (BYPASS, FIVE[-1], DUPLICATES))


def test_a_service_that_cannot_be_understood_exits_3(capsys: pytest.CaptureFixture[str]) -> None:
    class SaysYes(Desk):
        def order(self, _asked: object) -> Answer:
            return self.accepted()

    with serving(SaysYes()) as desk:
        code, out, err = said(capsys, plan(desk), "--only", BYPASS)
    assert (code, err) == (3, "")
    assert "INCONCLUSIVE" in out


def test_a_service_that_dies_in_a_burst_is_one_clear_message_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    class Dies(Desk):
        def order(self, asked: Any) -> Answer:
            self.is_open = len(self.orders_asked()) < 28
            return super().order(asked)

    with serving(Dies()) as desk:
        code, out, err = said(capsys, plan(desk), "--only", DUPLICATES)
    assert (code, err) == (3, "")
    ended = f"Ended early: {desk.base_url}: the connection was refused; nothing listens on that port"
    assert ended in " ".join(out.split())
    assert "Traceback" not in out


def test_a_dead_port_is_one_line_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Desk()) as desk:
        dead = plan(desk)
    assert said(capsys, dead, "--json", "r.json") == (
        3,
        "",
        f"tocsin: nothing to scan: {desk.base_url}: the connection was refused; nothing listens on that port\n",
    )
    assert not Path("r.json").exists()


def test_a_port_that_does_not_speak_http_is_one_line_and_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk()
    with RecordingPeer(Script(reply=b"220 mail.example ESMTP\r\n\r\n")) as peer:
        desk.base_url = str(peer.address)
        code, out, err = said(capsys, plan(desk))
    assert (code, out) == (3, "")
    assert err.startswith("tocsin: nothing to scan: ")
    assert err.endswith("what came back is not HTTP\n")


@pytest.mark.parametrize("then", ["close", "keep"])
def test_a_service_that_hangs_up_on_a_first_word_that_it_does_not_know_is_scanned_all_the_same(
    then: Literal["close", "keep"], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tocsin.cli.scan._KNOCK_S", 0.2)
    desk = Desk()
    with RecordingPeer(
        Script(then="close" if then == "close" else "keep"), Script(reply=b"HTTP/1.1 500 No\r\n\r\n")
    ) as peer:
        desk.base_url = str(peer.address)
        code, out, _ = said(capsys, plan(desk), "--only", BYPASS)
    assert code == 3
    assert "the reset POST /__reset was answered 500" in out


@pytest.mark.parametrize(
    ("words", "said_of_it"),
    [
        (["missing.toml"], "tocsin: plan missing.toml: No such file or directory\n"),
        (["."], "tocsin: plan .: Is a directory\n"),
        (["latin.toml"], "tocsin: plan latin.toml: not UTF-8, as TOML is\n"),
        (
            ["broken.toml"],
            "tocsin: broken.toml:1: not TOML: Expected '=' after a key in a key/value pair (at line 1, column 6)\n",
        ),
        ([], "tocsin: wanted one of PLAN, --curl and --rerun\n"),
        (["plan.toml", "--curl", "curl http://127.0.0.1"], "tocsin: wanted one of PLAN, --curl and --rerun\n"),
        (["--curl", "curl http://127.0.0.1"], "tocsin: --curl wants --scheme NAME and --secret-env NAME\n"),
        (
            ["plan.toml", "--only", "over-alocation"],
            'tocsin: --only: no check "over-alocation"; did you mean "over-allocation"?\n',
        ),
        (
            ["plan.toml", "--only", BYPASS, "--only", "over-alocation"],
            'tocsin: --only: no check "over-alocation"; did you mean "over-allocation"?\n',
        ),
        (["plan.toml", "--scheme", "stripe"], "tocsin: --scheme goes with --curl\n"),
        (["plan.toml", "--secret-env", "S"], "tocsin: --secret-env goes with --curl\n"),
        (["plan.toml", "--key-id", "k"], "tocsin: --key-id goes with --curl\n"),
        (["plan.toml", "--state", "GET /"], "tocsin: --state goes with --curl\n"),
        (["plan.toml", "--pointer", "/a"], "tocsin: --pointer goes with --curl\n"),
        (["plan.toml", "--per-effect", "1"], "tocsin: --per-effect goes with --curl\n"),
        (["--curl", "curl http://127.0.0.1", "--pointer", "/a"], "tocsin: --pointer goes with --state\n"),
        (
            ["plan.toml", "--authorized-for", "http://x/"],
            "tocsin: --authorized-for http://x/: wanted HOST or HOST:PORT, not a URL\n",
        ),
        (["plan.toml", "--accept-effects", "0"], "tocsin: --accept-effects 0: wanted 1 or more\n"),
        (["plan.toml", "--base-url", "http://shop.example"], None),
        (["plan.toml", "--base-url", "shop"], "tocsin: --base-url 'shop': wanted http://host:port\n"),
        (["empty.toml"], "tocsin: empty.toml: the plan lacks [target]: wanted [target], [request] and [signing]\n"),
        (["plan.toml", "--only", ""], None),
        (["plan.toml", "--json", "no/such/folder.json"], "tocsin: no/such/folder.json: there is no folder no/such\n"),
        (["plan.toml", "--html", "."], "tocsin: . is a folder: wanted a file\n"),
    ],
)
def test_wrong_words_are_one_line_and_exit_2_and_nothing_is_sent(
    words: list[str], said_of_it: str | None, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    plan(desk)
    Path("latin.toml").write_bytes(b"# caf\xe9")
    Path("empty.toml").touch()
    Path("broken.toml").write_text("name oops", encoding="utf-8")

    code, out, err = said(capsys, *words)

    assert (code, out, desk.asked) == (2, "", [])
    assert err.count("\n") == 1
    assert err.startswith("tocsin: ")
    assert said_of_it is None or err == said_of_it


@pytest.mark.parametrize(
    ("changed", "said_of_it"),
    [
        (
            {"limit": {"effects": 5}},
            'tocsin: plan.toml:9: the plan has an unknown key "limit"; did you mean "limits"?\n',
        ),
        ({"request": {"path": "/a b"}}, "tocsin: plan.toml: [request] POST /a b: the request target is not a path"),
        ({"signing": {"secret": {"env": "NO_SUCH"}}}, "tocsin: [signing] environment variable NO_SUCH is not set"),
        ({"signing": {"secret": {"file": "no.txt"}}}, "tocsin: [signing] secret file no.txt: No such file"),
        ({"reset": None}, "tocsin: every accepted request changes the state of http://127.0.0.1:"),
        (
            {"target": {"base_url": "http://[::1:::1]"}},
            "tocsin: plan.toml: base_url 'http://[::1:::1]': wanted http://host:port",
        ),
        ({"target": {"base_url": "http://-"}}, "tocsin: http://- is not localhost, 127.0.0.1 or [::1]"),
    ],
)
def test_a_plan_that_cannot_be_meant_or_permitted_is_one_line_and_exit_2(
    changed: dict[str, Any], said_of_it: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, plan(desk, **changed))
    assert (code, out, desk.asked) == (2, "", [])
    assert err.startswith(said_of_it)
    assert err.count("\n") == 1


def test_a_dry_run_prints_what_would_be_sent_and_sends_nothing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, plan(desk, reset=None, budget={"effects": 900}), "--dry-run", "--only", DUPLICATES)

    assert (code, err, desk.asked) == (0, "", [])
    assert '  POST /order (signed)\n    Content-Type: application/json\n    {"order_id":"{{uuid}}"' in out
    assert "Note: [budget] effects = 900: without [reset], only --accept-effects grants more than 500" in " ".join(
        out.split()
    )
    assert "signature-bypass" not in out
    assert out.endswith("Nothing was sent.\n")


def test_what_a_plan_says_and_cannot_have_is_noted(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = plan(desk, reset=None, budget={"effects": 900}), "--accept-effects", "900", "--only", BYPASS
    code, _, err = said(capsys, *words)
    note = "[budget] effects = 900: without [reset], only --accept-effects grants more than 500"
    assert (code, err) == (0, f"tocsin: note: {note}\n")


@pytest.mark.parametrize(
    "times",
    [(0.04, 60, "8 s"), (1.23, 60, "6.8 s"), (60.0, 60, "4 s"), (0.0, 3, "3 s")],
)
def test_quick_is_at_most_8_s_from_the_start_of_the_process_and_no_longer_than_the_plan_says(
    times: tuple[float, float, str], desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started_s_ago, of_the_plan, at_most = times
    monkeypatch.setattr(tocsin.cli.scan, "_started_s_ago", lambda: started_s_ago)
    out = said(capsys, plan(desk, budget={"seconds": of_the_plan}), "--quick", "--only", BYPASS)[1]
    assert f"1 check in at most {at_most}" in out


def test_the_system_says_how_long_a_process_has_run() -> None:
    assert 0 <= tocsin.cli.scan._started_s_ago() < 24 * 3600


def test_the_base_url_of_the_command_line_takes_the_place_of_the_plans(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    name = plan(desk, target={"base_url": "http://shop.example"})
    code, out, _ = said(capsys, name, "--base-url", desk.base_url, "--only", BYPASS)
    assert code == 0
    assert f"at {desk.base_url}" in " ".join(out.split())


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 2), ("n\n", 2), ("", 2)])
def test_a_person_at_the_terminal_is_asked_about_effects_that_stay(
    answer: str, code: int, desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: answer, raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    ended, _, err = said(capsys, plan(desk, reset=None, budget={"effects": 9_000}), "--only", BYPASS)

    assert ended == code
    assert f"The plan has no [reset]: up to 500 changes stay in {desk.base_url}." in err
    assert ("not accepted; nothing was sent" in err, desk.asked == []) == (code == 2, code == 2)


def test_a_file_without_permission_is_refused_before_anything_is_sent(
    desk: Desk, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert said(capsys, plan(desk), "--html", "r.html") == (2, "", "tocsin: r.html: no permission to write there\n")
    assert desk.asked == []


def test_a_report_that_cannot_be_written_in_the_end_is_said_and_is_not_clean(
    desk: Desk, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "r.json").symlink_to(tmp_path / "gone" / "r.json")
    code, out, err = said(capsys, plan(desk), "--only", BYPASS, "--json", str(folder / "r.json"))

    assert (code, err) == (3, f"tocsin: {folder / 'r.json'} could not be written: No such file or directory\n")
    assert "JSON report" not in out
    assert "Exit code 3: not all that was asked for could be written." in " ".join(out.split())


def test_without_what_scanning_needs_the_command_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "tocsin.cli._scan_report")
    code, _, err = said(capsys, "plan.toml")
    assert (code, err) == (2, "tocsin: scanning needs rich.console: pip install 'tocsin[scan]'\n")
