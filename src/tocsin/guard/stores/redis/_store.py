"""RedisStore: claims in Redis or Valkey, held by leases. It cannot cover the handler's writes.

Rule: each step is one script, so no other client comes in between. A claim whose holder says nothing any more is given
to the next one when its lease ends, or to nobody; either way something is wrong then that only a transaction prevents.
"""

from collections.abc import Callable
from secrets import token_hex
from time import sleep
from typing import Any, Protocol, TypeVar

from redis import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError, RedisClusterException
from redis.retry import Retry

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._errors import GuardError, StoreUnavailable
from tocsin.guard._store import Claim, Forgotten, Granted, Record
from tocsin.guard._talks import performed
from tocsin.guard.stores.redis import _claims, _options
from tocsin.guard.stores.redis._claims import DECLARES, Ask, Held, Pause, Talk
from tocsin.guard.stores.redis._lease import Lease
from tocsin.guard.stores.redis._options import Names

Result = TypeVar("Result")


class Client(Protocol):
    """What the store needs of redis-py's Redis or RedisCluster."""

    def execute_command(self, *words: Any) -> Any:  # noqa: ANN401  untyped in redis-py too
        """Say it, and hear the answer."""
        ...


class RedisStore:
    """Claims and answers in Redis. What the handler writes elsewhere is not committed with them, and never undone.

    Args:
        server: "redis://host:6379/0", "rediss://..." or "unix://..."; or a client of redis-py, RedisCluster too, which
            stays the application's to close.
        lease_s: how long a handler may run before another one may overtake it.
        may_run_again: what becomes of a key whose handler was killed, or was slower than its lease. True: the next
            request runs, and the effect may be there twice. False: nobody runs it again, every duplicate gets 500
            "applied, answer unknown", and the effect may not be there at all.
        prefix: of all keys; they have one hash tag, "{tocsin}".

    Raises:
        GuardError: an argument is refused.
    """

    declares = DECLARES

    def __init__(
        self,
        server: str | Client,
        *,
        lease_s: float = _options.LEASE_S,
        may_run_again: bool = True,
        prefix: str = "tocsin",
    ) -> None:
        _options.check_lease(lease_s)
        self._names = Names(prefix)
        self._lease_s = lease_s
        self._may_run_again = may_run_again
        self._is_inspected = False
        self._client: Client
        self._pool: BlockingConnectionPool | None
        self._client, self._pool = _options.client_of(server, BlockingConnectionPool, Retry, Redis)

    def check(self) -> None:
        """Look at the server when the service starts.

        Raises:
            GuardError: it evicts keys, and so would forget claims; or it is a node of a cluster, the claims are on
                another one, and the client is for one server.
            StoreUnavailable: it cannot be reached.
        """
        self._say(_claims.inspecting(self._names))
        self._is_inspected = True

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        return self._say(_claims.looking(self._names, key))

    def is_inside(self) -> bool:
        """See Store. There is no transaction to be inside of: a nested operation is settled by itself."""
        return False

    def take(self, claim: Claim, wait_s: float) -> "Unit | Record | Forgotten":
        """See Store."""
        self._inspect()
        taken = self._say(
            _claims.taking(
                self._names,
                claim,
                holder=token_hex(16),
                wait_s=wait_s,
                lease_s=self._lease_s,
                may_run_again=self._may_run_again,
            )
        )
        return self._unit(taken) if isinstance(taken, Held) else taken

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return _claims.is_down(error)

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        # Now and then, because an administrator may change it.
        self._is_inspected = False
        return self._say(_claims.sweeping(self._names, now_unix_ms, may_run_again=self._may_run_again))

    def close(self) -> None:
        """See Store. A client that was given stays open."""
        if self._pool is not None:
            self._pool.disconnect()

    def _inspect(self) -> None:
        if self._is_inspected:
            return
        try:
            self.check()
        except GuardError as error:
            raise StoreUnavailable(str(error)) from error

    def _unit(self, held: Held) -> "Unit":
        return Unit(
            Lease(held.token, lambda: self._say(_claims.extending(self._names, held, self._lease_s))),
            settle=lambda answer: self._say(_claims.settling(self._names, held, answer)),
            abandon=lambda: self._say(_claims.abandoning(self._names, held)),
        )

    def _say(self, talk: Talk[Result]) -> Result:
        return performed(talk, self._perform)

    def _perform(self, step: Ask | Pause) -> Any:  # noqa: ANN401  whatever the command answers
        if isinstance(step, Pause):
            return sleep(step.seconds)
        try:
            return self._ask(step)
        except RedisClusterException as error:
            raise _claims.as_heard(error) from error

    def _ask(self, ask: Ask) -> Any:  # noqa: ANN401  likewise
        say = self._client.execute_command
        if ask.script is None:
            return say(*ask.words)
        try:
            return say("EVALSHA", ask.script.sha, *ask.words)
        except NoScriptError:
            # The first time, and after SCRIPT FLUSH, a restart or a fail-over.
            return say("EVAL", ask.script.text, *ask.words)


class Unit(Granted[Lease]):
    """A claim that is held by a lease, until it is settled or abandoned.

    Args:
        lease: what the handler gets.
        settle: stores the answer.
        abandon: gives the key back.
    """

    __slots__ = ("_abandon", "_lease", "_settle")

    def __init__(self, lease: Lease, settle: Callable[[StoredAnswer], None], abandon: Callable[[], None]) -> None:
        self._lease = lease
        self._settle = settle
        self._abandon = abandon

    @property
    def tx(self) -> Lease:
        """The handler's side of it."""
        return self._lease

    def settle(self, answer: StoredAnswer) -> None:
        """See Granted."""
        self._lease.end()
        self._settle(answer)

    def abandon(self) -> None:
        """See Granted. What the handler has written stays."""
        self._lease.end()
        self._abandon()
