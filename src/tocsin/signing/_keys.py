"""KeyRing: which secrets verify now, and whose they are. PURE.

Rule: rotation is overlap. The new secret is added before senders use it and the old one retires after the last of them
has stopped; both belong to one tenant, so a retry under the new secret is still the same message.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tocsin.signing._errors import SchemeError
from tocsin.signing._secret import Secret


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One secret in a ring.

    Args:
        secret: the secret, with its key id if the scheme has key ids.
        tenant: whose it is. All secrets of a tenant share what has been applied; the key id is no part of that.
        active_from_unix: it verifies from this instant on.
        retires_at_unix: it verifies until before this instant.

    Raises:
        SchemeError: no tenant, or it retires before it is active.
    """

    secret: Secret
    tenant: str = "main"
    active_from_unix: float = -math.inf
    retires_at_unix: float = math.inf

    def __post_init__(self) -> None:
        if not self.tenant or not self.tenant.isprintable():
            raise SchemeError(f"tenant {self.tenant!r}: wanted a printable name, such as 'main'")
        if not self.active_from_unix < self.retires_at_unix:
            raise SchemeError(
                f"{self.secret!r} retires at {self.retires_at_unix} and is active from {self.active_from_unix}; "
                "wanted a later retirement"
            )


class _Period(NamedTuple):
    """Between two activations or retirements nothing changes, so what is active is selected once."""

    begins_unix: float
    ends_unix: float
    entries: tuple[KeyEntry, ...]
    by_key_id: Mapping[str | None, tuple[KeyEntry, ...]]


class KeyRing:
    """The secrets of a service.

    Args:
        entries: in the order in which secrets without a key id are tried: put the usual one first.

    Raises:
        SchemeError: there are none, or two tenants have the same secret.
    """

    __slots__ = ("_period", "entries")

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        self.entries = tuple(entries)
        self._period = _Period(math.nan, math.nan, (), {})
        if not self.entries:
            raise SchemeError("the key ring is empty; wanted at least one secret")
        for index, entry in enumerate(self.entries):
            for other in self.entries[:index]:
                if entry.tenant != other.tenant and entry.secret.signs_like(other.secret):
                    raise SchemeError(
                        f"tenants {other.tenant!r} and {entry.tenant!r} have the same secret: nobody can tell whose a "
                        "message is; wanted one each"
                    )

    @classmethod
    def of(cls, *secrets: Secret, tenant: str = "main") -> "KeyRing":
        """A ring of secrets that are always active and belong to one tenant."""
        return cls(KeyEntry(secret, tenant) for secret in secrets)

    def active(self, now: float) -> tuple[KeyEntry, ...]:
        """The entries that verify at this instant, in order."""
        begins_unix, ends_unix, entries, _by_key_id = self._period
        # Most calls lie in the period of the last one, and asking here costs half of a call that asks.
        return entries if begins_unix <= now < ends_unix else self._at(now).entries

    def named(self, key_id: str | None, now: float) -> tuple[KeyEntry, ...]:
        """Those of them with this key id, or without any for None."""
        begins_unix, ends_unix, _entries, by_key_id = self._period
        return (by_key_id if begins_unix <= now < ends_unix else self._at(now).by_key_id).get(key_id, ())

    def _at(self, now: float) -> "_Period":
        # Two threads may both compute it: each uses its own.
        period = self._period = _period(self.entries, now)
        return period

    def __repr__(self) -> str:
        return f"KeyRing({list(self.entries)!r})"


def _period(entries: tuple[KeyEntry, ...], now: float) -> _Period:
    """The period that an instant lies in; a clock that reads NaN lies in none."""
    changes = [instant for entry in entries for instant in (entry.active_from_unix, entry.retires_at_unix)]
    active = tuple([entry for entry in entries if entry.active_from_unix <= now < entry.retires_at_unix])
    by_key_id: dict[str | None, tuple[KeyEntry, ...]] = {}
    for entry in active:
        by_key_id[entry.secret.key_id] = (*by_key_id.get(entry.secret.key_id, ()), entry)
    return _Period(
        # Never a period to keep: -inf here would be one that a clock reading NaN left behind for everybody.
        max((instant for instant in changes if instant <= now), default=math.nan),
        min((instant for instant in changes if instant > now), default=math.inf),
        active,
        by_key_id,
    )
