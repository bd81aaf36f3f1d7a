"""What a person asks of a store from outside of a service: which claims there are, and what may go. PURE.

Rule: administration reads what is committed and lets go of what has had its time, as the store's own sweep does. It
never removes a claim that must be kept, and it never answers or runs anything.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tocsin.guard._store import Record

_KEY_BYTES = 32
_KEY_DIGITS = 2 * _KEY_BYTES
_HEX = frozenset("0123456789abcdefABCDEF")
# The columns of tocsin_claims, which every store that speaks SQL has, in the order of Kept's arguments.
_COLUMNS = (
    "{key}, version, tenant, operation, fingerprint, taken_unix_ms, answer_until_unix_ms, claim_until_unix_ms, status, "
    "length({body})"
)


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from `first` to `last`, both included."""

    first: bytes
    last: bytes

    @classmethod
    def of_prefix(cls, digits: str) -> "KeyRange":
        """The keys that begin with these hexadecimal digits.

        Raises:
            ValueError: they are not, or none, or more than a key has.
        """
        if not 0 < len(digits) <= _KEY_DIGITS or not _HEX.issuperset(digits):
            raise ValueError(f"{digits!r}; wanted 1 to {_KEY_DIGITS} hexadecimal digits")
        return cls(bytes.fromhex(digits.ljust(_KEY_DIGITS, "0")), bytes.fromhex(digits.ljust(_KEY_DIGITS, "f")))


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which claims are wanted; None: whatever it is.

    Args:
        tenant: of this tenant.
        operation: of this operation.
        since_unix_ms: taken at that time or later.
        keys: with a key in this range.
        is_unsettled: only those whose answer is not known.
    """

    tenant: str | None = None
    operation: str | None = None
    since_unix_ms: int | None = None
    keys: KeyRange | None = None
    is_unsettled: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A committed claim, as a person may see it.

    Args:
        version: of the key's derivation and the row.
        body_bytes: how long the stored body is; None: it has gone, or was never there.
        headers: as the store keeps them, perhaps sealed; None where they were not asked for.
        body: likewise.
    """

    key: bytes
    version: int
    tenant: str
    operation: str
    fingerprint: bytes | None
    taken_unix_ms: int
    answer_until_unix_ms: int | None
    claim_until_unix_ms: int | None
    status: int | None
    body_bytes: int | None
    headers: bytes | None = None
    body: bytes | None = None

    @property
    def record(self) -> Record:
        """What the guard's decisions are made from, without the answer itself."""
        there = None if self.body_bytes is None else b""
        until = (self.answer_until_unix_ms, self.claim_until_unix_ms)
        return Record(self.fingerprint, self.status, there, there, *until)


@dataclass(frozen=True, slots=True)
class Due:
    """What may go.

    Args:
        answers: of how many claims the answer goes and the tombstone stays.
        claims: how many go whole.
    """

    answers: int
    claims: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of messages that are applied in order.

    Args:
        stream: what it is kept under.
        number: the highest that it has applied.
        moved_unix_ms: when it has.
    """

    stream: bytes
    number: int
    tenant: str
    operation: str
    moved_unix_ms: int


# Of all streams: what is counted and what is listed. Nothing lets go of them, so their number is worth a look. One that
# has applied nothing is none: MariaDB's store locks a row of it, which a handler's refusal leaves there with -1.
STREAMS = "SELECT count(*) FROM tocsin_sequences WHERE number >= 0"
NEWEST_STREAMS = (
    "SELECT stream, number, tenant, operation, moved_unix_ms FROM tocsin_sequences WHERE number >= 0 "
    "ORDER BY moved_unix_ms DESC, stream LIMIT {most}"
)


class Administration(Protocol):
    """A store's side of `tocsin claims`. Each call is a transaction of its own, and none outlasts the call.

    Every method raises GuardError where what it was given is wrong (no such file, no such tables), and StoreUnavailable
    where the same call may succeed later.
    """

    @property
    def holds_secret(self) -> bool:
        """Whether what names the database has a password in it, which may then not stand on a command line."""
        ...

    def newest(self, chosen: Chosen, limit: int) -> list[Kept]:
        """The claims that were taken last, the newest first, without their answers."""
        ...

    def all(self, chosen: Chosen, *, with_answers: bool) -> Iterator[Kept]:
        """Every claim, in the store's own order and a bounded number at a time."""
        ...

    def streams(self, limit: int) -> tuple[int, list[Stream]]:
        """How many streams there are, and those that moved last, the newest first."""
        ...

    def due(self, now_unix_ms: int) -> Due:
        """What the store's sweep would let go of at that time."""
        ...

    def prune(self, now_unix_ms: int) -> int:
        """Let go of a bounded number of what is due; returns of how many, 0 when nothing is left."""
        ...

    def sql(self) -> str:
        """What `migrate` runs, as text that can be run again."""
        ...

    def migrate(self) -> None:
        """Create what is missing, under the store's lock."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def select(
    chosen: Chosen,
    placeholder: Callable[[str], str],
    *,
    end: str,
    with_answers: bool = False,
    more: Sequence[str] = (),
    quoted: str = "{}",
) -> tuple[str, dict[str, object]]:
    """The query for claims of stores that speak SQL, and its values.

    Args:
        chosen: which claims.
        placeholder: how the driver spells a named value.
        end: what follows these conditions: more of them, ORDER BY, LIMIT.
        with_answers: read headers and bodies too.
        more: columns before those of Kept.
        quoted: how the database quotes a name that is one of its own words, with {} in its place.
    """
    key, body = quoted.format("key"), quoted.format("body")
    conditions = dict(_conditions(chosen, placeholder, key))
    columns = ", ".join([*more, _COLUMNS.format(key=key, body=body), *(("headers", body) if with_answers else ())])
    where = " AND ".join(["TRUE", *conditions])
    values = {name: value for named in conditions.values() for name, value in named.items()}
    return f"SELECT {columns} FROM tocsin_claims WHERE {where} {end}", values  # noqa: S608  placeholders for values


def _conditions(chosen: Chosen, placeholder: Callable[[str], str], key: str) -> Iterator[tuple[str, dict[str, object]]]:
    if chosen.tenant is not None:
        yield f"tenant = {placeholder('tenant')}", {"tenant": chosen.tenant}
    if chosen.operation is not None:
        yield f"operation = {placeholder('operation')}", {"operation": chosen.operation}
    if chosen.since_unix_ms is not None:
        yield f"taken_unix_ms >= {placeholder('since')}", {"since": chosen.since_unix_ms}
    if chosen.keys is not None:
        between = f"{key} BETWEEN {placeholder('first')} AND {placeholder('last')}"
        yield between, {"first": chosen.keys.first, "last": chosen.keys.last}
    if chosen.is_unsettled:
        yield "status IS NULL", {}
