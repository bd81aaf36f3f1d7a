"""One connection of a process, for one task at a time.

Rule: a task that is cancelled while it waits for the server leaves nothing on the connection that anybody would have
to find out about: the connection is closed, and the server rolls back. What may not be cut short is told its result
first, and is cancelled then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeAlias, TypeVar

import psycopg

from tocsin.guard._sleepers import cancel_later
from tocsin.guard.stores.postgres._session import Session, exchanged
from tocsin.guard.stores.postgres._talk import Aside, Message, Results, Talk

T = TypeVar("T")
AsyncElsewhere: TypeAlias = Callable[[Aside], Awaitable[object]]
"""Holds a talk on another connection."""


class AsyncSession(Session):
    """A connection for a task."""

    is_alone = True

    async def hold(
        self,
        talk: Talk[T],
        *,
        until: float | None = None,
        elsewhere: AsyncElsewhere | None = None,
        is_shielded: bool = False,
    ) -> T:
        """See BlockingSession.hold.

        Args:
            talk: what to say.
            until: see there.
            elsewhere: see there.
            is_shielded: the task is cancelled only once the talk has ended, at its next await.
        """
        try:
            wanted = next(talk)
            while True:
                try:
                    if isinstance(wanted, Aside):
                        assert elsewhere is not None, "only a talk inside a transaction needs another connection"
                        results = await elsewhere(wanted)
                    else:
                        results = await self._said(wanted, until, is_shielded=is_shielded)
                except psycopg.Error as error:
                    wanted = talk.throw(error)
                else:
                    wanted = talk.send(results)
        except StopIteration as end:
            ended: T = end.value
            return ended

    async def _said(self, message: Message, until: float | None, *, is_shielded: bool) -> Results:
        exchange = exchanged(self.pgconn, message)
        wants_writing = next(exchange)
        loop = asyncio.get_running_loop()
        fileno = self.pgconn.socket
        wait = _Wait(loop, until)
        loop.add_reader(fileno, wait.end)
        try:
            while True:
                if wants_writing:
                    loop.add_writer(fileno, wait.end)
                try:
                    await wait.over(is_shielded=is_shielded)
                finally:
                    if wants_writing:
                        loop.remove_writer(fileno)
                wants_writing = next(exchange)
        except StopIteration as end:
            return self.checked(end.value)
        except (asyncio.CancelledError, TimeoutError) as error:
            # Before the socket is closed, or the loop would listen to whatever gets its number next.
            loop.remove_reader(fileno)
            if isinstance(error, TimeoutError):
                raise self.given_up() from error
            self.hang_up()
            raise
        finally:
            loop.remove_reader(fileno)
            wait.close()


class _Wait:
    """A task's wait for its connection, again and again.

    Args:
        loop: the task's.
        until: when to give up, by the monotonic clock; None: never.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, until: float | None) -> None:
        self._loop = loop
        self._ended: asyncio.Future[None] | None = None
        self._is_late = False
        self._timer = None if until is None else loop.call_later(until - monotonic(), self._time_out)
        self._put_off: asyncio.CancelledError | None = None

    def end(self) -> None:
        """The connection can be read, or written to."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def over(self, *, is_shielded: bool) -> None:
        """Wait for that. Raises TimeoutError, and CancelledError unless that is put off."""
        while not self._is_late:
            self._ended = self._loop.create_future()
            try:
                await self._ended
            except asyncio.CancelledError as cancelled:
                if not is_shielded:
                    raise
                self._put_off = cancelled
            else:
                if not self._is_late:
                    return
        raise TimeoutError

    def close(self) -> None:
        """Cancel the task if that was put off, as often as somebody wanted it: asyncio.timeout() counts."""
        if self._timer is not None:
            self._timer.cancel()
        if self._put_off is not None:
            cancel_later(self._put_off)

    def _time_out(self) -> None:
        # Remembered, because the connection may have had news in this very round of the loop.
        self._is_late = True
        self.end()
