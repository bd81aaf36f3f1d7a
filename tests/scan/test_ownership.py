"""A host shows the token before anything else is sent, or its name does, or nothing is."""

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from tests.scan.services.commanding import plan, said
from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.scanning import BYPASS, planned
from tests.scan.services.serving import serving
from tocsin.scan import RailError, _ownership, addresses, prove_ownership
from tocsin.wire import Address

TOKEN = "owned-by-the-desk-2026"


class Owned(Desk):
    """Shows what is in its well-known place."""

    shown = f"other-token-of-the-desk\n{TOKEN}\n"
    status = 200

    def answer(self, asked: Asked) -> Answer:
        if asked.path == "/.well-known/tocsin-ownership":
            self.asked.append(asked)
            return Answer(self.status, self.shown)
        return super().answer(asked)


class Lines(Owned):
    """JSON writes line ends as two characters: the desk shows the token alone, in quotes that belong to it."""

    shown = TOKEN


def proved(desk: Desk, token: str) -> None:
    with serving(desk):
        prove_ownership(addresses(planned(desk)), token)


def test_a_host_that_shows_the_token_as_a_line_has_agreed() -> None:
    desk = Lines()
    proved(desk, f'"{TOKEN}"')
    assert [asked.path for asked in desk.asked] == ["/.well-known/tocsin-ownership"]


class Moved(Owned):
    """Answers as if the token were elsewhere, with it in the body all the same."""

    shown = TOKEN
    status = 302


@pytest.mark.parametrize("desk", [Desk(), Lines(), Moved()], ids=lambda desk: type(desk).__name__)
def test_a_host_that_shows_no_or_another_token_or_points_elsewhere_has_not(desk: Desk) -> None:
    token = f'"{TOKEN}"' if isinstance(desk, Moved) else f'"{TOKEN[:-1]}"'
    with pytest.raises(RailError, match="does not prove its ownership: wanted the token as a line of"):
        proved(desk, token)


def test_a_host_that_does_not_answer_has_not_either() -> None:
    desk = Desk()
    with serving(desk):
        found = addresses(planned(desk))
    with pytest.raises(RailError, match="does not prove its ownership: "):
        prove_ownership(found, TOKEN)


@pytest.mark.parametrize(
    "token", ["", "short", "fifteen-letters", "a token with an \u00e9 in it", "a\ttabulator in it...."]
)
def test_a_token_that_anybody_might_show_is_refused(token: str) -> None:
    with pytest.raises(RailError, match="wanted a token of at least 16 printable characters"):
        prove_ownership({}, token)


@pytest.mark.usefixtures("elsewhere", "brisk")
def test_the_command_sends_nothing_else_until_then(capsys: pytest.CaptureFixture[str]) -> None:
    desk = Lines()
    with serving(desk):
        name = plan(desk)
        code, _, err = said(capsys, name, "--only", BYPASS, "--ownership-proof", TOKEN)
        assert (code, len(desk.asked)) == (2, 1)
        assert "does not prove its ownership" in err
        assert said(capsys, name, "--only", BYPASS, "--ownership-proof", f'"{TOKEN}"')[0] == 0


NAME = "_tocsin-ownership.shop.example."


class NameServer:
    """A small name server on loopback, UDP and TCP on one port: one name, and what it says of it.

    Args:
        records: of the name, each as zone files have it.
        code: answered for whatever is asked; NXDOMAIN for any other name.
        cuts: whether answers over UDP say that they are too long, as they do above 512 octets.
        answers: False: it reads and says nothing.
    """

    def __init__(
        self, *records: str, code: dns.rcode.Rcode = dns.rcode.NOERROR, cuts: bool = False, answers: bool = True
    ) -> None:
        self.records, self.code, self.cuts, self.answers = records, code, cuts, answers
        self.asked: list[str] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=serve) for serve in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for end in (self._udp, self._tcp):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def answer(self, octets: bytes, *, over_udp: bool) -> bytes:
        query = dns.message.from_wire(octets)
        [question] = query.question
        self.asked.append(question.name.to_text())
        answer = dns.message.make_response(query)
        answer.set_rcode(self.code if question.name.to_text() == NAME else dns.rcode.NXDOMAIN)
        if over_udp and self.cuts:
            answer.flags |= dns.flags.TC
        elif self.records and question.name.to_text() == NAME:
            answer.answer.append(dns.rrset.from_text_list(NAME, 60, "IN", "TXT", self.records))
        return answer.to_wire()

    def _serve_udp(self) -> None:
        with suppress(OSError):
            while True:
                octets, peer = self._udp.recvfrom(4096)
                if not octets:
                    return
                if self.answers:
                    self._udp.sendto(self.answer(octets, over_udp=True), peer)

    def _serve_tcp(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._tcp.accept()
                with connection:
                    octets = connection.recv(4096)
                    told = self.answer(octets[2:], over_udp=False)
                    connection.sendall(len(told).to_bytes(2, "big") + told)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[NameServer]:
    """The one that this test's system asks."""
    server: NameServer = request.param()

    class ThisSystem(dns.resolver.Resolver):
        def __init__(self) -> None:
            super().__init__(configure=False)
            self.nameservers, self.port = ["127.0.0.1"], server.port

    monkeypatch.setattr(dns.resolver, "Resolver", ThisSystem)
    yield server
    server.close()


def proved_by_name(desk: Desk, host: str = "shop.example") -> None:
    with serving(desk):
        here = addresses(planned(desk))[""]
        prove_ownership({"": Address("http", host, here.port, here.ip)}, TOKEN)


@pytest.mark.parametrize(
    "name_server",
    [
        lambda: NameServer('"another token of the shop"', f'"{TOKEN}"'),
        # A TXT record is several strings of at most 255 octets each, which belong together (RFC 7208 section 3.3).
        lambda: NameServer(f'"{TOKEN[:5]}" "{TOKEN[5:]}"'),
        lambda: NameServer(f'"{TOKEN}"', cuts=True),
    ],
    ids=["among others", "in two strings", "by TCP"],
    indirect=True,
)
def test_a_host_whose_name_shows_the_token_has_agreed(name_server: NameServer) -> None:
    desk = Desk()
    proved_by_name(desk)
    assert set(name_server.asked) == {NAME}
    assert [asked.path for asked in desk.asked] == ["/.well-known/tocsin-ownership"]


@pytest.mark.parametrize(
    ("name_server", "said"),
    [
        (
            lambda: NameServer(f'"{TOKEN[:-1]}"', f'"x{TOKEN}"'),
            "no TXT record of _tocsin-ownership.shop.example is the",
        ),
        (NameServer, "no TXT record of _tocsin-ownership.shop.example was found"),
        (lambda: NameServer(code=dns.rcode.NXDOMAIN), r"was found \(NXDOMAIN\)"),
        (lambda: NameServer(code=dns.rcode.SERVFAIL), r"was found \(NoNameservers\)"),
        (lambda: NameServer(f'"{TOKEN}"', answers=False), r"was found \(LifetimeTimeout\)"),
    ],
    ids=["other tokens", "no record", "no name", "failing", "silent"],
    indirect=["name_server"],
)
def test_a_name_that_shows_no_or_another_token_has_not(
    name_server: NameServer, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not name_server.answers:
        monkeypatch.setattr(_ownership, "_ANSWERED_WITHIN_S", 0.5)
    with pytest.raises(RailError, match=rf"shop.example:\d+ does not prove its ownership: wanted the .*; and .*{said}"):
        proved_by_name(Desk())


@pytest.mark.parametrize("name_server", [lambda: NameServer(f'"{TOKEN}"')], indirect=True)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_an_address_and_this_machine_have_no_name_that_anybody_could_vouch_for(
    name_server: NameServer, host: str
) -> None:
    with pytest.raises(RailError, match="has no name of its own that a TXT record could belong to"):
        proved_by_name(Desk(), host)
    assert name_server.asked == []


@pytest.mark.parametrize("name_server", [lambda: NameServer(f'"{TOKEN}"')], indirect=True)
def test_another_host_of_the_plan_is_not_proved_by_it(name_server: NameServer) -> None:
    with pytest.raises(RailError, match=r"pay\.example:\d+ does not prove"):
        proved_by_name(Desk(), "pay.example")
    assert set(name_server.asked) == {"_tocsin-ownership.pay.example."}


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns.exception", None)
    with pytest.raises(RailError, match=r"a TXT record of .* would do as well, and needs: pip install 'tocsin\[dns\]'"):
        proved_by_name(Desk())
