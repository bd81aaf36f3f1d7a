"""A sending ends in time, goes to its destination alone, and leaves nothing behind."""

import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import pytest

from bench.outboxing import receiver
from bench.outboxing.places import SECRET
from bench.outboxing.receiver import STANDARD, Delivery, receiving
from tests.outbox.conftest import Place
from tests.outbox.contract import put
from tests.wire.certificates import made
from tocsin.outbox import Retries, State
from tocsin.outbox._delivery import Destination
from tocsin.outbox._runner import Options, Runner

ONCE = Options(Retries((), lambda: 0.5))


class _Drip(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        until = monotonic() + receiver.PATIENCE_S
        self.request.settimeout(0.01)
        with suppress(ConnectionError):
            self.request.sendall(b"HTTP/1.1 204 No Content\r\nX: ")
            while monotonic() < until:
                with suppress(TimeoutError):
                    if not self.request.recv(65536):
                        return
                self.request.sendall(b"a")
            self.request.sendall(b"\r\n\r\n")


class _Drips(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def dripping() -> Iterator[str]:
    """The URL of a receiver whose answer comes octet after octet, for as long as somebody waits for its end."""
    with _Drips(("127.0.0.1", 0), _Drip) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def run(place: Place, url: str, **more: float) -> None:
    Runner(place.outbox, [Destination("partner", url, STANDARD, SECRET, workers=1, **more)], ONCE).run_once()


def test_an_answer_that_never_ends_is_cut_off_and_settled(file_place: Place) -> None:
    put(file_place, "partner", "partner")
    with dripping() as url:
        run(file_place, url, timeout_s=0.2)
    with file_place.outbox.connected() as session:
        ended = [(one.state, one.attempts, one.error) for one in session.list()]
    assert ended == [(State.DEAD, 1, "no answer within 0.2 s")] * 2


def test_a_message_goes_to_no_proxy_of_the_environment(file_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as partner:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        put(file_place, "partner")
        run(file_place, partner.url)
    assert (len(proxy.came), len(partner.came)) == (0, 1)


def test_the_environment_says_which_certificates_are_trusted(
    tmp_path: Path, file_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = made(tmp_path, "127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    with receiving(tls=tls) as partner:
        for ca_file, came in [(None, 0), (certificates.ca_file, 1)]:
            if ca_file is not None:
                monkeypatch.setenv("SSL_CERT_FILE", ca_file)
            put(file_place, "partner")
            run(file_place, partner.url)
            assert len(partner.came) == came


def test_no_log_names_the_url(file_place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with receiving() as partner:
        put(file_place, "partner")
        run(file_place, f"{partner.url}?token=canary-7d1f")
        assert len(partner.came) == 1
    assert "delivered at attempt 1" in caplog.text
    assert "canary" not in caplog.text


def test_a_receiver_does_not_get_back_what_it_answers(file_place: Place) -> None:
    def answers(_delivery: Delivery) -> tuple[int, dict[str, str]]:
        return 204, {"Set-Cookie": "session=1"}

    with receiving(answers) as partner:
        put(file_place, "partner", "partner")
        run(file_place, partner.url)
        assert [one.headers.get("cookie") for one in partner.came] == [None, None]
