"""Neither the secret nor a live signature is anywhere but on the wire: a scan of everything, and a search of it all."""

import dataclasses
import io
import json
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import FIVE, Scan, planned, scan, tables
from tests.scan.services.serving import serving
from tests.scan.services.stamped import NONCED, STAMPED, Nonced, Stamped
from tocsin.cli import main
from tocsin.report import html, json_report
from tocsin.report.terminal import TerminalReport
from tocsin.scan import plan_from_tables
from tocsin.scan._compose import Composer, Draft
from tocsin.signing import Secret

pytestmark = pytest.mark.usefixtures("brisk")

# The least that a search looks for of a signature: 12 hex digits do not come up by chance.
_PART = 12


class Trusting(Desk):
    """Takes whatever comes, so that every check has something to tell; and echoes what it was sent."""

    def is_signed(self, _asked: Asked) -> bool:
        return True

    def order(self, asked: Asked) -> Answer:
        answer = super().order(asked)
        return Answer(answer.status, {"echo": asked.signature, "headers": dict(asked.headers)}, dict(asked.headers[:0]))


def live(desk: Desk) -> Iterator[str]:
    """Parts of the secret and of every signature that came in, valid or not."""
    yield SECRET
    yield SECRET.encode().hex()
    for asked in desk.asked:
        for name in ("X-Signature", "Stripe-Signature"):
            for value in asked.values(name):
                signature = value.rpartition("=")[2]
                if len(set(signature)) > 4:  # a probe of one letter, repeated, is nobody's signature
                    yield signature[:_PART]
                    yield signature[-_PART:]


def every_text(found: Scan) -> Iterator[str]:
    """All that a report, a log or a debugger could show of a scan."""
    shown = io.StringIO()
    with TerminalReport(Console(file=shown, width=100)) as report:
        for event in found.events:
            report.handle(event)
            yield repr(event)
    yield shown.getvalue()
    run = found.started, list(found.findings.values()), found.ended
    yield json_report.render(*run)
    yield html.render(*run)
    yield json.dumps([dataclasses.asdict(finding) for finding in found.findings.values()], default=str)


@pytest.mark.parametrize(
    ("desk", "signing"),
    [(Unlocked(), {}), (Trusting(), {}), (Stamped(), STAMPED), (Nonced(), NONCED)],
    ids=["racy", "trusting", "stripe", "nonce"],
)
def test_no_event_and_no_report_holds_the_secret_or_a_signature(
    desk: Desk, signing: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    found = scan(desk, *FIVE, signing=signing, budget={"seconds": 8})

    parts = set(live(desk))
    assert len(parts) > 100
    for text in (*every_text(found), caplog.text):
        assert not [part for part in parts if part.lower() in text.lower()]


def test_no_report_of_the_command_does_either_nor_what_it_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERS_SECRET", SECRET)
    monkeypatch.chdir(tmp_path)
    desk = TrustingAnyItem()
    with serving(desk):
        live_request = f"-H 'X-Signature: {'5ec2e7' * 10}' -H 'Authorization: Bearer tr0ub4dor'"
        command = f"curl {desk.base_url}/order {live_request} -d " + """'{"order_id":"{{uuid}}","item":"sku"}'"""
        options = "--scheme hex-sha256-body --secret-env ORDERS_SECRET --pointer /count --accept-effects 300 --quick"
        words = ["scan", "--curl", command, *options.split(), "--state", "GET /count", "--only", ",".join(FIVE)]
        code = main([*words, "--json", "report.json", "--html", "report.html"])

    said = capsys.readouterr()
    reports = [Path(name).read_text(encoding="utf-8") for name in ("report.json", "report.html")]
    assert code == 1, said.err
    parts = {*live(desk), "5ec2e75ec2e7", "tr0ub4dor"}
    for text in (said.out, said.err, *reports):
        assert not [part for part in parts if part.lower() in text.lower()]
    assert "Authorization: ..." in reports[0]
    assert "--secret-env ORDERS_SECRET" in reports[0]


class TrustingAnyItem(Trusting):
    """There is enough of everything."""

    def is_left(self, _order: object) -> bool:
        return True


class Explodes(Desk):
    """Its answers are no readings, so that every check ends with a reason."""

    def read(self, asked: Asked) -> Answer:
        return Answer(200, {"stock": asked.signature + "x", "headers": dict(asked.headers)})


def test_no_reason_repeats_what_a_service_has_echoed() -> None:
    desk = Explodes()
    found = scan(desk, *FIVE, state=[{"request": "GET /items/{{item}}", "pointer": "/stock", "sign": True}])
    parts = set(live(desk))
    assert len(parts) > 2
    for text in every_text(found):
        assert not [part for part in parts if part in text]


def test_no_object_of_a_scan_shows_its_secret_to_a_debugger() -> None:
    desk = Desk()
    desk.base_url = "http://127.0.0.1:8000"
    plan = planned(desk)
    composer = Composer(plan, Secret(SECRET.encode()), {"": "127.0.0.1:8000"})
    shot = composer.shot(Draft({"uuid": "u", "item": "i"}), at=0)
    assert SECRET not in f"{plan!r} {shot!r} {vars(composer)!r} {composer.secret!r}"


def test_a_plan_that_is_refused_does_not_show_its_literal_secret() -> None:
    desk = Desk()
    desk.base_url = "http://127.0.0.1:8000"
    for signing in (
        {"secret": SECRET},
        {"secret": [SECRET]},
        {"secret": {"value": SECRET}, "hash": "md5"},
        {"secret": {"value": SECRET}, "secret_encoding": 1},
        {"secret": {"value": [SECRET]}},
    ):
        try:
            planned(desk, signing=signing)
            plan_from_tables(tables(desk, signing=signing), "x")
        except ValueError as error:
            assert SECRET not in "".join(traceback.format_exception(error))  # noqa: PT017  one of them is refused later
