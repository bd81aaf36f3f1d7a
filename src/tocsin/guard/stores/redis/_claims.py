"""What is said to Redis about a claim, and what its answers mean; who waits for them, a thread or a task, is not known.

Rule: a talk yields what to ask and is resumed with the answer, or with the error of redis-py. Every script may be asked
twice, because a client asks again where the answer was lost.
"""

from collections.abc import Generator
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeAlias, TypeVar

from redis.exceptions import AskError, MovedError, RedisClusterException, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tocsin.guard import _log
from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import CommitUnknown, GuardError, KeyInUse, StoreUnavailable, TransactionBroken
from tocsin.guard._keys import KEY_VERSION
from tocsin.guard._store import Claim, Declares, Forgotten, Record
from tocsin.guard.stores.redis._options import Names
from tocsin.guard.stores.redis._scripts import (
    ABANDON,
    EXTEND,
    GIVE_BACK,
    INSPECT,
    SETTLE,
    SWEEP,
    SWEEP_LEASES,
    TAKE,
    Script,
)

Result = TypeVar("Result")

DECLARES = Declares(atomic=False, durable=False, cross_process=True, looks_first=False)

_IN_A_CLUSTER = "the claims are on another node of a cluster; wanted a client for clusters, redis-py's RedisCluster"
_RECORD = ("fingerprint", "status", "headers", "body", "answer_until", "claim_until")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.05
_SWEPT_AT_ONCE = 200
_DEAD_AFTER_US = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Ask:
    """A command, or a script with its keys and arguments."""

    words: tuple[Any, ...]
    script: Script | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds, because somebody else holds the key."""

    seconds: float


Talk: TypeAlias = Generator[Ask | Pause, Any, Result]


@dataclass(frozen=True, slots=True)
class Held:
    """A claim that was granted.

    Args:
        key: of the claim.
        name: of its hash.
        token: the fencing token.
        operation: for what is said of it.
    """

    key: bytes
    name: str
    token: int
    operation: str


def scripted(script: Script, keys: list[str], *arguments: object) -> Ask:
    """A script with its keys and arguments; None is sent as nothing."""
    return Ask((len(keys), *keys, *["" if each is None else each for each in arguments]), script)


def is_down(error: BaseException) -> bool:
    """Whether an error of redis-py says that the server cannot be reached."""
    return isinstance(error, (RedisConnectionError, RedisTimeoutError, RedisClusterException))


def as_heard(error: RedisClusterException) -> RedisError:
    """That no node of a cluster answers, which is none of redis-py's RedisErrors, as a talk is told of it."""
    return RedisConnectionError(str(error))


def inspecting(names: Names) -> Talk[None]:
    """Look at how the server keeps its data; in a cluster the node that keeps the claims.

    Raises:
        GuardError: it may evict claims, so that messages would take effect again; or the claims are on another node of
            a cluster, and the client is for one server.
        StoreUnavailable: it cannot be reached.
    """
    try:
        policy, is_kept = yield scripted(INSPECT, [names.fence])
    except (MovedError, AskError) as error:
        raise GuardError(f"Redis: {error}: {_IN_A_CLUSTER}") from error
    except RedisError as error:
        raise unavailable(error) from error
    if policy.startswith(b"allkeys"):
        raise GuardError(
            f"the server's maxmemory-policy is {policy.decode()}: it would evict claims, and their messages would take "
            "effect again; wanted noeviction, or a policy that evicts only keys that expire, as the guard's do not"
        )
    if is_kept != b"1":
        _log.store_notice("Redis", "it keeps no append-only file: a restart may forget claims; wanted appendonly yes")


def looking(names: Names, key: bytes) -> Talk[Record | None]:
    """What is settled under a key. Raises StoreUnavailable."""
    try:
        state, *found = yield Ask(("HMGET", names.claim(key), "state", *_RECORD))
    except RedisError as error:
        raise unavailable(error) from error
    return None if state in {None, b"held"} else _record(found)


def taking(
    names: Names, claim: Claim, *, holder: str, wait_s: float, lease_s: float, may_run_again: bool
) -> Talk[Held | Record | Forgotten]:
    """Take the claim by a lease, waiting for whoever holds it.

    Args:
        names: of the store's keys.
        claim: what to write.
        holder: what this taker calls itself; nobody else does, and never twice.
        wait_s: how long to wait.
        lease_s: how long it is held, unless it is extended.
        may_run_again: what a lease means that has ended without an answer: that the key is free, or that the answer
            is not known.

    Raises:
        KeyInUse: another one held it for so long.
        StoreUnavailable: nothing was taken; or a lease was, of which nobody knows, and which will end.
    """
    name = names.claim(claim.key)
    ask = scripted(
        TAKE,
        [name, names.fence, names.due, names.forgotten, names.leases],
        *(holder, round(lease_s * 1_000_000), int(may_run_again), claim.taken_unix_ms, claim.earliest_unix_ms),
        *(claim.tenant, claim.operation, claim.fingerprint, claim.answer_until_unix_ms, claim.claim_until_unix_ms),
        KEY_VERSION,
    )
    deadline, pause_s = monotonic() + wait_s, _FIRST_PAUSE_S
    while True:
        try:
            kind, *rest = yield ask
        except RedisError as error:
            raise unavailable(error) from error
        match kind:
            case b"granted":
                return Held(claim.key, name, int(rest[0]), claim.operation)
            case b"record":
                return _record(rest[0])
            case b"forgotten":
                return Forgotten()
        left_s = deadline - monotonic()
        if left_s <= 0:
            raise KeyInUse(f"{claim.operation}: another process held the key for {wait_s:g} s")
        yield Pause(min(pause_s, left_s, rest[0] / 1000))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def settling(names: Names, held: Held, answer: StoredAnswer) -> Talk[None]:
    """Store the answer, if nobody has taken the claim over.

    Raises:
        TransactionBroken: somebody has: what this handler has written is not undone by that.
        CommitUnknown: nobody knows.
    """
    ask = scripted(SETTLE, [held.name, names.due, names.leases], held.token, answer.status, answer.headers, answer.body)
    try:
        is_settled = yield ask
    except RedisError as error:
        raise CommitUnknown(f"Redis: {error}") from error
    if not is_settled:
        raise TransactionBroken(
            f"the lease with token {held.token} ended before the handler did, and the key was taken over, or the "
            "server has forgotten it; what the handler wrote stays; wanted a longer lease_s, or tx.extend() in it"
        )


def abandoning(names: Names, held: Held) -> Talk[None]:
    """Give the key back; where the server cannot be reached, the lease ends by itself."""
    try:
        yield scripted(ABANDON, [held.name, names.leases], held.token)
    except RedisError as error:
        notice = f"{held.operation}: the key is not given back before its lease ends: {error}"
        _log.store_notice("Redis", notice)


def giving_back(names: Names, claim: Claim, holder: str) -> Talk[None]:
    """Give back what may have been granted to somebody who no longer waits for it."""
    try:
        yield scripted(GIVE_BACK, [names.claim(claim.key), names.leases], holder)
    except RedisError as error:
        _log.store_notice("Redis", f"{claim.operation}: a key may be held until its lease ends: {error}")


def extending(names: Names, held: Held, lease_s: float) -> Talk[bool]:
    """Hold the key for `lease_s` from now on; False: somebody has taken it over. Raises StoreUnavailable."""
    try:
        extended = yield scripted(EXTEND, [held.name, names.leases], held.token, round(lease_s * 1_000_000))
    except RedisError as error:
        raise unavailable(error) from error
    return bool(extended)


def sweeping(names: Names, now_unix_ms: int, *, may_run_again: bool) -> Talk[int]:
    """Let go of what is due; how many claims that were, a bounded number. Raises StoreUnavailable."""
    limit = ("LIMIT", 0, _SWEPT_AT_ONCE)
    try:
        due = yield Ask(("ZRANGEBYSCORE", names.due, "-inf", now_unix_ms, *limit))
        changed = (yield scripted(SWEEP, [names.due, names.forgotten, *due], now_unix_ms)) if due else 0
        if may_run_again:
            # As many as there are that may be dead; the script asks the server's clock.
            held = yield Ask(("ZRANGEBYSCORE", names.leases, "-inf", "+inf", *limit))
            changed += (yield scripted(SWEEP_LEASES, [names.leases, *held], _DEAD_AFTER_US)) if held else 0
    except RedisError as error:
        raise unavailable(error) from error
    return int(changed)


def unavailable(error: RedisError) -> StoreUnavailable:
    """What the guard says of an error of redis-py's."""
    if isinstance(error, (MovedError, AskError)):
        return StoreUnavailable(f"Redis: {error}: {_IN_A_CLUSTER}")
    return StoreUnavailable(f"Redis: {error}")


def _record(found: list[bytes | None]) -> Record:
    fingerprint, status, headers, body, answer_until, claim_until = found
    return Record(fingerprint, _number(status), headers, body, _number(answer_until), _number(claim_until))


def _number(digits: bytes | None) -> int | None:
    return None if digits is None else int(digits)
