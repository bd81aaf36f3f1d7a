"""Services that the crash matrix and the checker of histories must not pass: each has lost one defence."""

from collections.abc import Callable, Mapping
from itertools import count

from tocsin.guard._answer import StoredAnswer
from tocsin.guard._store import Claim, Forgotten, Record
from tocsin.guard.stores.sqlite import _claims
from tocsin.guard.stores.sqlite._claims import Executes
from tocsin.guard.stores.sqlite._group import Group
from tocsin.guard.stores.sqlite._write_turns import WriteTurns

_COMMIT_EVERY = 8


def two_commits() -> None:
    """The effect is committed first; claim and answer follow in a transaction of their own."""
    take, settle, begin = _claims.take, _claims.settle, Group.__init__

    def alone(group: Group, writer: object, *, is_shared: bool) -> None:
        del is_shared
        begin(group, writer, is_shared=False)  # type: ignore[arg-type]

    def looks(connection: Executes, claim: Claim) -> Record | Forgotten | None:
        return _claims.read(connection, claim.key)

    def settles(connection: Executes, claim: Claim, answer: StoredAnswer) -> bool:
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        return take(connection, claim) is None and settle(connection, claim, answer)

    Group.__init__ = alone  # type: ignore[method-assign, assignment]
    _claims.take, _claims.settle = looks, settles


def answer_before_commit() -> None:
    """A group's members are answered at once, and COMMIT comes with every eighth of them."""
    keep, keep_async, begin = WriteTurns.keep, WriteTurns.keep_async, Group.__init__
    settled = count(1)

    def keeps(turns: WriteTurns, group: Group, wait_s: float) -> None:
        if next(settled) % _COMMIT_EVERY == 0:
            keep(turns, group, wait_s)
        else:
            turns._turn.pass_on()  # noqa: SLF001  to break it

    async def keeps_async(turns: WriteTurns, group: Group, wait_s: float) -> None:
        if next(settled) % _COMMIT_EVERY == 0:
            await keep_async(turns, group, wait_s)
        else:
            turns._turn.pass_on()  # noqa: SLF001  likewise

    def shared(group: Group, writer: object, *, is_shared: bool) -> None:
        del is_shared
        begin(group, writer, is_shared=True)  # type: ignore[arg-type]

    WriteTurns.keep = keeps  # type: ignore[method-assign, assignment]
    WriteTurns.keep_async = keeps_async  # type: ignore[method-assign, assignment]
    Group.__init__ = shared  # type: ignore[method-assign, assignment]


def no_claim() -> None:
    """Whatever is signed is applied, however often it comes."""
    _claims.read = lambda *_: None
    _claims.take = lambda *_: None
    _claims.settle = lambda *_: True


TWINS: Mapping[str, Callable[[], None]] = {
    twin.__name__: twin for twin in (two_commits, answer_before_commit, no_claim)
}
