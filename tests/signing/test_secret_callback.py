import pytest

from tocsin.signing import SchemeError, Secret
from tocsin.signing._mac import KeyedHash

TEXT = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_callback_gives_the_secret_as_a_provider_writes_it_and_is_called_once() -> None:
    calls = []

    def fetch() -> bytes:
        calls.append(1)
        return TEXT

    secret = Secret.from_callback(fetch, encoding="base64", prefix="whsec_", key_id="k1")
    same = Secret.decode(TEXT, encoding="base64", prefix="whsec_")
    assert (secret.signs_like(same), secret.key_id, calls) == (True, "k1", [1])


def test_a_callback_that_returns_no_bytes_is_refused_without_showing_what_it_returned() -> None:
    with pytest.raises(SchemeError, match="the secret is of type str; wanted bytes") as caught:
        Secret.from_callback(lambda: "0123456789abcdef")  # type: ignore[arg-type,return-value]
    shown = [str(value) for entry in caught.traceback for value in entry.frame.f_locals.values()]
    assert not any("0123456789abcdef" in text for text in shown if "def test" not in text)


def test_a_short_or_empty_secret_is_refused_wherever_it_comes_from() -> None:
    for octets in (b"", b"short"):
        with pytest.raises(SchemeError):
            Secret.from_callback(lambda octets=octets: octets)  # type: ignore[misc]


def test_what_a_callback_raises_goes_through() -> None:
    def fetch() -> bytes:
        raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        Secret.from_callback(fetch)


def test_octets_in_pieces_give_the_mac_of_the_whole() -> None:
    keyed = KeyedHash(b"key", "sha256")
    stream = keyed.begin()
    stream.update(b"a")
    assert stream.digest() == keyed.digest((b"a",))
    stream.update(b"bc")
    assert stream.digest() == stream.digest() == keyed.digest((b"abc",)), "the states are copied, not used up"
