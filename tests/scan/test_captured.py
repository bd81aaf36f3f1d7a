"""A captured request, already signed, and no secret: what can still be asked."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, REPLAYS, Scan
from tests.scan.services.serving import serving
from tocsin.events import Event
from tocsin.findings import Verdict
from tocsin.scan import (
    CHECKS,
    Options,
    PlanError,
    addresses,
    authorise,
    beside,
    describe,
    plan_from_tables,
    rehearse,
    senders,
)
from tocsin.scan import run as run_scan

BODY = '{"order_id":"captured-1","item":"sku-1"}'
SIGNATURE = hmac.new(SECRET.encode(), BODY.encode(), hashlib.sha256).hexdigest()
RAW = f"POST /order?x=1 HTTP/1.1\r\nHost: shop.example\r\nX-Signature: {SIGNATURE}\r\nContent-Length: 3\r\n\r\n{BODY}"
HAR = {
    "log": {
        "entries": [
            {"request": {"method": "GET", "url": "http://shop.example/a#b", "headers": []}},
            {
                "request": {
                    "method": "POST",
                    "url": "http://shop.example/order?x=1",
                    "headers": [{"name": ":method", "value": "POST"}, {"name": "X-Signature", "value": SIGNATURE}],
                    "postData": {"text": BODY},
                }
            },
        ]
    }
}
CURL = f"curl http://shop.example/order?x=1 -H 'X-Signature: {SIGNATURE}' -d '{BODY}'"


class Stocked(Desk):
    """There is a sku-1 from the beginning, and again after a reset that remembers the orders."""

    forgets = False

    def __init__(self, *, stock: int = 5) -> None:
        super().__init__(stock=stock)
        self.stock["sku-1"] = stock

    def reset(self) -> Answer:
        self.stock["sku-1"] = 5
        if self.forgets:
            self.orders.clear()
        return Answer(204)


class Forgetful(Stocked):
    forgets = True


class Unlatched(Unlocked, Stocked):
    """Looks, then writes."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "order.http").write_bytes(RAW.encode())
    (tmp_path / "order.har").write_text(json.dumps(HAR))
    (tmp_path / "order.curl").write_text(CURL)
    return tmp_path


def tables(**captured: Any) -> dict[str, Any]:
    return {
        "target": {"base_url": "http://127.0.0.1:8000"},
        "captured": captured or {"raw": "order.http"},
        "state": [
            {"name": "stock", "request": "GET /items/sku-1", "pointer": "/stock", "per_effect": -1, "settle_ms": 0}
        ],
        "reset": {"request": "POST /__reset"},
        "budget": {"seconds": 5},
    }


def asked(
    desk: Desk, folder: Path, *checks: str, reset: bool = True, seconds: float = 3, requests: int = 20_000
) -> Scan:
    with serving(desk):
        budget = {"seconds": seconds, "requests": requests}
        document = tables() | {"target": {"base_url": desk.base_url}, "budget": budget}
        if not reset:
            del document["reset"]
        plan = plan_from_tables(document, "captured.toml", files=beside(folder))
        rehearse(plan)
        plan = authorise(plan, [], accept_effects=None if reset else 50)
        events: list[Event] = []
        chosen = [check for check in CHECKS if check.id in checks]
        secret, *others = senders(plan, folder)
        run_scan(plan, secret, addresses(plan), Options(chosen, 1, ("tocsin",)), events.append, others=others)
    return Scan(tuple(events))


@pytest.mark.parametrize(
    "captured", [{"raw": "order.http"}, {"curl": "order.curl"}, {"har": "order.har", "entry": 1}], ids=str
)
def test_from_curl_raw_http_and_har_comes_the_same_message(captured: dict[str, Any], folder: Path) -> None:
    message = plan_from_tables(tables(**captured), "x", files=beside(folder)).captured
    assert message is not None
    assert (message.method, message.target, message.body) == ("POST", "/order?x=1", BODY.encode())
    assert message.values("X-Signature") == (SIGNATURE,)
    assert message.values("Host") == message.values("Content-Length") == ()


def test_what_an_editor_has_saved_with_bare_line_feeds_is_read_as_well(folder: Path) -> None:
    (folder / "order.http").write_bytes(RAW.replace("\r\n", "\n").encode())
    message = plan_from_tables(tables(), "x", files=beside(folder)).captured
    assert message is not None
    assert message.body == BODY.encode()


def test_a_service_that_remembers_lets_one_burst_through_and_that_is_the_bound(folder: Path) -> None:
    found = asked(Stocked(), folder, DUPLICATES, REPLAYS)
    duplicates, replays = found.findings[DUPLICATES], found.findings[REPLAYS]
    assert duplicates.verdict is replays.verdict is Verdict.NOT_OBSERVED
    assert duplicates.bound is not None
    assert duplicates.bound.trials == 1
    assert duplicates.bound.upper_limit == pytest.approx(0.95)
    assert replays.bound is not None
    assert replays.bound.trials > 8
    assert SIGNATURE not in repr(found.events)


def test_without_a_reset_there_is_one_burst_and_a_reset_that_forgets_makes_more(folder: Path) -> None:
    once = asked(Stocked(), folder, DUPLICATES, reset=False)
    assert "no [reset] makes it new again" in once.finding.evidence.summary
    more = asked(Forgetful(), folder, DUPLICATES, seconds=1.5)
    assert more.finding.bound is not None
    assert more.finding.bound.trials > 3


def test_a_budget_that_ends_leaves_the_bursts_before_it_worth_what_they_are(folder: Path) -> None:
    finding = asked(Forgetful(), folder, DUPLICATES, seconds=30, requests=40).finding
    assert finding.verdict is Verdict.NOT_OBSERVED
    assert finding.bound is not None
    assert 1 <= finding.bound.trials <= 3
    assert "the budget of 40 requests is used up" in finding.evidence.summary


def test_a_race_is_found_with_one_captured_message(folder: Path) -> None:
    found = asked(Unlatched(), folder, DUPLICATES)
    assert found.finding.verdict is Verdict.VIOLATED
    assert "captured requests at once had" in found.finding.evidence.summary


def test_a_replay_is_found_with_one_captured_message(folder: Path) -> None:
    class Never(Stocked):
        def is_new(self, *_: object) -> bool:
            return True

    assert asked(Never(), folder, REPLAYS).finding.verdict is Verdict.VIOLATED
    assert asked(Stocked(), folder, REPLAYS).finding.verdict is Verdict.NOT_OBSERVED


def test_a_message_that_was_delivered_before_tells_nothing(folder: Path) -> None:
    desk = Stocked()
    desk.orders["captured-1"] = 1
    found = asked(desk, folder, DUPLICATES, REPLAYS)
    assert {finding.verdict for finding in found.findings.values()} == {Verdict.INCONCLUSIVE}
    for finding in found.findings.values():
        assert "captured before it was delivered" in finding.evidence.summary


def test_a_limiter_that_turns_all_replays_away_leaves_it_open(folder: Path) -> None:
    class Once(Stocked):
        def order(self, asked: Asked) -> Answer:
            return super().order(asked) if self.taken == 0 else Answer(429)

    finding = asked(Once(), folder, REPLAYS).finding
    assert "a rate limiter turned all 8 replays away" in finding.evidence.summary


def test_every_other_check_says_that_it_needs_a_secret(folder: Path) -> None:
    others = [check.id for check in CHECKS if check.id not in {DUPLICATES, REPLAYS}]
    found = asked(Stocked(), folder, *others)
    assert {finding.verdict for finding in found.findings.values()} == {Verdict.NOT_APPLICABLE}
    assert "add [signing] with a secret" in found.findings["over-allocation"].evidence.summary


def test_a_dry_run_shows_what_was_captured_and_no_signature(folder: Path) -> None:
    said = describe(plan_from_tables(tables(), "x", files=beside(folder)), Options(CHECKS, 1, ()))
    assert "Sent as it was captured\n  POST /order?x=1\n" in said
    assert SIGNATURE not in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"captured": {}}, "[captured]: wanted one of curl, raw, har, not none"),
        ({"captured": {"raw": "a", "har": "b"}}, "[captured]: wanted one of curl, raw, har, not raw and har"),
        ({"captured": {"raw": "order.http", "entry": 1}}, "[captured] entry goes with har, not with raw"),
        ({"captured": {"raw": "../../etc/passwd"}}, "the plan names the file ../../etc/passwd: wanted one in its own"),
        ({"captured": {"raw": "/etc/passwd"}}, "the plan names the file /etc/passwd: wanted one in its own folder"),
        ({"captured": {"raw": "none.http"}}, "the plan names the file none.http: No such file or directory"),
        ({"captured": {"har": "order.har"}}, "[captured] har order.har has 2 entries: wanted entry = N (0: GET /a, 1:"),
        ({"captured": {"har": "order.har", "entry": 9}}, "[captured] har order.har has 2 entries"),
        ({"captured": {"har": "order.http"}}, "[captured] har order.http: not an HTTP archive"),
        ({"captured": {"har": "odd.har"}}, "[captured] har odd.har has 2 entries: wanted entry = N (0: is no request"),
        ({"captured": {"har": "odd.har", "entry": 0}}, "[captured] har odd.har: entry 0 is no request of an archive"),
        ({"captured": {"har": "odd.har", "entry": 1}}, "[captured] har odd.har: entry 1 3 octets were sent and the"),
        ({"captured": {"har": "many.har"}}, "[captured] har many.har has 11 entries: wanted entry = N (0 to 10)"),
        ({"captured": {"har": "number.har"}}, "[captured] har number.har: not an HTTP archive: wanted JSON with"),
        ({"captured": {"curl": "order.har"}}, "[captured] curl order.har: "),
        ({"captured": {"curl": "latin"}}, "[captured] curl latin: not UTF-8"),
        ({"captured": {"raw": "order.curl"}}, "[captured] raw order.curl: its first line is none of a request"),
        ({"captured": {"raw": "headless"}}, "[captured] raw headless: a line of its head is no header"),
        ({"captured": {"raw": "huge"}}, "the plan names the file huge: it is longer than"),
        ({"signing": {"secret": {"env": "X"}}}, "the plan has [signing] and [captured]: wanted one of them"),
        ({"mix": []}, "[mix] makes requests of its own: wanted [signing] with a secret"),
        ({"request": {"path": "/a"}}, '[request] has an unknown key "path"'),
    ],
)
def test_a_capture_that_is_no_single_request_beside_the_plan_is_refused(
    changed: dict[str, Any], said: str, folder: Path
) -> None:
    (folder / "latin").write_bytes(b"curl http://a/\xe9")
    cut = {"method": "POST", "url": "http://a/", "headers": [], "bodySize": 3}
    (folder / "odd.har").write_text(json.dumps({"log": {"entries": [1, {"request": cut}]}}))
    (folder / "many.har").write_text(json.dumps({"log": {"entries": [{"request": cut}] * 11}}))
    (folder / "number.har").write_text("1")
    (folder / "headless").write_bytes(b"GET / HTTP/1.1\r\nnothing\r\n\r\n")
    with (folder / "huge").open("wb") as file:
        file.truncate(11 * 1024 * 1024)
    with pytest.raises(PlanError) as refused:
        plan_from_tables(tables() | changed, "x", files=beside(folder))
    assert str(refused.value).startswith(said)


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "out").symlink_to("/etc/hostname")
    with pytest.raises(PlanError, match="wanted one in its own folder"):
        plan_from_tables(tables(raw="out"), "x", files=beside(folder))


def test_one_entry_needs_no_number_and_a_plan_without_a_folder_has_no_files(folder: Path) -> None:
    one = {"log": {"entries": HAR["log"]["entries"][1:]}}
    (folder / "one.har").write_text(json.dumps(one))
    message = plan_from_tables(tables(har="one.har"), "x", files=beside(folder)).captured
    assert message is not None
    assert message.method == "POST"
    with pytest.raises(PlanError, match="only a plan that is a file itself has files beside it"):
        plan_from_tables(tables(), "x")
