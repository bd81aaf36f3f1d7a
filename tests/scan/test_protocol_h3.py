"""A plan from end to end over HTTP/3, against a server that is not ours, and against ones that let no burst happen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scan.services.asgi import serving_by_hypercorn
from tests.scan.services.desk import SECRET, Asked, Desk
from tests.scan.services.plans import toml
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, planned, run_plan, tables
from tests.wire.certificates import Certificates, made
from tests.wire.h3_peer import Behaviour, H3Peer
from tocsin.findings import Verdict
from tocsin.scan import _backoff, addresses
from tocsin.wire import DeliveryError

pytestmark = pytest.mark.usefixtures("brisk")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost")


@pytest.mark.parametrize(("service", "verdict"), [(Unlocked, Verdict.VIOLATED), (Desk, Verdict.NOT_OBSERVED)])
def test_http_3_is_spoken_where_it_is_asked_for_and_the_report_says_how_it_was_delivered(
    certificates: Certificates, service: type[Desk], verdict: Verdict
) -> None:
    desk = service()
    with serving_by_hypercorn(desk, certificates, protocol="h3"):
        asked = {"base_url": desk.base_url, "ca_file": certificates.ca_file, "protocol": "h3"}
        found = run_plan(planned(desk, target=asked), DUPLICATES)

    assert found.finding.verdict is verdict
    where = ("burst",) if verdict is Verdict.VIOLATED else ()
    delivery = found.fact("variants", "identical", *where, "delivery")
    assert (delivery["protocol"], delivery["proof"], delivery["because"]) == ("h3", "unverified", "h3 was asked for")
    assert delivery["style"] in {"last-frame", "empty-end", "whole"}
    assert delivery["datagrams"] >= 1
    assert found.started.delivery == "h3 was asked for"


def test_a_server_of_http_3_is_not_asked_for_it_by_itself(certificates: Certificates) -> None:
    """Nothing listens on TCP at that port: "auto" does not try UDP instead."""
    desk = Desk()
    with serving_by_hypercorn(desk, certificates, protocol="h3"):
        known = {"base_url": desk.base_url, "ca_file": certificates.ca_file}
        with pytest.raises(DeliveryError, match="connection was refused"):
            addresses(planned(desk, target=known))
        assert addresses(planned(desk, target={**known, "protocol": "h3"}))[""].protocol == "h3"


def _commanded(
    desk: Desk, certificates: Certificates, folder: Path, *options: str, before: str = ""
) -> "subprocess.CompletedProcess[str]":
    """`tocsin scan` on a plan for a desk that is being served over HTTP/3."""
    shutil.copy(certificates.ca_file, folder)
    changed = {"target": {"base_url": desk.base_url, "ca_file": "ca.pem"}, "signing": {"secret": {"env": "S"}}}
    (folder / "desk.toml").write_text(toml(tables(desk, **changed)))
    code = f"{before}\nimport sys\nfrom tocsin.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "scan", str(folder / "desk.toml"), "--only", DUPLICATES, "--quick", *options]
    environment = os.environ | {"S": SECRET, "HOME": str(folder), "XDG_STATE_HOME": str(folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_scans_http_3(certificates: Certificates, tmp_path: Path) -> None:
    desk = Unlocked()
    with serving_by_hypercorn(desk, certificates, protocol="h3"):
        done = _commanded(desk, certificates, tmp_path, "--protocol", "h3")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "h3 was asked for" in done.stdout
    assert "--protocol h3" in done.stdout


_NO_AIOQUIC = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "aioquic":
            raise ModuleNotFoundError("No module named 'aioquic'", name="aioquic")

sys.meta_path.insert(0, Missing())
"""


def test_without_the_extra_one_error_says_how_to_install_it_and_nothing_is_sent(
    certificates: Certificates, tmp_path: Path
) -> None:
    desk = Unlocked()
    with serving_by_hypercorn(desk, certificates, protocol="h3"):
        done = _commanded(desk, certificates, tmp_path, "--protocol", "h3", before=_NO_AIOQUIC)
        assert desk.asked == []
    assert done.returncode == 2
    assert "HTTP/3 needs aioquic, and it is not installed: pip install 'tocsin[http3]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_protocol_that_nobody_speaks_is_refused_with_those_that_are_spoken(
    certificates: Certificates, tmp_path: Path
) -> None:
    desk = Desk()
    desk.base_url = "https://127.0.0.1:1"
    done = _commanded(desk, certificates, tmp_path, "--protocol", "3")
    assert done.returncode == 2
    assert "--protocol 3: wanted one of auto, http/1.1, h2, h2c, h3" in done.stderr
    desk.base_url = "http://127.0.0.1:1"
    done = _commanded(desk, certificates, tmp_path, "--protocol", "h3")
    assert "--protocol h3 with http://127.0.0.1:1: wanted a base_url of https" in done.stderr


# Servers that deliver nothing


class _H3Desk(Behaviour):
    """A desk behind a front end of HTTP/3."""

    desk: Desk

    def answer(self, number: int) -> None:
        head = self.seen.heads[number]
        asked = Asked(head[":method"], head[":path"], tuple(head.items()), self.seen.bodies[number])
        answer = self.desk.answer(asked)
        self.http.send_headers(number, [(b":status", b"%d" % answer.status)])
        self.http.send_data(number, json.dumps(answer.document).encode(), end_stream=True)


class _OnlyTheFirst(_H3Desk):
    def complete(self, number: int) -> None:
        if number == 0:
            self.answer(number)


class _RefusesAllButTheFirst(_OnlyTheFirst):
    def headers(self, number: int) -> None:
        if number > 0:
            self.refuse(number)


class _AnswersBurstsEarly(_OnlyTheFirst):
    def headers(self, number: int) -> None:
        if number > 0:
            self.http.send_headers(number, [(b":status", b"503")], end_stream=True)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (_RefusesAllButTheFirst, "was refused by the server"),
        (_AnswersBurstsEarly, "was answered 503 before the gate opened"),
    ],
)
def test_a_server_that_lets_no_burst_happen_leaves_the_check_open_with_the_reason(
    certificates: Certificates, server: type[_H3Desk], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backoff, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(_backoff, "_LONGEST_HOLD_S", 0.02)
    desk = Desk()
    monkeypatch.setattr(_H3Desk, "desk", desk, raising=False)
    with H3Peer(certificates, server) as peer:
        asked = {"base_url": str(peer.address), "ca_file": certificates.ca_file, "protocol": "h3"}
        found = run_plan(planned(desk, target=asked), DUPLICATES)

    assert found.finding.verdict is Verdict.INCONCLUSIVE
    assert any(reason in void for void in found.fact("variants", "identical", "void_bursts"))
    assert found.fact("variants", "identical", "valid_bursts") == 0
