import pytest

from tocsin.wire._errors import Failure
from tocsin.wire._quic_end import ended_by_server, ended_by_us

_NOT_AN_ALERT = 1 - 0x100


@pytest.mark.parametrize(
    ("code", "alert", "reason", "failure", "said"),
    [
        (0x12A, 42, "unable to get local issuer certificate", Failure.UNTRUSTED, "local issuer certificate; name its"),
        (0x12A, 42, "hostname 'a' doesn't match 'b'", Failure.UNTRUSTED, "not trusted: it is for another host;"),
        (0x12D, 45, "Certificate is no longer valid", Failure.UNTRUSTED, "no longer valid"),
        (0x128, 40, "", Failure.NOT_TLS, "handshake failed"),
        (0x1, _NOT_AN_ALERT, "Idle timeout", Failure.TIMED_OUT, "nothing came in time"),
        (0x1, _NOT_AN_ALERT, "Could not find a common protocol version", Failure.UNSUPPORTED, "no version of QUIC"),
        (0xA, 0xA - 0x100, "", Failure.NOT_HTTP, "not HTTP"),
        (0x105, None, "", Failure.NOT_HTTP, "not HTTP"),
    ],
)
def test_what_ends_a_connection_here_is_named(
    code: int, alert: int | None, reason: str, failure: Failure, said: str
) -> None:
    ended = ended_by_us(code, alert, reason)
    assert ended.failure is failure
    assert said in ended.detail


@pytest.mark.parametrize(
    ("code", "alert", "failure", "said"),
    [
        (0x178, 120, Failure.UNSUPPORTED, "did not choose h3"),
        (0x128, 40, Failure.NOT_TLS, "handshake failed"),
        (0x110, None, Failure.UNSUPPORTED, "another version of HTTP"),
        (0x2, 2 - 0x100, Failure.REFUSED, "takes no connection now"),
        (0x100, None, Failure.CLOSED, "was closed"),
        (0x1, _NOT_AN_ALERT, Failure.CLOSED, "was closed"),
    ],
)
def test_what_a_server_ends_a_connection_for_is_named_and_its_words_are_not_repeated(
    code: int, alert: int | None, failure: Failure, said: str
) -> None:
    ended = ended_by_server(code, alert, "s3cret")
    assert ended.failure is failure
    assert said in ended.detail
    assert "s3cret" not in ended.detail
