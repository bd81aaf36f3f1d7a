"""KeyRing: which secrets verify now, and whose they are. PURE.

Rule: rotation is overlap. The new secret is added before senders use it and the old one retires after the last of them
has stopped; both belong to one tenant, so a retry under the new secret is still the same message.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

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


class KeyRing:
    """The secrets of a service.

    Args:
        entries: in the order in which secrets without a key id are tried: put the usual one first.

    Raises:
        SchemeError: there are none, or two tenants have the same secret.
    """

    __slots__ = ("entries",)

    def __init__(self, entries: Iterable[KeyEntry]) -> None:
        self.entries = tuple(entries)
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

    def active(self, now: float) -> list[KeyEntry]:
        """The entries that verify at this instant, in order."""
        return [entry for entry in self.entries if entry.active_from_unix <= now < entry.retires_at_unix]

    def __repr__(self) -> str:
        return f"KeyRing({list(self.entries)!r})"
