import pytest

from tocsin.wire import RequestError
from tocsin.wire._url import Origin, parse_origin


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://shop.example", Origin("http", "shop.example", 80)),
        ("https://shop.example", Origin("https", "shop.example", 443)),
        ("HTTP://Shop.Example:8000/orders?x=1", Origin("http", "shop.example", 8000)),
        ("http://shop.example:/", Origin("http", "shop.example", 80)),
        ("http://order_service:5000", Origin("http", "order_service", 5000)),
        ("http://127.0.0.1:65535", Origin("http", "127.0.0.1", 65535)),
        ("http://[::1]:8000/", Origin("http", "::1", 8000)),
        ("http://[0:0::0:1]", Origin("http", "::1", 80)),
    ],
)
def test_a_url_names_an_origin(url: str, origin: Origin) -> None:
    assert parse_origin(url) == origin


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "empty"),
        ("http://shop.example/\r\nX: y", "not visible ASCII"),
        ("http://ht\ttp.example", "not visible ASCII"),
        ("http://\u00e4rger.example", "xn--"),
        ("shop.example", "no scheme"),
        ("ftp://shop.example", "'ftp', wanted http or https"),
        ("file:///etc/passwd", "'file'"),
        ("http://user:pass@shop.example", "user name or password"),
        ("http://@shop.example", "user name or password"),
        ("http://shop.example/#part", "fragment"),
        ("http://shop.example#", "fragment"),
        ("http://", "host ''"),
        ("http://:80", "host ''"),
        ("http://-shop.example", "host"),
        ("http://shop%2eexample", "host"),
        ("http://shop.example:http", "from 1 to 65535"),
        ("http://shop.example:0", "from 1 to 65535"),
        ("http://shop.example:65536", "from 1 to 65535"),
        ("http://shop.example:-1", "from 1 to 65535"),
        ("http://[::1", "no IPv6 address"),
        ("http://[v1.x]", "wanted an IPv6 address"),
        ("http://[fe80::1%25eth0]", "IPv6 address|zone ids"),
        ("http://[fe80::1%eth0]", "zone ids are not supported"),
    ],
)
def test_a_url_that_names_no_origin_is_refused(url: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        parse_origin(url)


def test_a_refusal_never_repeats_a_password() -> None:
    with pytest.raises(RequestError) as refusal:
        parse_origin("http://user:hunter2@shop.example")
    assert "hunter2" not in str(refusal.value)
