"""One guarded request on a task, as an ASGI adapter sees it."""

from collections.abc import Awaitable
from time import monotonic
from typing import Any, Generic

from tocsin.guard import _log
from tocsin.guard._answer import Answer
from tocsin.guard._async_driver import AsyncDriver
from tocsin.guard._flow import Ended
from tocsin.guard._log_events import Ending
from tocsin.guard._steps import Raised, Refused, Returned, Run, Step
from tocsin.guard._store import Tx
from tocsin.guard._sweeping import Sweeping

_COMMITTED = frozenset({Ending.APPLIED, Ending.REFUSED_BY_HANDLER})


class Performing(Generic[Tx]):
    """A request between its verification and its answer; to be closed in any case.

    Args:
        operation: its name, for the log.
        driver: of its flow.
        wait_s: how long it may wait in all.
        sweeping: of the guard.
        now_unix: the guard's wall clock, when it came.

    Attributes:
        is_applied: whether this request's own answer is committed.
    """

    __slots__ = ("_driver", "_is_told", "_now_unix", "_operation", "_started", "_sweeping", "_wait_s", "is_applied")

    def __init__(
        self, operation: str, driver: AsyncDriver[Tx], wait_s: float, sweeping: Sweeping, now_unix: float
    ) -> None:
        self.is_applied = False
        self._is_told = False
        self._operation = operation
        self._driver = driver
        self._wait_s = wait_s
        self._sweeping = sweeping
        self._now_unix = now_unix
        self._started = monotonic()

    async def to_claim(self) -> Answer | None:
        """Verify, look for an earlier answer, wait for the first request. None: the handler may be prepared.

        Raises:
            ClientGoneError: the client has gone meanwhile.
        """
        return self._answer(await self._driver.to_claim())

    async def to_handler(self) -> Answer | Run:
        """Take the claim. An answer: something else stands in its place."""
        ended = await self._driver.to_handler()
        if type(ended) is Run:
            return ended
        answer = self._answer(ended)
        assert answer is not None, "a flow that has ended has an answer"
        return answer

    async def returned(self, ran: Returned | Refused) -> Answer | None:
        """Store the answer and commit, or roll back. None: the handler has to run again, from `to_handler` on."""
        ended = await self._driver.returned(ran)
        self.is_applied = type(ended) is Ended and ended.ending in _COMMITTED
        return self._answer(ended)

    async def raised(self, error: BaseException) -> Answer | None:
        """Roll back after a handler that raised. None: it has to run again, from `to_handler` on.

        Raises:
            BaseException: the same, unless the guard has an answer to it.
        """
        return self._answer(await self._driver.raised(error))

    def close(self) -> Awaitable[None]:
        """Give back whatever is still held."""
        if not self._is_told:
            self._is_told = True
            _log.request_given_up(self._operation, None, started=self._started, waited_s=self._waited_s)
        return self._driver.close()

    def sweep(self) -> Awaitable[None]:
        """Let go of what is due, if it is time; once the answer is committed."""
        return self._sweeping.sweep_if_due_async(self._now_unix)

    @property
    def _waited_s(self) -> float:
        return self._wait_s - self._driver.wait_left_s

    def _answer(self, ended: Ended | Raised | Step[Any]) -> Answer | None:
        if isinstance(ended, Step):
            return None
        self._is_told = True
        _log.request_ended(self._operation, ended, started=self._started, waited_s=self._waited_s)
        if isinstance(ended, Raised):
            raise ended.error
        return ended.answer
