import socket

import pytest

from tocsin.wire import Address, DeliveryError, Failure, RequestError


def _resolver(monkeypatch: pytest.MonkeyPatch, *ips: str) -> None:
    """A resolver that knows one name; tests must not depend on the real one."""

    def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET6 if ":" in ip else socket.AF_INET, 1, 6, "", (ip, 80)) for ip in ips]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_an_address_keeps_the_name_and_the_number() -> None:
    address = Address.resolve("http://127.0.0.1:8000/orders?x=1")
    assert address == Address("http", "127.0.0.1", 8000, "127.0.0.1")
    assert str(address) == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("address", "authority"),
    [
        (Address("http", "shop.example", 80, "192.0.2.1"), "shop.example"),
        (Address("https", "shop.example", 443, "192.0.2.1"), "shop.example"),
        (Address("https", "shop.example", 80, "192.0.2.1"), "shop.example:80"),
        (Address("http", "::1", 80, "::1"), "[::1]"),
        (Address("http", "::1", 8000, "::1"), "[::1]:8000"),
    ],
)
def test_the_host_header_names_the_port_where_it_is_not_the_default(address: Address, authority: str) -> None:
    assert address.authority == authority


def test_an_ipv6_address_resolves_to_itself() -> None:
    address = Address.resolve("http://[::1]:8000")
    assert (address.host, address.ip, address.is_loopback) == ("::1", "::1", True)


def test_localhost_is_tried_where_development_servers_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolver(monkeypatch, "::1", "127.0.0.1")
    address = Address.resolve("http://localhost")
    assert (address.ip, address.other_ips, address.is_loopback) == ("127.0.0.1", ("::1",), True)


def test_elsewhere_the_resolver_decides_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolver(monkeypatch, "2001:db8::1", "192.0.2.1", "192.0.2.1")
    address = Address.resolve("http://shop.example")
    assert (address.ip, address.other_ips) == ("2001:db8::1", ("192.0.2.1",))


@pytest.mark.parametrize(
    ("ips", "is_loopback"),
    [
        (("127.0.0.1",), True),
        (("127.255.0.9", "::1"), True),
        (("127.0.0.1", "192.0.2.1"), False),
        (("0.0.0.0",), False),
        (("::ffff:127.0.0.1",), False),
        (("192.0.2.1",), False),
    ],
)
def test_loopback_is_what_has_no_other_address(
    monkeypatch: pytest.MonkeyPatch, ips: tuple[str, ...], *, is_loopback: bool
) -> None:
    """A name with one address on loopback and another elsewhere is no licence."""
    _resolver(monkeypatch, *ips)
    assert Address.resolve("http://shop.example").is_loopback is is_loopback


@pytest.mark.parametrize(("code", "can_retry"), [(socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)])
def test_a_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch, code: int, *, can_retry: bool) -> None:
    def not_found(*_: object, **__: object) -> None:
        raise socket.gaierror(code, "...")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    with pytest.raises(DeliveryError, match=r"'shop\.example' could not be resolved") as error:
        Address.resolve("http://shop.example")
    assert (error.value.kind, error.value.can_retry) == (Failure.UNRESOLVABLE, can_retry)
    assert error.value.address == "http://shop.example:80"


def test_a_name_that_no_resolver_takes_is_told() -> None:
    with pytest.raises(DeliveryError) as error:
        Address.resolve(f"http://{'a' * 64}.example")
    assert (error.value.kind, error.value.can_retry) == (Failure.UNRESOLVABLE, False)


def test_a_url_with_a_password_is_refused_before_it_is_resolved() -> None:
    with pytest.raises(RequestError, match="user name or password"):
        Address.resolve("http://user:hunter2@127.0.0.1")


@pytest.mark.parametrize(
    ("port", "ip", "said"),
    [
        (0, "127.0.0.1", "port 0, wanted one from 1 to 65535"),
        (65536, "127.0.0.1", "port 65536"),
        (80, "localhost", "'localhost', wanted a number"),
    ],
)
def test_an_address_that_cannot_be_connected_to_is_refused(port: int, ip: str, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Address("http", "shop.example", port, ip)


def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:3128")
    assert Address.resolve("http://127.0.0.1:8000").ip == "127.0.0.1"
