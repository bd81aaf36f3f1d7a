"""A cluster of servers in cluster mode: three that share the slots, and one that follows the first of them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import redis

from lab._postgres import free_port
from tests.guard.redis.server import RedisServer

_SLOTS = 16384
# The guard's slot is looked up and not chosen: the one that has it is the one that is followed.
_MASTERS = 3


class RedisNodes:
    """A running cluster. A context manager.

    Args:
        kind: of its servers, as for RedisServer.

    Attributes:
        owner: the node that has the slot of the guard's keys.
        follower: its replica.
        others: the nodes that have the other slots.
    """

    def __init__(self, kind: str) -> None:
        self._buses = [free_port() for _ in range(_MASTERS + 1)]
        self._nodes = [
            # Nobody is taken for dead by the clock: the tests say who takes over, and when.
            RedisServer(
                *("--cluster-enabled yes", f"--cluster-port {bus}", "--cluster-node-timeout 60000"),
                *("--cluster-replica-no-failover yes", "--appendonly yes", "--repl-diskless-sync-delay 0"),
                kind=kind,
            )
            for bus in self._buses
        ]
        self._stack = ExitStack()
        self.owner, self.follower, *self.others = self._nodes

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self._nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _join(self) -> None:
        masters = [self.owner, *self.others]
        slot = self.owner.ask("CLUSTER", "KEYSLOT", "{tocsin}")
        # Shares of the slots, turned so that the owner's begins with the guard's.
        bounds = [(slot + _SLOTS * share // _MASTERS) % _SLOTS for share in range(_MASTERS + 1)]
        for epoch, master in enumerate(masters):
            master.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch + 1)
            for first, last in _ranges(bounds[epoch], bounds[epoch + 1]):
                master.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        # By one of them alone: two that meet each other at once may both be taken for strangers, for long.
        for node, bus in zip(self._nodes[1:], self._buses[1:], strict=True):
            self.owner.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in self._nodes:
            until(lambda node=node: b"cluster_state:ok" in node.ask("CLUSTER", "INFO"))  # type: ignore[misc]
        until(self._follows)
        self.await_follower()

    def await_follower(self) -> None:
        """Until the follower has what the owner has."""
        until(lambda: self.follower.ask("INFO", "replication").get("master_link_status") == "up")

    def _follows(self) -> bool:
        try:
            return bool(self.follower.ask("CLUSTER", "REPLICATE", self.owner.ask("CLUSTER", "MYID")))
        except redis.ResponseError:
            # It has not been told of the owner yet.
            return False

    def hand_over(self, *, owner_lives: bool = True) -> None:
        """The follower is the owner from now on, and the other way round, with all that the owner had told it."""
        if owner_lives:
            self.owner.ask("WAIT", 1, 30_000)
        # Without the others' votes, of which there is one in twice the time after which a node is taken for dead.
        self.follower.ask("CLUSTER", "FAILOVER", "TAKEOVER")
        self.owner, self.follower = self.follower, self.owner
        for node in (self.owner, *self.others, *[self.follower] * owner_lives):
            until(lambda node=node: self._owner_according_to(node) == self.owner.port)  # type: ignore[misc]
        if owner_lives:
            self.await_follower()

    def _owner_according_to(self, node: RedisServer) -> int | None:
        slot = node.ask("CLUSTER", "KEYSLOT", "{tocsin}")
        shares = node.ask("CLUSTER", "SLOTS")
        # Between two owners it may know of none.
        return next((int(owner[1]) for first, last, owner, *_ in shares if first <= slot <= last), None)


def until(holds: Callable[[], bool]) -> None:
    """Ask again and again."""
    while not holds():
        pass


def _ranges(first: int, end: int) -> list[tuple[int, int]]:
    """From one slot to the one before another, round the end."""
    return [(first, end - 1)] if first < end else [(first, _SLOTS - 1), *([(0, end - 1)] if end else [])]
