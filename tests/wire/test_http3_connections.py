"""How a connection of HTTP/3 comes about, whom it trusts, and lone exchanges on it."""

import random
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aioquic.h3.connection import ErrorCode
from aioquic.quic.packet import QuicProtocolVersion

from tests.wire.certificates import Certificates, made
from tests.wire.h3_peer import Behaviour, H3Peer
from tocsin.wire import (
    Address,
    Burst,
    Delivery,
    DeliveryError,
    Failure,
    RequestError,
    Trust,
    deliver,
    exchange,
    request_bytes,
)

BurstFor = Callable[..., Burst]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")


def _delivered(peer: H3Peer, burst_for: BurstFor, n: int = 4, **options: object) -> Delivery:
    return deliver(burst_for(peer.address, n, **options), peer.address, rng=random.Random(7))


def test_a_server_that_never_answers_is_no_connection(burst_for: BurstFor) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        address = Address("https", "h", silent.getsockname()[1], "127.0.0.1", protocol="h3")
        with pytest.raises(DeliveryError, match=r"no connection within 0\.3 s") as error:
            deliver(burst_for(address, timeout_s=0.3), address, rng=random.Random(1))
    assert error.value.kind is Failure.TIMED_OUT


def test_a_port_that_nobody_listens_on_is_refused_and_the_reason_names_udp(burst_for: BurstFor) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    address = Address("https", "h", port, "127.0.0.1", protocol="h3")
    with pytest.raises(DeliveryError, match="nobody listens on that UDP port") as error:
        deliver(burst_for(address), address, rng=random.Random(1))
    assert error.value.kind is Failure.REFUSED
    with pytest.raises(DeliveryError, match="nobody listens on that UDP port"):
        exchange(request_bytes("GET", "/", [], host="h"), address, timeout_s=10)


@pytest.mark.parametrize(
    ("trust", "host", "reason"),
    [
        (Trust(), "localhost", "the certificate is not trusted: unable to get local issuer certificate"),
        (None, "elsewhere.example", "the certificate is not trusted: it is for another host"),
    ],
)
def test_a_certificate_that_is_not_to_be_trusted_ends_it_before_anything_is_sent(
    certificates: Certificates, burst_for: BurstFor, trust: Trust | None, host: str, reason: str
) -> None:
    with H3Peer(certificates) as peer:
        address = replace(peer.address, host=host, trust=trust or peer.address.trust)
        with pytest.raises(DeliveryError, match=reason) as error:
            deliver(burst_for(address), address, rng=random.Random(1))
        assert error.value.kind is Failure.UNTRUSTED
        (seen,) = peer.seen
    assert not seen.heads
    assert "ca_file" in str(error.value)
    assert "insecure = true" in str(error.value)


def test_a_certificate_that_has_expired_is_not_trusted(tmp_path: Path, burst_for: BurstFor) -> None:
    certificates = made(tmp_path, "localhost", expired=True)
    with (
        H3Peer(certificates) as peer,
        pytest.raises(DeliveryError, match=r"the certificate is not trusted: .*no longer valid"),
    ):
        deliver(burst_for(peer.address), peer.address, rng=random.Random(1))


def test_who_says_insecure_believes_every_certificate(certificates: Certificates) -> None:
    with H3Peer(certificates) as peer:
        address = replace(peer.address, host="elsewhere.example", trust=Trust(insecure=True))
        assert exchange(request_bytes("GET", "/", [], host="h"), address, timeout_s=10).status == 200


def test_a_certificate_for_an_ip_address_is_one(certificates: Certificates) -> None:
    with H3Peer(certificates) as peer:
        address = replace(peer.address, host="127.0.0.1")
        assert exchange(request_bytes("GET", "/", [], host="h"), address, timeout_s=10).status == 200


def test_a_file_of_authorities_that_is_none_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing of the kind")
    address = Address("https", "h", 1, "127.0.0.1", protocol="h3", trust=Trust(str(tmp_path / "ca.pem")))
    with pytest.raises(RequestError, match=r"ca\.pem.*no PEM certificate in it"):
        exchange(request_bytes("GET", "/", [], host="h"), address, timeout_s=10)


class _SpeaksSomethingElse(Behaviour):
    alpn = ("hq-interop",)


def test_a_server_of_quic_without_http_3_is_told(certificates: Certificates) -> None:
    with H3Peer(certificates, _SpeaksSomethingElse) as peer, pytest.raises(DeliveryError, match="did not choose h3"):
        exchange(request_bytes("GET", "/", [], host="h"), peer.address, timeout_s=10)


class _AsksAgain(Behaviour):
    retry = True


class _SecondVersion(Behaviour):
    versions = (QuicProtocolVersion.VERSION_2,)


class _UnknownVersion(Behaviour):
    versions = (0x1A2A3A4A,)


@pytest.mark.parametrize("server", [_AsksAgain, _SecondVersion])
def test_a_server_that_wants_a_token_or_another_version_first_gets_it(
    certificates: Certificates, burst_for: BurstFor, server: type[Behaviour]
) -> None:
    with H3Peer(certificates, server) as peer:
        assert _delivered(peer, burst_for).void == ""


def test_a_server_of_unknown_versions_is_told(certificates: Certificates) -> None:
    no_version = pytest.raises(DeliveryError, match="no version of QUIC that we do")
    with H3Peer(certificates, _UnknownVersion) as peer, no_version as error:
        exchange(request_bytes("GET", "/", [], host="h"), peer.address, timeout_s=10)
    assert error.value.kind is Failure.UNSUPPORTED


def test_a_style_of_the_other_protocols_is_refused_before_anything_is_sent(
    certificates: Certificates, burst_for: BurstFor
) -> None:
    with H3Peer(certificates) as peer:
        for style in ("last-byte", "record"):
            with pytest.raises(RequestError, match=f"'{style}' does not go with h3 over TLS; wanted one of last-frame"):
                _delivered(peer, burst_for, style=style)
        assert peer.datagrams == 0


# Exchanges


def test_an_exchange_takes_http_3_as_well(certificates: Certificates) -> None:
    with H3Peer(certificates) as peer:
        request = request_bytes("POST", "/order", [("X-A", "b")], b"a" * 200_000, host="h")
        response = exchange(request, peer.address, timeout_s=20)
        assert (response.status, response.body, response.values("Content-Length")) == (200, b"ok", ("2",))
        (seen,) = peer.wait_until(lambda seen: seen[0].closed is not None)
    assert list(seen.bodies.values()) == [b"a" * 200_000]
    assert seen.closed == ErrorCode.H3_NO_ERROR


class _AnswersHead(Behaviour):
    def answer(self, number: int) -> None:
        self.http.send_headers(number, [(b":status", b"200"), (b"content-length", b"99")], end_stream=True)


def test_an_answer_to_head_has_a_length_and_no_content(certificates: Certificates) -> None:
    with H3Peer(certificates, _AnswersHead) as peer:
        response = exchange(request_bytes("HEAD", "/", [], host="h"), peer.address, timeout_s=10)
    assert (response.status, response.body, response.values("Content-Length")) == (200, b"", ("99",))


def test_a_refused_exchange_was_not_sent_as_far_as_its_effects_go(certificates: Certificates) -> None:
    class Refuses(Behaviour):
        def complete(self, number: int) -> None:
            self.refuse(number)

    with H3Peer(certificates, Refuses) as peer, pytest.raises(DeliveryError, match="refused the stream") as error:
        exchange(request_bytes("POST", "/", [], b"x", host="h"), peer.address, timeout_s=10)
    assert (error.value.kind, error.value.request_sent) == (Failure.STREAM_REFUSED, False)
    assert error.value.can_retry
