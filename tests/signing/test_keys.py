import math

import pytest

from tocsin.signing import (
    PRESETS,
    KeyEntry,
    KeyRing,
    Message,
    SchemeError,
    Secret,
    UnknownKey,
    WrongSignature,
    check_keys,
    sign,
    verify,
)

OLD = Secret(b"old secret, 16 octets+", "k1")
NEW = Secret(b"new secret, 16 octets+", "k2")
NOW = 1_700_000_000
UNSIGNED = Message("POST", "/order", (("Idempotency-Key", "order-17"),), b"{}")


def signed(scheme_name: str, secret: Secret) -> Message:
    headers = sign(UNSIGNED, PRESETS[scheme_name], secret, now=NOW)
    return Message(UNSIGNED.method, UNSIGNED.target, UNSIGNED.headers + headers, UNSIGNED.body)


@pytest.mark.parametrize("scheme_name", ["tocsin-v1", "github"])
@pytest.mark.parametrize("secret", [OLD, NEW])
def test_during_an_overlap_both_secrets_verify_and_are_one_tenant(scheme_name: str, secret: Secret) -> None:
    verified = verify(signed(scheme_name, secret), PRESETS[scheme_name], KeyRing.of(OLD, NEW), now=NOW)
    assert (verified.key_id, verified.tenant) == (secret.key_id, "main")


def test_a_secret_verifies_from_its_activation_until_before_its_retirement() -> None:
    keys = KeyRing([KeyEntry(OLD, active_from_unix=NOW - 10, retires_at_unix=NOW + 10)])
    message = signed("tocsin-v1", OLD)
    for instant in (NOW - 10, NOW + 9.999):
        assert verify(message, PRESETS["tocsin-v1"], keys, now=instant).key_id == "k1"
    for instant in (NOW - 10.001, NOW + 10):
        with pytest.raises(UnknownKey):
            verify(message, PRESETS["tocsin-v1"], keys, now=instant)


def test_a_retired_secret_without_key_ids_leaves_the_active_ones() -> None:
    keys = KeyRing([KeyEntry(OLD, retires_at_unix=NOW), KeyEntry(NEW)])
    with pytest.raises(WrongSignature):
        verify(signed("github", OLD), PRESETS["github"], keys, now=NOW)
    assert verify(signed("github", NEW), PRESETS["github"], keys, now=NOW).key_id == "k2"


def test_a_clock_that_reads_nan_activates_nothing() -> None:
    with pytest.raises(UnknownKey):
        verify(signed("github", OLD), PRESETS["github"], KeyRing.of(OLD), now=math.nan)


def test_the_tenant_is_the_one_whose_secret_fits() -> None:
    keys = KeyRing([KeyEntry(OLD, tenant="alice"), KeyEntry(NEW, tenant="bob")])
    assert verify(signed("github", NEW), PRESETS["github"], keys, now=NOW).tenant == "bob"


def test_a_key_id_under_the_other_tenants_name_does_not_verify() -> None:
    """The key id chooses the secret, and is signed: naming another one changes both."""
    keys = KeyRing([KeyEntry(OLD, tenant="alice"), KeyEntry(NEW, tenant="bob")])
    message = signed("tocsin-v1", OLD)
    name, value = message.headers[-1]
    renamed = Message("POST", "/order", (*message.headers[:-1], (name, value.replace("k=k1", "k=k2"))), b"{}")
    with pytest.raises(WrongSignature):
        verify(renamed, PRESETS["tocsin-v1"], keys, now=NOW)


def test_one_key_id_may_name_two_secrets() -> None:
    other = Secret(b"another secret, 16 octets+", "k1")
    keys = KeyRing.of(OLD, other)
    assert verify(signed("tocsin-v1", other), PRESETS["tocsin-v1"], keys, now=NOW).key_id == "k1"


def test_an_empty_ring_is_refused() -> None:
    with pytest.raises(SchemeError, match="the key ring is empty"):
        KeyRing.of()


def test_two_tenants_cannot_have_one_secret() -> None:
    entries = [KeyEntry(OLD, tenant="alice"), KeyEntry(Secret(b"old secret, 16 octets+", "k9"), tenant="bob")]
    with pytest.raises(SchemeError, match="tenants 'alice' and 'bob' have the same secret"):
        KeyRing(entries)
    assert KeyRing([KeyEntry(OLD), KeyEntry(Secret(b"old secret, 16 octets+", "k9"))]).entries[1].tenant == "main"


@pytest.mark.parametrize("tenant", ["", "a\nb", "\ud800"])
def test_a_tenant_needs_a_printable_name(tenant: str) -> None:
    with pytest.raises(SchemeError, match="wanted a printable name"):
        KeyEntry(OLD, tenant=tenant)


@pytest.mark.parametrize("retires_at", [NOW, NOW - 1, math.nan])
def test_a_secret_cannot_retire_before_it_is_active(retires_at: float) -> None:
    with pytest.raises(SchemeError, match="wanted a later retirement"):
        KeyEntry(OLD, active_from_unix=NOW, retires_at_unix=retires_at)


def test_a_ring_shows_no_secret() -> None:
    shown = repr(KeyRing.of(OLD, NEW))
    assert "k1" in shown
    assert "octets" not in shown


def test_a_scheme_with_key_ids_wants_them_on_every_secret() -> None:
    keys = KeyRing.of(OLD, Secret(b"a secret without key id"))
    check_keys(PRESETS["github"], keys)
    check_keys(PRESETS["tocsin-v1"], KeyRing.of(OLD))
    with pytest.raises(SchemeError, match="tocsin-v1 selects secrets by key id"):
        check_keys(PRESETS["tocsin-v1"], keys)
