"""From a browser's own archive to the verdicts that are true: nothing is written by hand but what a TODO asks for."""

import hashlib
import hmac
import json
import re
import shutil
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from lab._expected import truths
from lab._launch import Running, start
from tocsin.cli import main

# The races of the service, and a check beside them that is clean: enough to tell a plan that works from one that does
# not. tests/lab scans with all of them.
CHECKS = ("concurrent-duplicate", "over-allocation", "effect-before-verification")
FETCH = """async ([method, path, body, headers]) => {
    const answer = await fetch(path, {method, body, headers});
    return await answer.json();
}"""


def visit(running: Running, archive: Path) -> None:
    """Make an item, look, order one piece, look again; Chromium writes down what it sent and got."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--no-first-run", *quiet]
        )
        context = browser.new_context(record_har_path=archive)
        page = context.new_page()
        page.goto(f"{running.base_url}/orders/none")
        kind = {"Content-Type": "application/json"}
        item = page.evaluate(FETCH, ["POST", "/items", '{"stock":5}', kind])["item"]
        page.evaluate(FETCH, ["GET", f"/items/{item}", None, {}])
        body = json.dumps({"order_id": str(uuid.uuid4()), "item": item, "qty": 1})
        signature = hmac.new(running.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
        page.evaluate(FETCH, ["POST", "/order", body, kind | {"X-Signature": signature}])
        page.evaluate(FETCH, ["GET", f"/items/{item}", None, {}])
        context.close()
        browser.close()


def filled_in(text: str) -> str:
    """What a person does with the TODOs: the limit, the reset and the secret are told, the rest is confirmed."""
    commented = re.compile(r"^# (?=\[limits\]|effects = 5 |per = |\[reset\]|request = \"POST /\.\.\.\")", re.MULTILINE)
    text = text.replace("# settle_ms = 40", "settle_ms = 0")
    text = commented.sub("", text).replace('"POST /..."', '"POST /__reset"').replace("TOCSIN_SECRET", "LAB_SECRET")
    return re.sub(r" *#.*\bTODO\b.*", "", text)


def test_a_plan_from_a_browsers_archive_scans_with_the_verdicts_that_are_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with start("flask-vulnerable") as running:
        monkeypatch.setenv("LAB_SECRET", running.secret)
        visit(running, tmp_path / "session.har")
        assert main(["plan", "new", "session.har", "-o", "plan.toml"]) == 0
        plan = Path("plan.toml")
        assert main(["plan", "check", "plan.toml"]) == 3
        made = plan.read_text(encoding="utf-8")
        assert running.secret not in made
        plan.write_text(filled_in(made), encoding="utf-8")
        assert main(["plan", "check", "plan.toml", "--probe"]) == 0
        words = ["scan", "plan.toml", "--only", ",".join(CHECKS), "--json", "r.json", "--no-history"]
        code = main(words)
        expected = truths(running.service)
    capsys.readouterr()

    assert "per_effect = -1  # as the source shows it" in made
    findings = json.loads(Path("r.json").read_text(encoding="utf-8"))["findings"]
    wrong = {
        finding["check"]: (finding["verdict"], finding["evidence"]["summary"])
        for finding in findings
        if finding["verdict"] != expected[finding["check"]].verdict
    }
    assert wrong == {}
    assert code == 1
    assert [finding["check"] for finding in findings] == list(CHECKS)
