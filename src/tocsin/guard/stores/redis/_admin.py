"""Administration of the claims in Redis.

Rule: nothing is read by KEYS, which stops the server; claims are read by SCAN, some at a time, and each as it is then.
"""

from collections.abc import Iterator
from heapq import nlargest
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tocsin.guard._admin import Chosen, Due, Kept, Stream
from tocsin.guard._errors import GuardError
from tocsin.guard.stores.redis._claims import unavailable
from tocsin.guard.stores.redis._options import Names, check_url
from tocsin.guard.stores.redis._store import RedisStore

_PAGE = 500
_FIELDS = ("version", "tenant", "operation", "fingerprint", "taken", "answer_until", "claim_until", "status")


def administration(where: str) -> "RedisAdministration":
    """Administration of the claims behind a URL, to which nothing is connected yet. Raises GuardError."""
    return RedisAdministration(where)


class RedisAdministration:
    """See Administration. The claims are those of the store's usual prefix.

    Args:
        url: of the server.
    """

    def __init__(self, url: str) -> None:
        self.holds_secret = bool(check_url(url).get("password"))
        self._names = Names("tocsin")
        self._store = RedisStore(url)
        self._client = Redis.from_url(url, socket_connect_timeout=2.0, socket_timeout=5.0)

    def newest(self, chosen: Chosen, limit: int) -> list[Kept]:
        """See Administration."""
        return nlargest(limit, self.all(chosen, with_answers=False), key=lambda kept: kept.taken_unix_ms)

    def all(self, chosen: Chosen, *, with_answers: bool) -> Iterator[Kept]:
        """See Administration. SCAN may give a name twice while the table grows; it is told once."""
        told: set[str] = set()
        try:
            # SCAN on a node of a cluster that has none of them would find nothing, and say no word.
            self._client.exists(self._names.due)
            for name in self._client.scan_iter(match=f"{self._names.claims}*", count=_PAGE):
                digits = name.decode("ascii").removeprefix(self._names.claims)
                if digits not in told:
                    told.add(digits)
                    kept = self._kept(name, bytes.fromhex(digits), with_answers=with_answers)
                    if kept is not None and _is_chosen(kept, chosen):
                        yield kept
        except RedisError as error:
            raise unavailable(error) from error

    def streams(self, limit: int) -> tuple[int, list[Stream]]:  # noqa: ARG002  there are none
        """See Administration."""
        raise GuardError("Redis keeps no streams: it does not cover the handler's writes, so it can keep no order")

    def due(self, now_unix_ms: int) -> Due:
        """See Administration."""
        claims = answers = 0
        try:
            for name, _score in self._client.zscan_iter(self._names.due, count=_PAGE):
                answer_until, claim_until = self._fields(name, "answer_until", "claim_until")
                is_over = claim_until is not None and int(claim_until) <= now_unix_ms
                claims += is_over
                answers += not is_over and answer_until is not None and int(answer_until) <= now_unix_ms
        except RedisError as error:
            raise unavailable(error) from error
        return Due(answers, claims)

    def prune(self, now_unix_ms: int) -> int:
        """See Administration."""
        return self._store.sweep(now_unix_ms)

    def sql(self) -> str:
        """See Administration."""
        return "-- Redis has no tables: nothing is to be made.\n"

    def migrate(self) -> None:
        """See Administration: there is nothing to make, but the server may not be one that keeps claims."""
        self._store.check()

    def close(self) -> None:
        """See Administration."""
        self._store.close()
        self._client.close()

    def _fields(self, name: bytes, *fields: str) -> list[Any]:
        found: list[Any] = self._client.hmget(name, list(fields))
        return found

    def _kept(self, name: bytes, key: bytes, *, with_answers: bool) -> Kept | None:
        """None: it is only held by now, or gone."""
        state, *found = self._fields(name, "state", *_FIELDS)
        if state not in {b"settled", b"unknown"}:
            return None
        version, tenant, operation, fingerprint, *numbers = found
        taken, answer_until, claim_until, status = [None if each is None else int(each) for each in numbers]
        assert taken is not None, "a script writes all of a claim or nothing"
        headers, body = self._fields(name, "headers", "body") if with_answers else (None, None)
        length = self._client.hstrlen(name, "body") if self._client.hexists(name, "body") else None
        return Kept(
            key,
            int(version),
            tenant.decode(),
            operation.decode(),
            fingerprint,
            taken,
            answer_until,
            claim_until,
            status,
            length,
            headers,
            body,
        )


def _is_chosen(kept: Kept, chosen: Chosen) -> bool:
    return (
        chosen.tenant in {None, kept.tenant}
        and chosen.operation in {None, kept.operation}
        and (chosen.since_unix_ms is None or kept.taken_unix_ms >= chosen.since_unix_ms)
        and (chosen.keys is None or chosen.keys.first <= kept.key <= chosen.keys.last)
        and (not chosen.is_unsettled or kept.status is None)
    )
