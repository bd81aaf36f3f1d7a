"""What a handler may not do with the application's own Connection or Session in the guard's transaction.

Rule: SQLAlchemy says before it commits or rolls back, whoever asked it to: `session.connection().commit()` is found as
well as a COMMIT in a text. A session's own commit() and rollback() concern its savepoint and are the handler's affair.
Past SQLAlchemy, on the driver's connection, the database's own second defence holds.
"""

from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session

from tocsin.guard._errors import TransactionMisuse

if TYPE_CHECKING:  # claims that are held are watched, and what is watched names them
    from tocsin.guard.stores.sqlalchemy._desk import Held

# The execution option by which a connection knows its claim.
HELD = "tocsin_held"


def watch(connection: Connection, held: "Held") -> None:
    """From here on the handler has the connection."""
    connection.execution_options(**{HELD: held})

    def commits(_connection: Connection) -> None:
        if held.answer is None:
            _refuse(held, "COMMIT")
        held.work.keep(held.answer)

    def rolls_back(_connection: Connection) -> None:
        # After its own COMMIT has failed SQLAlchemy rolls back, too.
        if not held.is_undoing and held.answer is None and not held.work.broke:
            _refuse(held, "ROLLBACK")

    def executes(_connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        control = held.work.control_in(statement)
        if control:
            _refuse(held, control)

    def returns(*_: object) -> None:
        held.work.made_up_for()

    event.listen(connection, "commit", commits)
    event.listen(connection, "rollback", rolls_back)
    event.listen(connection, "before_cursor_execute", executes)
    event.listen(connection, "rollback_savepoint", returns)


def watch_session(session: Session, held: "Held") -> None:
    """What the session writes goes to the guard's connection, or nowhere."""

    def begins(_session: Session, _transaction: object, connection: Connection) -> None:
        if connection is not held.connection:
            held.work.broke = "to write through another engine"
            raise TransactionMisuse(
                f"this session is part of the guard's transaction; {connection.engine.url.render_as_string()} is "
                "another engine, whose writes would not be one commit with the claim"
            )

    event.listen(session, "after_begin", begins)


def _refuse(held: Any, control: str) -> NoReturn:  # noqa: ANN401  see above
    held.work.broke = control
    raise TransactionMisuse(
        f"{control} is refused while a handler runs: its writes, the claim and the answer are one commit, which is the "
        "guard's; use begin_nested() to undo a part"
    )
