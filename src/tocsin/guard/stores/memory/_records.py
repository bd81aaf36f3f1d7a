"""The claims that are settled, in memory: what is known of them, and what of it is due to go."""

from dataclasses import dataclass
from heapq import heappop, heappush

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Position, Record

# What a claim costs beside the octets of its answer: objects of about this size, measured. And what a stream does.
_OVERHEAD_BYTES = 1000
_STREAM_BYTES = 250
_SWEPT_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _Kept:
    claim: Claim
    record: Record

    @property
    def size(self) -> int:
        return _OVERHEAD_BYTES + len(self.record.headers or b"") + len(self.record.body or b"")


class Records:
    """Settled claims by key; used under the store's lock.

    Attributes:
        size: about how many bytes they take.
    """

    def __init__(self) -> None:
        self.size = 0
        self._kept: dict[bytes, _Kept] = {}
        self._due: list[tuple[int, bytes]] = []
        self._forgotten: dict[tuple[str, str], int] = {}
        self._numbers: dict[bytes, int] = {}

    def get(self, key: bytes) -> Record | None:
        """What is settled under a key."""
        found = self._kept.get(key)
        return None if found is None else found.record

    def is_forgotten(self, claim: Claim) -> bool:
        """Whether a claim is as old as one that was let go."""
        if claim.earliest_unix_ms is None:
            return False
        last = self._forgotten.get((claim.tenant, claim.operation))
        return last is not None and last >= claim.earliest_unix_ms

    def add(self, claim: Claim, answer: StoredAnswer) -> None:
        """Keep a claim with its answer."""
        self._keep(_Kept(claim, kept(claim, answer)))

    def number(self, stream: bytes) -> int:
        """The highest number that a stream has applied; -1: none."""
        return self._numbers.get(stream, -1)

    def move(self, position: Position) -> None:
        """Move a stream on. Streams are state: nothing ever lets go of them."""
        if position.stream not in self._numbers:
            self.size += _STREAM_BYTES
        self._numbers[position.stream] = position.number

    def forget(self, key: bytes) -> None:
        """Let go of a claim, and remember how young such a one was."""
        gone = self._kept.pop(key)
        self.size -= gone.size
        whose = (gone.claim.tenant, gone.claim.operation)
        self._forgotten[whose] = max(self._forgotten.get(whose, 0), gone.claim.taken_unix_ms)

    def sweep(self, now_unix_ms: int) -> int:
        """Let go of what is due; how many claims that were, a bounded number."""
        changed = 0
        while self._due and self._due[0][0] <= now_unix_ms and changed < _SWEPT_AT_ONCE:
            _, key = heappop(self._due)
            found = self._kept.get(key)
            if found is not None:
                changed += self._let_go(found, now_unix_ms)
        return changed

    def _let_go(self, found: _Kept, now_unix_ms: int) -> bool:
        claim, record = found.claim, found.record
        if is_over(record, now_unix_ms):
            self.forget(claim.key)
        elif record.headers is not None and (record.answer_until_unix_ms or 0) <= now_unix_ms:
            self.size -= found.size
            until = (record.answer_until_unix_ms, record.claim_until_unix_ms)
            self._keep(_Kept(claim, Record(record.fingerprint, record.status, None, None, *until)))
        else:
            # It was taken anew since; its own time will come.
            return False
        return True

    def _keep(self, new: _Kept) -> None:
        self._kept[new.claim.key] = new
        self.size += new.size
        record = new.record
        has_answer = record.headers is not None and record.answer_until_unix_ms is not None
        at = record.answer_until_unix_ms if has_answer else record.claim_until_unix_ms
        if at is not None:
            heappush(self._due, (at, new.claim.key))


def kept(claim: Claim, answer: StoredAnswer) -> Record:
    """A claim and its answer, as they are kept."""
    until = (claim.answer_until_unix_ms, claim.claim_until_unix_ms)
    return Record(claim.fingerprint, answer.status, answer.headers, answer.body, *until)


def is_over(record: Record, now_unix_ms: int) -> bool:
    """Whether a claim may be forgotten."""
    return record.claim_until_unix_ms is not None and record.claim_until_unix_ms <= now_unix_ms
