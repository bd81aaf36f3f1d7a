"""The rails, as the machine sees them: no socket, no name lookup, no connection where none is allowed."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.plans import shortest, toml
from tests.scan.services.scanning import BYPASS, DUPLICATES, FIVE, TOTAL, scan
from tests.scan.services.serving import serving
from tocsin.findings import Verdict
from tocsin.scan import CHECKS

# Every event of the interpreter's own socket module: making a socket, looking a name up, connecting, sending.
RECORDER = """
import json, sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("socket.") else None)
from tocsin.cli import main
print(json.dumps([main(json.loads(sys.argv[1])), sorted(set(seen))]))
"""


def recorded(words: Sequence[str]) -> tuple[int, list[str], str]:
    """Exit code, socket events and standard error of a command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RECORDER, json.dumps(["scan", *words])],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        env=os.environ | {"ORDERS_SECRET": "a secret of the tests"},
    )
    code, events = json.loads(done.stdout.splitlines()[-1])
    return code, events, done.stderr


@pytest.mark.parametrize(
    "changed",
    [
        {"target": {"base_url": "http://shop.example"}},
        {"target": {"base_url": "http://localhost.evil.example"}},
        {"target": {"base_url": "http://2130706433:8000"}},
        {"target": {"base_url": "http://user@127.0.0.1:8000"}},
        {"state": [{"request": "GET http://shop.example/count"}]},
        {"setup": [{"request": "POST http://shop.example/items"}]},
        {"reset": {"request": "POST http://shop.example/reset"}},
        {"target": {"base_url": "http://127.0.0.1:8000", "authorized_for": "shop.example"}},
        {"target": {"base_url": "http://127.0.0.1:8000", "nodes": ["http://shop.example"]}},
        {"teardown": [{"request": "POST http://shop.example/reset"}]},
        {"state": [{"sql": "SELECT 1", "database": "postgresql://127.0.0.1:9/x"}]},
        {"state": [{"command": ["sh", "-c", "echo ran > ran"]}]},
        {"mix": [{"request": "POST http://127.0.0.1:8000/cancel"}, {"request": "POST http://shop.example/cancel"}]},
        {},
    ],
)
def test_a_refused_scan_makes_no_socket_and_looks_no_name_up(changed: dict[str, object], tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    granted = {"reset": {"request": "POST /reset"}} if changed else {}
    plan.write_text(toml(shortest() | granted | changed), encoding="utf-8")

    code, events, said = recorded([str(plan)])

    assert (code, events) == (2, [])
    assert said.startswith("tocsin: ")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


def test_the_recorder_sees_what_an_allowed_scan_does(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(toml(shortest() | {"target": {"base_url": "http://localhost:1"}}), encoding="utf-8")

    code, events, _ = recorded([str(plan), "--accept-effects", "5"])

    assert code == 3
    assert {"socket.__new__", "socket.connect", "socket.getaddrinfo"} <= set(events)


def test_a_dry_run_makes_no_socket_whatever_the_plan_names(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(toml(shortest() | {"target": {"base_url": "http://shop.example"}}), encoding="utf-8")

    assert recorded([str(plan), "--dry-run"])[:2] == (0, [])


class Redirecting(Desk):
    """Sends everybody to another desk, where the effect would be."""

    def __init__(self, elsewhere: Desk, path: str) -> None:
        super().__init__()
        self.elsewhere = elsewhere
        self.path = path

    def answer(self, asked: Asked) -> Answer:
        answer = super().answer(asked)
        if asked.path.startswith(self.path):
            return Answer(307, None, {"Location": f"{self.elsewhere.base_url}{asked.target}"})
        return answer


@pytest.mark.parametrize("path", ["/order", "/items", "/__reset", "/items/"])
def test_no_redirect_is_followed_neither_for_the_operation_nor_around_it(path: str) -> None:
    elsewhere = Desk()
    with serving(elsewhere):
        found = scan(Redirecting(elsewhere, path), DUPLICATES)

    assert elsewhere.asked == []
    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert "answered 307" in found.finding.evidence.summary


def test_proxy_variables_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, desk = Desk(), Desk()
    with serving(proxy):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.setenv("NO_PROXY", "")
        found = scan(desk, BYPASS)

    assert proxy.asked == []
    assert found.finding.verdict is Verdict.NOT_OBSERVED


def test_a_scan_sends_no_more_requests_than_its_budget_and_its_reset_is_among_them() -> None:
    for budget in (7, 60):
        desk = Desk()
        found = scan(desk, *FIVE, budget={"requests": budget})

        assert len(desk.asked) == found.ended.requests <= budget
        assert desk.asked[-1].path == "/__reset"
        for finding in found.findings.values():
            assert f"the budget of {budget} requests is used up" in finding.evidence.summary


def test_a_scan_makes_no_more_effects_than_were_accepted() -> None:
    class Forgetful(Desk):
        """Remembers nothing, so that every request that is sent takes effect."""

        def is_new(self, *_: object) -> bool:
            return True

        def is_left(self, _order: object) -> bool:
            return True

    for accepted in (1, 24):
        desk = Forgetful()
        found = scan(
            desk, *FIVE, accept_effects=accepted, reset=None, setup=None, limits=None, state=[TOTAL], request=PLAIN
        )

        assert desk.taken <= accepted
        assert found.ended.effects <= accepted
        assert f"{found.ended.effects} effects that were read" in found.ended.left_behind


EVERY_SECTION: dict[str, Any] = {
    "request": {"body": '{"order_id":"{{uuid}}","item":"any","seq":{{seq}}}'},
    "identity": {"variables": ["uuid"]},
    "variables": {"seq": {"fresh": "counter"}},
    "invariant": [{"request": "GET /count", "sum_of": ["/count"], "equals": 0}],
    "sequence": {"variable": "seq", "applied": {"request": "GET /count", "pointer": "/count"}},
    "mix": [{"request": "POST /order"}],
    "state": [TOTAL],
    "setup": None,
    "limits": None,
}


@pytest.mark.usefixtures("brisk")
@pytest.mark.parametrize("check", [check.id for check in CHECKS])
def test_no_check_makes_more_effects_or_sends_more_requests_than_it_may(check: str) -> None:
    class Forgetful(Desk):
        """Remembers nothing, verifies nothing: every request that is sent takes effect."""

        def is_signed(self, _asked: Asked) -> bool:
            return True

        def is_new(self, *_: object) -> bool:
            return True

        def is_left(self, _order: object) -> bool:
            return True

        def take(self, order: Any) -> None:
            super().take({"order_id": "x", "item": "any"} | (order if isinstance(order, dict) else {}))

    for accepted, requests in ((13, 100), (900, 31)):
        desk = Forgetful()
        found = scan(desk, check, accept_effects=accepted, reset=None, budget={"requests": requests}, **EVERY_SECTION)
        assert desk.taken <= accepted
        assert len(desk.asked) == found.ended.requests <= requests


PLAIN = {"body": '{"order_id":"{{uuid}}","item":"any"}'}
