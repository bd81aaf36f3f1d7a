"""What a handler gets as `tx` where there is no transaction: the lease under which it runs.

Rule: a lease proves nothing to anybody but Redis. Its token is for the handler's own writes: a table that refuses a
smaller token than the last one refuses whoever was overtaken.
"""

from collections.abc import Awaitable, Callable

from tocsin.guard._errors import TransactionMisuse

_LATE = "the lease was extended after its handler had ended"
_OVERTAKEN = "the lease has ended and the key was taken over: what this handler writes now comes second"


class Lease:
    """The right to be the one that applies a message, for a time.

    Args:
        token: the fencing token: larger than that of every earlier holder.
        extend: asks the server.

    Attributes:
        token: likewise.
    """

    __slots__ = ("_extend", "token")

    def __init__(self, token: int, extend: Callable[[], bool]) -> None:
        self.token = token
        self._extend: Callable[[], bool] | None = extend

    def extend(self) -> None:
        """Hold the key for `lease_s` from now on: to be called before each step that takes long.

        Raises:
            TransactionMisuse: somebody has taken the key over, or the handler has ended.
            StoreUnavailable: the server cannot be reached.
        """
        if self._extend is None:
            raise TransactionMisuse(_LATE)
        if not self._extend():
            raise TransactionMisuse(_OVERTAKEN)

    def end(self) -> None:
        """The handler has ended."""
        self._extend = None


class AsyncLease:
    """Likewise, for a task."""

    __slots__ = ("_extend", "token")

    def __init__(self, token: int, extend: Callable[[], Awaitable[bool]]) -> None:
        self.token = token
        self._extend: Callable[[], Awaitable[bool]] | None = extend

    async def extend(self) -> None:
        """See Lease."""
        if self._extend is None:
            raise TransactionMisuse(_LATE)
        if not await self._extend():
            raise TransactionMisuse(_OVERTAKEN)

    def end(self) -> None:
        """The handler has ended."""
        self._extend = None
