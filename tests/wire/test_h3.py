import pytest

from tocsin.wire import Style, request_bytes
from tocsin.wire._h2 import Parts, parts_of
from tocsin.wire._h3 import FLIGHT_BYTES, flight_shares, head_bytes, missing


def _post(body: bytes = b"order", *headers: tuple[str, str]) -> Parts:
    return parts_of(request_bytes("POST", "/order", list(headers), body, host="h"), "https")


@pytest.mark.parametrize("style", ["last-frame", "empty-end"])
def test_what_ends_requests_is_small_however_long_they_are(style: Style) -> None:
    assert flight_shares([_post(b"a" * 50_000)] * 200, style, 200) == [range(200)]


def test_no_connection_gets_more_than_the_server_allows() -> None:
    assert flight_shares([_post()] * 5, "last-frame", 2) == [range(2), range(2, 4), range(4, 5)]


def test_whole_requests_share_a_connection_as_far_as_they_leave_at_once() -> None:
    request = _post(b"a" * (FLIGHT_BYTES // 2 - 1000))
    assert flight_shares([request] * 5, "whole", 10) == [range(2), range(2, 4), range(4, 5)]
    assert flight_shares([request] * 2, "whole", 1) == [range(1), range(1, 2)]


def test_a_request_that_is_too_long_alone_goes_on_no_connection() -> None:
    assert flight_shares([_post(), _post(b"a" * FLIGHT_BYTES)], "whole", 10) == []


def test_a_head_is_estimated_from_above() -> None:
    plain, longer = _post(), _post(b"order", ("X-Signature", "0" * 64))
    assert head_bytes(longer) == head_bytes(plain) + len("x-signature") + 64 + 4
    assert head_bytes(plain) > sum(len(name) + len(value) for name, value in plain.fields)


def test_who_lacks_the_extra_is_told_how_to_get_it() -> None:
    assert "pip install 'tocsin[http3]'" in str(missing())
