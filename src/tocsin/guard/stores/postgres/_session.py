"""One connection of a process, for one thread or task at a time.

Rule: only the guard's own statements go through `hold`, several of them as one message. So a message is one round trip,
and any connection of a pooler will do for it.
"""

import secrets
from collections.abc import Callable, Generator
from math import ceil
from select import POLLIN, POLLOUT, poll
from time import monotonic
from typing import Any, ClassVar, TypeAlias, TypeVar

import psycopg
from psycopg import BaseConnection
from psycopg.errors import error_from_result
from psycopg.pq import DiagnosticField, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn

from tocsin.guard._fork import process_here
from tocsin.guard.stores.postgres._settings import UNTOLD, Settings
from tocsin.guard.stores.postgres._sqlstates import Trouble, trouble_of
from tocsin.guard.stores.postgres._talk import Aside, Lesson, Message, Results, Talk, said

T = TypeVar("T")
SAVEPOINT_PREFIX = "tocsin_"
# As plain numbers: these are asked several times for each request, and an enumeration takes its time.
_IDLE = int(TransactionStatus.IDLE)
_STANDING = int(TransactionStatus.INTRANS)
_FAILED = int(ExecStatus.FATAL_ERROR)
_SYNC = int(ExecStatus.PIPELINE_SYNC)
Elsewhere: TypeAlias = Callable[[Aside], object]
"""Holds a talk on another connection."""


def trouble_with(error: BaseException) -> Trouble | None:
    """What an exception says about the database; None: nothing."""
    if not isinstance(error, psycopg.Error):
        return None
    if error.sqlstate is not None:
        return trouble_of(error.sqlstate)
    # Without a code it does not come from the server: the connection failed, or the call was wrong.
    return Trouble.UNAVAILABLE if isinstance(error, psycopg.OperationalError) else Trouble.STATEMENT


class Session:
    """A connection, and what has become of the transaction on it.

    Args:
        connection: in autocommit: BEGIN and COMMIT are the guard's own messages.

    Attributes:
        settings: how its transactions begin, once the server has been told.
        is_prepared: whether the server knows the phrases of a claim by their names.
        may_prepare: whether it is any use to tell it.
        has_answered: whether the server has, since the connection was opened or taken out of those that nobody used.
        is_new: whether it was opened for its present use.
        is_alone: whether no other threads want the interpreter, as a rule, while libpq is asked.
        broke: what the handler tried that would have ended its transaction; "" if nothing.
        conflict: the transaction was undone for the sake of another one, and nothing has made up for it.
    """

    is_alone: ClassVar[bool]

    def __init__(self, connection: BaseConnection[Any]) -> None:
        self.connection = connection
        self.pgconn = connection.pgconn
        self.settings = UNTOLD
        self.is_prepared = False
        self.may_prepare = False
        self.has_answered = False
        self.is_new = True
        self.broke = ""
        self.conflict = False
        self._mark = secrets.token_hex(8)
        self._savepoints = 0
        self._process = process_here()

    @property
    def status(self) -> TransactionStatus:
        """What the connection knows of its transaction, from the last thing that the server said."""
        return TransactionStatus(self.pgconn.transaction_status)

    @property
    def is_idle(self) -> bool:
        """Whether it can be used for something new."""
        return self.pgconn.transaction_status == _IDLE

    @property
    def is_standing(self) -> bool:
        """Whether its transaction can be committed."""
        return self.pgconn.transaction_status == _STANDING

    @property
    def is_inherited(self) -> bool:
        """Whether this process was forked after the connection was opened, which is therefore its parent's."""
        return self._process is not process_here()

    @property
    def is_stale(self) -> bool:
        """Whether it turned out to be lost at its first use, with nothing written: another one may do."""
        return self.connection.closed and not self.has_answered

    def know(self, settings: Settings) -> None:
        """The server has been told."""
        self.settings = settings
        # That it was told says nothing about what it is told next.
        self.has_answered = False
        # Whatever a pooler prepares, another client's transaction may find.
        self.may_prepare = not settings.is_pooled

    def begin(self) -> None:
        """Forget the transaction before."""
        self.has_answered = self.is_new = False
        self.broke = ""
        self.conflict = False

    def savepoint(self) -> str:
        """A name that no handler knows. Names are not used twice, so nobody has to keep count of what is open."""
        self._savepoints += 1
        return f"{SAVEPOINT_PREFIX}{self._mark}_{self._savepoints}"

    def undone(self, savepoint: str | None) -> Talk[bool]:
        """Roll back to the savepoint and release it, or all of the transaction; whether that worked. Never raises."""
        if self.is_inherited or self.connection.closed:
            return False
        try:
            yield from said(undoing(savepoint))
        except psycopg.Error:
            return False
        return True

    def checked(self, results: Results) -> Results:
        """The results, if no statement failed. Raises psycopg.Error."""
        for result in results:
            if result.status == _FAILED:
                raise error_from_result(result, encoding=self.connection.info.encoding)
        self.has_answered = True
        return results

    def given_up(self) -> psycopg.OperationalError:
        """Close the connection, because the server does not answer in time."""
        # It has been waited for: nobody shall wait again, on another connection.
        self.has_answered = True
        self.hang_up()
        return psycopg.OperationalError("the server did not answer in time")

    def hang_up(self) -> None:
        """Close the connection without a word: the server rolls back whatever is on it."""
        self.pgconn.finish()


class BlockingSession(Session):
    """A connection for a thread."""

    is_alone = False

    def __init__(self, connection: BaseConnection[Any]) -> None:
        super().__init__(connection)
        self._readable = poll()
        self._readable.register(connection.fileno(), POLLIN)

    def hold(self, talk: Talk[T], *, until: float | None = None, elsewhere: Elsewhere | None = None) -> T:
        """Say what a talk wants said, until it has ended.

        Args:
            talk: what to say.
            until: when to give up a server that does not answer, by the monotonic clock; None: never.
            elsewhere: for a talk that wants something said on another connection.

        Raises:
            psycopg.Error: one of the messages failed, and the talk does not catch that.
        """
        try:
            wanted = next(talk)
            while True:
                try:
                    if isinstance(wanted, Aside):
                        assert elsewhere is not None, "only a talk inside a transaction needs another connection"
                        results = elsewhere(wanted)
                    else:
                        results = self._said(wanted, until)
                except psycopg.Error as error:
                    wanted = talk.throw(error)
                else:
                    wanted = talk.send(results)
        except StopIteration as end:
            ended: T = end.value
            return ended

    def _said(self, message: Message, until: float | None) -> Results:
        # Once for the whole message: whoever waits in it again has been answered in part.
        within_ms = None if until is None else max(0, ceil((until - monotonic()) * 1000))
        exchange = exchanged(self.pgconn, message)
        try:
            while True:
                waiting = self._either() if next(exchange) else self._readable
                if not waiting.poll(within_ms):
                    raise self.given_up()
        except StopIteration as end:
            return self.checked(end.value)

    def _either(self) -> poll:
        """Waits until the server takes more of a long message, or says something about it."""
        either = poll()
        either.register(self.connection.fileno(), POLLIN | POLLOUT)
        return either


def undoing(savepoint: str | None) -> str:
    """The statements that undo everything since a savepoint, or since BEGIN."""
    return "ROLLBACK" if savepoint is None else f"ROLLBACK TO {savepoint}; RELEASE {savepoint}"


def exchanged(pgconn: PGconn, message: Message) -> Generator[bool, None, Results]:
    """Send a message and read what its statements gave, by libpq's rules for connections that do not block.

    Yields:
        Whenever the connection has to be waited for: whether also for writing.

    Raises:
        psycopg.OperationalError: the connection failed.
    """
    _send(pgconn, message)
    # Whatever has been read may be the answer. If nothing has, it need not be asked whether that is all there.
    is_unanswered = True
    while pgconn.flush():
        yield True
        pgconn.consume_input()
        is_unanswered = False
    results: Results = []
    is_text = isinstance(message, bytes)
    while True:
        while is_unanswered or pgconn.is_busy():
            is_unanswered = False
            yield False
            try:
                pgconn.consume_input()
            except psycopg.OperationalError:
                # The server may have said why before it hung up.
                last = pgconn.get_result()
                if last is not None:
                    results.append(last)
                if any(result.error_field(DiagnosticField.SQLSTATE) for result in results):
                    return results
                raise
        result = pgconn.get_result()
        if result is None:
            return results
        if result.status == _SYNC:
            pgconn.exit_pipeline_mode()
            return results
        results.append(result)
        if not is_text:
            # In a pipeline each statement has an end of its own, for which nothing more has to be read.
            pgconn.get_result()


def _send(pgconn: PGconn, message: Message) -> None:
    if isinstance(message, bytes):
        pgconn.send_query(message)
        return
    pgconn.enter_pipeline_mode()
    if isinstance(message, Lesson):
        for phrase in message.phrases:
            pgconn.send_prepare(phrase.name, phrase.numbered, phrase.oids)
    else:
        for phrase, values in message:
            if phrase.kinds:
                pgconn.send_query_prepared(phrase.name, phrase.sent(values), phrase.formats)
            elif phrase.purpose:
                pgconn.send_query_prepared(phrase.name, None)
            else:
                pgconn.send_query_params(phrase.numbered, None)
    pgconn.pipeline_sync()
