"""DjangoStore: claims in a database of a Django project, in one transaction with whatever its models write.

Rule: the connection is Django's own, the one that the handler's thread uses for that database; so nothing has to be
handed to the handler for its writes to be covered. Whatever else is in a transaction on that connection already is
somebody else's, and refused.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from threading import local
from time import monotonic
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, connections

from tocsin.guard._errors import GuardError, KeyInUse, StoreUnavailable, TransactionBroken
from tocsin.guard._fork import renew_in_children
from tocsin.guard._nested import refuse_itself
from tocsin.guard._retention import is_forgettable
from tocsin.guard._store import AsyncGranted, Claim, Declares, Forgotten, Record
from tocsin.guard._turn import Turn
from tocsin.guard.stores.django import _tasks
from tocsin.guard.stores.django._block import Block, hang_up
from tocsin.guard.stores.django._databases import Trouble, Written
from tocsin.guard.stores.django._transaction import Transaction
from tocsin.guard.stores.django._unit import Desk, Unit, text_of
from tocsin.guard.stores.django._vendors import database_of

T = TypeVar("T")
# Also when the time is over: to find an old claim, to take the key after it was let go, and some bad luck.
_LEAST_ATTEMPTS = 4
# Sweeping gives way to requests.
_GIVE_WAY_S = 0.1


class DjangoStore:
    """Claims, answers and the tables of the project's models in one database of its settings.

    "tocsin.guard.stores.django" in INSTALLED_APPS and `manage.py migrate` make the tables. For threads (WSGI, and
    `def` views over ASGI) and for `async def` views, whose ORM runs on one thread for each request.

    Args:
        alias: which of settings.DATABASES: PostgreSQL with psycopg 3, or SQLite.
        uncovered: other aliases that guarded handlers may write to, although no COMMIT covers that: it may happen
            twice or not at all. A write to any other alias is refused while a handler runs.

    Raises:
        GuardError: the alias is not there, or is a database that claims cannot be kept in.
    """

    def __init__(self, alias: str = DEFAULT_DB_ALIAS, *, uncovered: Collection[str] = ()) -> None:
        if isinstance(uncovered, str) or not {alias, *uncovered} <= set(connections):
            raise GuardError(f"DjangoStore({alias!r}, uncovered={uncovered!r}): wanted aliases of settings.DATABASES")
        self.alias = alias
        self._database = database_of(connections[alias])
        self.declares = Declares(
            atomic=True, durable=True, cross_process=True, looks_first=self._database.takes_turns, ordered=True
        )
        self._uncovered = frozenset(uncovered)
        self._turn = Turn()
        self._local = local()
        # What is known of each connection of Django's, as long as it has the same one of the driver's.
        self._prepared: WeakKeyDictionary[Any, tuple[object, object]] = WeakKeyDictionary()
        renew_in_children(self)

    def look(self, key: bytes) -> Record | None:
        """See Store."""
        if self.is_inside():
            # What this thread sees is not committed; the claim is taken anyway.
            return None
        with self._failures():
            return self._read(self._connected(), key)

    def is_inside(self) -> bool:
        """See Store."""
        return self.current() is not None

    def take(self, claim: Claim, wait_s: float) -> Unit | Record | Forgotten:
        """See Store.

        Raises:
            GuardError: somebody else's transaction is open on the connection.
        """
        outer = self.current()
        deadline = monotonic() + wait_s
        with self._failures():
            if outer is not None:
                return self._nested(outer, claim, deadline)
            self._check(self._connected())
        if self._database.takes_turns and not self._turn.take(wait_s):
            raise StoreUnavailable("other requests had the turn to write")
        taken: Unit | Record | Forgotten | None = None
        try:
            with self._failures():
                taken = self._taken(None, claim, deadline)
        finally:
            if self._database.takes_turns and not isinstance(taken, Unit):
                self._turn.pass_on()
        return taken

    def is_own_failure(self, error: BaseException) -> bool:
        """See Store."""
        return self._database.trouble(error) in {Trouble.UNAVAILABLE, Trouble.IN_USE}

    def sweep(self, now_unix_ms: int) -> int:
        """See Store."""
        if self._database.takes_turns and not self._turn.take(_GIVE_WAY_S):
            raise StoreUnavailable("other requests had the turn to write")
        try:
            with self._failures():
                return self._database.sweep(self._connected().connection, now_unix_ms, _GIVE_WAY_S)
        finally:
            if self._database.takes_turns:
                self._turn.pass_on()

    def close(self) -> None:
        """See Store: this thread's connection. Django closes those of its requests."""
        connections[self.alias].close()

    async def look_async(self, key: bytes) -> Record | None:
        """See AsyncStore."""
        return await _tasks.look(self, key)

    def is_inside_async(self) -> bool:
        """See AsyncStore."""
        return _tasks.is_inside(self)

    async def take_async(self, claim: Claim, wait_s: float) -> AsyncGranted[Transaction] | Record | Forgotten:
        """See AsyncStore.

        Raises:
            GuardError: the server does not give each request a thread of its own for the ORM.
        """
        return await _tasks.take(self, claim, wait_s)

    async def sweep_async(self, now_unix_ms: int) -> int:
        """See AsyncStore."""
        return await _tasks.sweep(self, now_unix_ms)

    async def close_async(self) -> None:
        """See AsyncStore."""
        await _tasks.close(self)

    def renew_after_fork(self) -> None:
        """See Renewable. Connections are Django's: it opens its own in a child of gunicorn, and so must everybody."""
        self._local = local()

    def current(self) -> Unit | None:
        """The innermost unit of this thread."""
        unit: Unit | None = getattr(self._local, "unit", None)
        return unit

    def _finish(self, unit: Unit) -> None:
        self._local.unit = unit.outer
        if unit.outer is None and self._database.takes_turns:
            self._turn.pass_on()

    def _connected(self) -> Any:  # noqa: ANN401  Django has no types
        """This thread's connection. Raises django.db.Error."""
        connection = connections[self.alias]
        connection.ensure_connection()
        return connection

    def _check(self, connection: Any) -> None:  # noqa: ANN401  likewise
        if connection.in_atomic_block:
            if all(block._from_testcase for block in connection.atomic_blocks):  # noqa: SLF001  as a durable block asks
                return
            raise GuardError(
                f"a transaction is open on {self.alias!r} before the request has been verified; wanted no atomic block "
                "around a guarded view. With ATOMIC_REQUESTS, a view that is made by @api_view or of a class says so "
                f"itself: @transaction.non_atomic_requests(using={self.alias!r})"
            )
        if not connection.autocommit:
            raise GuardError(
                f"{self.alias!r} is not in autocommit; wanted AUTOCOMMIT, so that its blocks are committed"
            )

    def _taken(self, outer: Unit | None, claim: Claim, deadline: float) -> Unit | Record | Forgotten:
        attempts = 0
        while attempts < _LEAST_ATTEMPTS or monotonic() < deadline:
            attempts += 1
            block, taken = self._attempt(outer, claim, deadline - monotonic(), is_first=attempts == 1)
            if isinstance(taken, Written):
                unit = self._local.unit = Unit(self._desk(block.connection), block, claim, taken, outer)
                return unit
            block.undo()
            if isinstance(taken, Forgotten):
                return taken
            found = self._found(outer, claim, taken)
            if found is None:
                continue
            if not is_forgettable(found, claim.taken_unix_ms):
                return found
            self._apart(outer, lambda raw: self._database.forget(raw, claim, deadline - monotonic()))
        raise StoreUnavailable("others took the key and gave it back until the time was over")

    def _attempt(
        self, outer: Unit | None, claim: Claim, wait_s: float, *, is_first: bool
    ) -> tuple[Block, Written | Forgotten | Trouble | None]:
        """Begin and write the claim; Trouble.CONFLICT, or None: it is not written."""
        connection = self._connected()
        desk, raw = self._desk(connection), connection.connection
        before = self._database.bound(raw, wait_s)
        block: Block | None = None
        try:
            block = Block(connection)
            return block, self._database.take(raw, claim, wait_s, desk.prepared)
        except BaseException as error:
            trouble = self._database.trouble(error)
            if block is not None and trouble is Trouble.CONFLICT:
                return block, trouble
            if block is not None:
                block.undo()
            if is_first and outer is None and self._database.is_lost(raw):
                # It was lost while nobody used it, perhaps long ago: nothing has begun, and another one may do.
                hang_up(connection)
                return self._attempt(outer, claim, wait_s, is_first=False)
            raise
        finally:
            if connection.connection is raw:
                self._database.unbound(raw, before)

    def _found(self, outer: Unit | None, claim: Claim, taken: Trouble | None) -> Record | None:
        """What stands in the claim's place. The transaction around it may see the database as it was before."""
        connection = self._connected()
        found = self._read(connection, claim.key)
        if found is not None or outer is None:
            return found
        found = self._apart(outer, lambda raw: self._database.read(raw, claim.key, is_alone=True))
        if found is None and taken is Trouble.CONFLICT:
            # Nobody has committed the key: a deadlock, of which the transaction around it is a part.
            outer.has_conflict()
            raise StoreUnavailable("the transaction around it conflicts with another one")
        return found

    def _read(self, connection: Any, key: bytes) -> Record | None:  # noqa: ANN401  likewise
        return self._database.read(connection.connection, key, is_alone=not connection.in_atomic_block)

    def _apart(self, outer: Unit | None, act: Callable[[Any], T]) -> T:
        """Do something outside of any transaction: inside one, on a connection of its own."""
        if outer is None:
            return act(self._connected().connection)
        other = outer.connection.copy()
        other.ensure_connection()
        try:
            return act(other.connection)
        finally:
            other.close()

    def _nested(self, outer: Unit, claim: Claim, deadline: float) -> Unit | Record | Forgotten:
        refuse_itself(outer, claim)
        connection = outer.connection
        if connection.needs_rollback or not self._database.is_standing(connection.connection):
            raise TransactionBroken(f"{outer.claim.operation}: its transaction does not stand any more")
        prepared = self._desk(connection).prepared
        self._database.judge(prepared, is_running=False)
        try:
            return self._taken(outer, claim, deadline)
        finally:
            self._database.judge(prepared, is_running=True)

    def _desk(self, connection: Any) -> Desk:  # noqa: ANN401  likewise
        known = self._prepared.get(connection)
        if known is None or known[0] is not connection.connection:
            known = connection.connection, self._database.prepare(connection.connection)
            self._prepared[connection] = known
        return Desk(self._database, known[1], self._uncovered, self._finish)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """What a database says, as what it is to the request, once everything is undone."""
        try:
            yield
        except Exception as error:
            match self._database.trouble(error):
                case None:
                    raise
                case Trouble.IN_USE:
                    raise KeyInUse("another process was applying it until the time was over") from error
                case Trouble.NO_TABLE:
                    wanted = 'wanted "tocsin.guard.stores.django" in INSTALLED_APPS, and manage.py migrate'
                    raise StoreUnavailable(f"{text_of(error)}; {wanted}") from error
                case _:
                    raise StoreUnavailable(f"{self.alias}: {text_of(error)}") from error
