"""A plan from end to end over TLS and HTTP/2, against a server that is not ours."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived
from h2.settings import SettingCodes

from tests.scan.services.asgi import serving_by_hypercorn
from tests.scan.services.desk import SECRET, Asked, Desk
from tests.scan.services.plans import toml
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import BYPASS, DUPLICATES, LIMITS, Scan, planned, run_plan, tables
from tests.wire.certificates import Certificates, made
from tests.wire.h2_peer import Behaviour, H2Peer, refuse
from tocsin.findings import Verdict
from tocsin.scan import RailError, _allowance, _backoff, _sending, addresses
from tocsin.wire import DeliveryError

pytestmark = pytest.mark.usefixtures("brisk")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost")


def _scanned(
    desk: Desk, certificates: Certificates | None, target: Mapping[str, Any], *checks: str, **settings: Any
) -> Scan:
    with serving_by_hypercorn(desk, certificates, **settings):
        known = {"ca_file": certificates.ca_file} if certificates else {}
        return run_plan(planned(desk, target={"base_url": desk.base_url, **known, **target}), *checks)


def _delivery(found: Scan, *path: str) -> dict[str, Any]:
    delivery: dict[str, Any] = found.fact(*path, "delivery")
    return delivery


@pytest.mark.parametrize(
    ("target", "alpn", "protocol", "because"),
    [
        ({}, ("h2", "http/1.1"), "h2", "h2, which the server chose by ALPN"),
        ({}, ("http/1.1",), "http/1.1", "http/1.1, which the server chose by ALPN"),
        ({"protocol": "http/1.1"}, ("h2", "http/1.1"), "http/1.1", "http/1.1 was asked for"),
        ({"protocol": "h2"}, ("h2", "http/1.1"), "h2", "h2 was asked for"),
    ],
)
def test_a_race_is_found_over_tls_and_the_report_says_how_it_was_delivered(
    certificates: Certificates, target: Mapping[str, Any], alpn: tuple[str, ...], protocol: str, because: str
) -> None:
    found = _scanned(Unlocked(), certificates, target, DUPLICATES, alpn=alpn)

    assert found.finding.verdict is Verdict.VIOLATED
    delivery = _delivery(found, "variants", "identical", "burst")
    assert (delivery["protocol"], delivery["because"]) == (protocol, because)
    assert delivery["proof"] == ("tcp_info" if sys.platform == "linux" else "unverified")
    assert delivery["style"] in {"last-frame", "empty-end", "whole", "record", "last-byte", "threads"}
    assert found.started.delivery == because


def test_a_correct_service_is_clean_over_http_2_by_several_styles(certificates: Certificates) -> None:
    found = _scanned(Desk(), certificates, {}, DUPLICATES)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    bound = found.finding.bound
    assert bound is not None
    assert len({kind.partition(" ")[0] for kind in bound.mixture}) > 1
    styles = found.fact("variants", "identical", "styles")
    assert "set_aside" not in styles
    assert _delivery(found, "variants", "identical")["protocol"] == "h2"


def test_http_2_in_cleartext_is_spoken_where_it_is_asked_for() -> None:
    found = _scanned(Unlocked(), None, {"protocol": "h2c"}, DUPLICATES, LIMITS)

    assert {finding.verdict for finding in found.findings.values()} == {Verdict.VIOLATED}
    assert found.started.delivery == "h2c was asked for"


def test_a_limit_on_streams_is_said_in_the_report() -> None:
    found = _scanned(Unlocked(), None, {"protocol": "h2c"}, DUPLICATES, h2_max_concurrent_streams=10)

    delivery = _delivery(found, "variants", "identical", "burst")
    assert found.finding.verdict is Verdict.VIOLATED
    assert delivery["connections"] > 1
    assert "because of the streams that the server allows" in delivery["because"]


def test_a_certificate_that_nobody_trusts_ends_the_scan_before_it_begins(certificates: Certificates) -> None:
    desk = Desk()
    with serving_by_hypercorn(desk, certificates):
        with pytest.raises(DeliveryError, match="the certificate is not trusted"):
            addresses(planned(desk))
        assert desk.asked == []
        trusting = planned(desk, target={"base_url": desk.base_url, "insecure": True})
        found = run_plan(trusting, DUPLICATES)
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.started.delivery.endswith("; no certificate is verified ([target] insecure = true)")
    assert any("insecure = true" in note for note in trusting.notes)


def test_a_file_of_authorities_is_looked_for_beside_the_plan(certificates: Certificates, tmp_path: Path) -> None:
    desk = Desk()
    with serving_by_hypercorn(desk, certificates):
        plan = planned(desk, target={"base_url": desk.base_url, "ca_file": "ca.pem"})
        with pytest.raises(RailError, match=r"ca\.pem.*wanted a PEM file of authorities"):
            addresses(plan, folder=tmp_path)
        shutil.copy(certificates.ca_file, tmp_path)
        assert addresses(plan, folder=tmp_path)[""].protocol == "h2"


def test_the_command_line_scans_https(certificates: Certificates, tmp_path: Path) -> None:
    shutil.copy(certificates.ca_file, tmp_path)
    desk = Unlocked()
    with serving_by_hypercorn(desk, certificates):
        changed = {"target": {"base_url": desk.base_url, "ca_file": "ca.pem"}, "signing": {"secret": {"env": "S"}}}
        (tmp_path / "desk.toml").write_text(toml(tables(desk, **changed)))
        command = [sys.executable, "-m", "tocsin", "scan", str(tmp_path / "desk.toml"), "--only", DUPLICATES]
        environment = os.environ | {"S": SECRET, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "h2, which the server chose by ALPN" in done.stdout


class H2Desk(Behaviour):
    """A desk behind a front end of HTTP/2 in cleartext, one object for each connection."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.heads: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}

    def asked(self, event: RequestReceived) -> None:
        self.heads[event.stream_id] = {name.decode(): value.decode("latin-1") for name, value in event.headers}

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
        super().data(connection, event)

    def answer(self, connection: H2Connection, number: int) -> None:
        head = self.heads[number]
        asked = Asked(head[":method"], head[":path"], tuple(head.items()), self.bodies.get(number, b""))
        answer = self.desk.answer(asked)
        connection.send_headers(number, [(":status", str(answer.status))])
        connection.send_data(number, json.dumps(answer.document).encode(), end_stream=True)


class ActsOnContentLength(H2Desk):
    """Does not wait for the end of the stream once it has all that Content-Length says."""

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        super().data(connection, event)
        if len(self.bodies[event.stream_id]) == int(self.heads[event.stream_id]["content-length"]):
            self.answer(connection, event.stream_id)

    def complete(self, connection: H2Connection, number: int) -> None:
        if self.heads[number][":method"] == "GET" or not self.bodies.get(number):
            self.answer(connection, number)


def test_a_style_that_the_service_does_not_wait_for_is_not_used_and_that_is_told() -> None:
    desk = Desk()
    with H2Peer(lambda: ActsOnContentLength(desk)) as peer:
        found = run_plan(planned(desk, target={"base_url": str(peer.address), "protocol": "h2c"}), DUPLICATES)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    styles = found.fact("variants", "identical", "styles")
    assert "was answered 200 before the gate opened" in styles["set_aside"]["empty-end"]
    bound = found.finding.bound
    assert bound is not None
    assert {kind.partition(" ")[0] for kind in bound.mixture} == {"last-frame", "whole"}


def test_a_request_that_is_refused_again_and_again_is_not_a_service_that_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A front end may refuse a probe, such as one with a very long header, on every connection."""

    class RefusesForgeries(H2Desk):
        def complete(self, connection: H2Connection, number: int) -> None:
            signature = self.heads[number].get("x-signature", "")
            (self.answer if self.heads[number][":method"] == "GET" or len(signature) in {0, 64} else refuse)(
                connection, number
            )

    monkeypatch.setattr(_sending, "_RETRY_AFTER_S", (0.0,))
    desk = Desk()
    with H2Peer(lambda: RefusesForgeries(desk)) as peer:
        found = run_plan(planned(desk, target={"base_url": str(peer.address), "protocol": "h2c"}), BYPASS)

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.ended.interrupted == ""


# Servers that deliver nothing


class RefusesAllButTheFirst(H2Desk):
    def headers(self, connection: H2Connection, number: int) -> None:
        if number > 1:
            refuse(connection, number)


class RefusesOnceComplete(H2Desk):
    """Looks at one request of a connection only, and says so when it has them all."""

    def complete(self, connection: H2Connection, number: int) -> None:
        (self.answer if number == 1 else refuse)(connection, number)


class HangsUpOnBursts(H2Desk):
    def headers(self, _connection: H2Connection, number: int) -> None:
        if number > 1:
            raise ConnectionResetError


class SaysGoodbyeToBursts(H2Desk):
    def headers(self, connection: H2Connection, number: int) -> None:
        if number > 1:
            connection.close_connection(last_stream_id=1)


class AnswersBurstsEarly(H2Desk):
    def headers(self, connection: H2Connection, number: int) -> None:
        if number > 1:
            connection.send_headers(number, [(":status", "503")], end_stream=True)

    def complete(self, connection: H2Connection, number: int) -> None:
        if number == 1:
            self.answer(connection, number)


class TinyWindow(H2Desk):
    """Two bytes of a body, and for lone requests more as they are read."""

    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = 2
        connection.local_settings.acknowledge()
        connection.initiate_connection()

    def data(self, connection: H2Connection, event: DataReceived) -> None:
        self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
        if event.flow_controlled_length and len(self.heads) == 1:
            connection.increment_flow_control_window(event.flow_controlled_length, event.stream_id)


class OneStreamAtATime(H2Desk):
    """Says that it allows three streams at once, and refuses whatever comes beside another one."""

    def greet(self, connection: H2Connection) -> None:
        connection.local_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 3
        connection.local_settings.acknowledge()
        connection.initiate_connection()

    def headers(self, connection: H2Connection, number: int) -> None:
        if number > 1:
            refuse(connection, number)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (RefusesAllButTheFirst, "was refused by the server"),
        (RefusesOnceComplete, "was refused by the server, so it did not run"),
        (HangsUpOnBursts, "was cut off before the gate opened"),
        (SaysGoodbyeToBursts, "before the gate opened"),
        (AnswersBurstsEarly, "was answered 503 before the gate opened"),
        (TinyWindow, "flow-control window"),
        (OneStreamAtATime, "was refused by the server"),
    ],
)
def test_a_server_that_lets_no_burst_happen_leaves_the_check_open_with_the_reason(
    server: type[H2Desk], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(_backoff, "_LONGEST_HOLD_S", 0.02)
    monkeypatch.setattr(_allowance, "_ANSWER_TIMEOUT_S", 0.5)
    desk = Desk()
    with H2Peer(lambda: server(desk)) as peer:
        target = {"base_url": str(peer.address), "protocol": "h2c"}
        found = run_plan(planned(desk, target=target), DUPLICATES)

    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert any(reason in void for void in found.fact("variants", "identical", "void_bursts"))
    assert found.fact("variants", "identical", "valid_bursts") == 0
