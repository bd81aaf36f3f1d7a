import copy
import operator
import pickle
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from tocsin.signing import PRESETS, SchemeError, Secret, secret_from_table

RAW = b"correct horse battery staple"
TEXT = RAW.decode()
SVIX, PLAIN = PRESETS["svix"], PRESETS["hex-sha256-body"]
LITERAL: dict[str, object] = {"secret": {"value": TEXT}}


def leaks(shown: str) -> bool:
    return any(spelled in shown for spelled in (TEXT, repr(RAW), RAW.hex(), b64encode(RAW).decode()))


WAYS_TO_PRINT: dict[str, Callable[[object], str]] = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "format with !r and width": "{!r:>40}".format,
    "inside a list": lambda secret: str([secret]),
    "percent": "%s".__mod__,
}
WRONG_DECLARATIONS: dict[str, Callable[[], Secret]] = {
    "key id with spaces": lambda: Secret(RAW, "key id with spaces"),
    "not hex": lambda: Secret.decode(RAW, encoding="hex"),
    "no prefix": lambda: Secret.decode(RAW, prefix="whsec_"),
    "unknown encoding": lambda: Secret.decode(RAW, encoding="utf-16"),
    "empty key id": lambda: Secret.decode(RAW, key_id=""),
    "text": lambda: Secret(TEXT),  # type: ignore[arg-type]
    "text to decode": lambda: Secret.decode(TEXT, encoding="hex"),  # type: ignore[arg-type]
    "octets as prefix": lambda: Secret.decode(RAW, prefix=RAW[:1]),  # type: ignore[arg-type]
    "octets as key id": lambda: Secret(RAW, b"k1"),  # type: ignore[arg-type]
    "a scheme's, without its prefix": lambda: SVIX.decode_secret(RAW),
    "a scheme's, not in its encoding": lambda: SVIX.decode_secret(b"whsec_" + RAW),
    "a scheme's, as text": lambda: SVIX.decode_secret(TEXT),  # type: ignore[arg-type]
    "a scheme's, with a wrong key id": lambda: PLAIN.decode_secret(RAW, key_id=""),
    "a callback's": lambda: Secret.from_callback(lambda: RAW, encoding="hex"),
    "a callback's, as text": lambda: Secret.from_callback(lambda: TEXT),  # type: ignore[arg-type,return-value]
    "a plan's": lambda: secret_from_table({**LITERAL, "secret_encoding": "hex"}, allow_value=True),
    "a plan's, where it may not be": lambda: secret_from_table(LITERAL),
    "a plan's, with a wrong prefix": lambda: secret_from_table({**LITERAL, "secret_prefix": 5}, allow_value=True),
    "a plan's, as no source": lambda: secret_from_table({"secret": TEXT}),
    "a plan's, under no source": lambda: secret_from_table({"secret": {"vault": TEXT}}),
}


@pytest.mark.parametrize("show", WAYS_TO_PRINT.values(), ids=WAYS_TO_PRINT)
def test_no_way_to_print_a_secret_shows_more_than_its_key_id(show: Callable[[object], str]) -> None:
    shown = show(Secret(RAW, "k1"))
    assert "Secret(key_id='k1')" in shown
    assert not leaks(shown)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy, operator.methodcaller("__getstate__")])
def test_a_secret_is_neither_pickled_nor_copied(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="is not pickled or copied") as refused:
        duplicate(Secret(RAW, "k1"))
    assert not leaks(str(refused.value))


def test_a_secret_has_no_dictionary_to_dump() -> None:
    with pytest.raises(TypeError):
        vars(Secret(RAW))


@pytest.mark.parametrize("make", WRONG_DECLARATIONS.values(), ids=WRONG_DECLARATIONS)
def test_a_refused_secret_is_in_no_traceback_even_with_locals(make: Callable[[], Secret]) -> None:
    with pytest.raises(SchemeError) as refused:
        make()
    assert not is_in_a_frame_of(refused.value)
    assert not leaks(str(refused.value))


def is_in_a_frame_of(error: BaseException) -> bool:
    """Whether a traceback with locals shows the secret, but for the frames of the tests themselves."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    return any(leaks(str(frame.locals)) for frame in trace.stack if frame.filename != __file__)


WAYS_TO_USE: dict[str, Callable[[Secret], object]] = {
    "as it is": lambda secret: secret.keyed("no-hash"),
    "derived": lambda secret: secret.derived("no-hash", b"AWS4", ()),
}


@pytest.mark.parametrize("use", WAYS_TO_USE.values(), ids=WAYS_TO_USE)
def test_a_hash_that_is_not_there_shows_no_secret_in_a_traceback(use: Callable[[Secret], object]) -> None:
    """As with the SHA-1 that some builds of OpenSSL do without."""
    with pytest.raises(ValueError, match="no-hash") as refused:
        use(Secret(RAW))
    assert not is_in_a_frame_of(refused.value)


def test_a_short_secret_is_in_no_traceback_even_with_locals() -> None:
    with pytest.raises(SchemeError) as refused:
        Secret.decode(b"hunter2")
    trace = traceback.TracebackException.from_exception(refused.value, capture_locals=True)
    # The line of this test is quoted in the trace; the frames behind it are what counts.
    assert not any("hunter2" in "".join((frame.locals or {}).values()) for frame in trace.stack)


def test_an_empty_secret_is_refused_whatever_is_allowed() -> None:
    with pytest.raises(SchemeError, match="everybody could sign"):
        Secret(b"", allow_short=True)


def test_a_short_secret_needs_an_explicit_word() -> None:
    with pytest.raises(SchemeError, match="has 15 bytes; wanted at least 16"):
        Secret(b"a" * 15)
    assert Secret(b"a" * 15, allow_short=True).key_id is None
    assert Secret(b"a" * 16).key_id is None


@pytest.mark.parametrize("key_id", ["", "-k", "a b", "a,b", "a\n", "é", "k" * 129, '"k"', "a=b"])
def test_a_key_id_that_could_not_stand_in_every_header_is_refused(key_id: str) -> None:
    with pytest.raises(SchemeError, match="wanted up to 128 of"):
        Secret(RAW, key_id)


def test_encodings_and_prefix_give_the_octets() -> None:
    plain = Secret(RAW)
    for decoded in (
        Secret.decode(RAW),
        Secret.decode(RAW.hex().encode(), encoding="hex"),
        Secret.decode(b"whsec_" + b64encode(RAW), encoding="base64", prefix="whsec_"),
    ):
        assert decoded.signs_like(plain)


@pytest.mark.parametrize(("text", "encoding"), [(b"abc", "hex"), (b"zz", "hex"), (b"a", "base64"), (b"a-_=", "base64")])
def test_text_in_another_encoding_is_refused_without_being_shown(text: bytes, encoding: str) -> None:
    with pytest.raises(SchemeError, match=f"^the secret is not {encoding}$"):
        Secret.decode(text, encoding=encoding)


def test_a_missing_prefix_and_an_unknown_encoding_are_named() -> None:
    with pytest.raises(SchemeError, match="does not begin with 'whsec_'"):
        Secret.decode(RAW, prefix="whsec_")
    with pytest.raises(SchemeError, match="unknown secret_encoding 'base46'; did you mean 'base64'"):
        Secret.decode(RAW, encoding="base46")


def test_a_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_SECRET", RAW.hex())
    secret = Secret.from_env("ORDERS_SECRET", encoding="hex", key_id="k1")
    assert secret.signs_like(Secret(RAW))
    assert secret.key_id == "k1"


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORDERS_SECRET", raising=False)
    with pytest.raises(SchemeError, match="environment variable ORDERS_SECRET is not set"):
        Secret.from_env("ORDERS_SECRET")


@pytest.mark.parametrize("line_end", [b"", b"\n", b"\r\n"])
def test_a_secret_is_read_from_a_file_less_the_last_line_break(tmp_path: Path, line_end: bytes) -> None:
    file = tmp_path / "secret.txt"
    file.write_bytes(RAW + line_end)
    assert Secret.from_file(file).signs_like(Secret(RAW))


def test_octets_that_are_no_text_can_be_a_secret(tmp_path: Path) -> None:
    octets = bytes(range(128, 160))
    file = tmp_path / "secret.bin"
    file.write_bytes(octets)
    assert Secret.from_file(str(file)).signs_like(Secret(octets))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemeError, match=r"secret file .*nowhere.txt: No such file"):
        Secret.from_file(tmp_path / "nowhere.txt")


def test_secrets_that_differ_only_in_trailing_zeros_sign_alike() -> None:
    """HMAC pads a short key with zeros, so these are one secret, and two tenants must not have one each."""
    assert Secret(RAW).signs_like(Secret(RAW + b"\0"))
    assert not Secret(RAW).signs_like(Secret(RAW + b"\1"))
