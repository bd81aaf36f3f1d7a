import pytest

from tocsin.wire import Address, Protocol, RequestError, styles_of
from tocsin.wire._styles import checked_style


def _address(url_scheme: str, protocol: Protocol) -> Address:
    return Address(url_scheme, "h", 1, "127.0.0.1", protocol=protocol)


@pytest.mark.parametrize(
    ("url_scheme", "protocol", "styles"),
    [
        ("http", "auto", ("last-byte", "threads", "whole")),
        ("http", "http/1.1", ("last-byte", "threads", "whole")),
        ("https", "http/1.1", ("last-byte", "threads", "whole", "record")),
        ("http", "h2c", ("last-frame", "empty-end", "whole")),
        ("https", "h2", ("last-frame", "empty-end", "whole", "record")),
        ("https", "h3", ("last-frame", "empty-end", "whole")),
    ],
)
def test_a_protocol_has_its_styles_and_a_record_needs_tls(
    url_scheme: str, protocol: Protocol, styles: tuple[str, ...]
) -> None:
    assert styles_of(_address(url_scheme, protocol)) == styles
    assert checked_style(None, _address(url_scheme, protocol)) == styles[0]


def test_a_style_that_can_be_used_is_taken() -> None:
    assert checked_style("record", _address("https", "h2")) == "record"


@pytest.mark.parametrize(
    ("url_scheme", "protocol", "said"), [("http", "h2c", "go with h2c;"), ("https", "h2", "go with h2 over TLS;")]
)
def test_a_style_of_another_protocol_is_refused(url_scheme: str, protocol: Protocol, said: str) -> None:
    with pytest.raises(RequestError, match=f"the style 'threads' does not {said} wanted one of last-frame"):
        checked_style("threads", _address(url_scheme, protocol))
