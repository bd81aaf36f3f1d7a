"""One guarded operation: everything that the flow has to know about it, as data. PURE."""

from collections.abc import Container
from dataclasses import dataclass, field

from tocsin.guard._answer import Answer, HeaderFilter, Seal, StoredAnswer, encode
from tocsin.guard._fingerprint import Fingerprint, fingerprint
from tocsin.guard._keys import KeyRule, key_of
from tocsin.guard._retention import until_unix_ms
from tocsin.guard._sequence import Sequence, position_of
from tocsin.guard._store import Claim
from tocsin.signing import KeyRing, Message, Scheme, Verified


@dataclass(frozen=True, slots=True)
class Operation:
    """What is guarded, and how.

    Args:
        name: part of every key; two operations of one store have two names.
        scheme: how its requests are signed.
        keys: whose signatures count.
        rule: what makes two requests the same operation.
        compared: what else has to be equal when a key is seen again.
        remember: the statuses that are committed and replayed; every other one rolls back.
        answer_days: how long duplicates get the stored answer.
        claim_days: how long the key is kept at all.
        keep: which header fields duplicates get; None: all.
        seal: encrypts stored answers; None: they are stored as they are.
        sequence: how its messages are ordered; None: they are not.
    """

    name: str
    scheme: Scheme
    keys: KeyRing
    rule: KeyRule
    compared: Fingerprint
    remember: Container[int]
    answer_days: float
    claim_days: float
    keep: HeaderFilter | None
    seal: Seal | None
    sequence: Sequence | None = None
    _kept_ms: tuple[int | None, int | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kept = until_unix_ms(0, self.claim_days), until_unix_ms(0, min(self.answer_days, self.claim_days))
        object.__setattr__(self, "_kept_ms", kept)

    def claim(self, message: Message, verified: Verified, now_unix: float) -> Claim:
        """The claim of a verified request.

        Raises:
            KeyRefused: it has no usable idempotency key, or no usable sequence number.
        """
        now_ms = round(now_unix * 1000)
        claim_ms, answer_ms = self._kept_ms
        return Claim(
            key_of(self.rule, self.name, message, verified),
            verified.tenant,
            self.name,
            fingerprint(message, self.compared),
            now_ms,
            None if answer_ms is None else now_ms + answer_ms,
            None if claim_ms is None else now_ms + claim_ms,
            self._earliest(verified),
            None if self.sequence is None else position_of(self.sequence, self.name, message, verified),
        )

    def stored(self, answer: Answer) -> StoredAnswer:
        """An answer as its duplicates will get it. Raises GuardError: it is one that no server can send."""
        return encode(answer, self.keep, self.seal)

    def _earliest(self, verified: Verified) -> int | None:
        timestamp_unix = verified.timestamp_unix
        if timestamp_unix is None or self._kept_ms[0] is None:
            return None
        return round((timestamp_unix - self.scheme.tolerance_future_s) * 1000)
