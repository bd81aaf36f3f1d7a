"""What MariaDB's error numbers mean for a guarded request. PURE.

Rule: a number that is not known here says something about the statement, and is the handler's own affair.
"""

from enum import Enum, auto


class Trouble(Enum):
    """Whose trouble an error is."""

    CONFLICT = auto()
    """The transaction was undone for the sake of another one: it may run again."""

    UNAVAILABLE = auto()
    """Locked, full, down or read-only: the same request may succeed later."""

    STATEMENT = auto()
    """The statement, or the data that it met."""


DUPLICATE = 1062
NO_SUCH_TABLE = 1146
ERROR_DURING_COMMIT = 1180
LOCK_WAIT_TIMEOUT = 1205
NO_SUCH_SAVEPOINT = 1305
SIGNALLED = 1644
STATEMENT_TIMEOUT = 1969

# ER_CHECKREAD (innodb_snapshot_isolation), ER_LOCK_DEADLOCK (at COMMIT too: Galera's certification)
_CONFLICTS = frozenset({1020, 1213})
_UNAVAILABLE = frozenset(
    {
        # Disk or memory full: ER_DISK_FULL, ER_OUTOFMEMORY, ER_OUT_OF_RESOURCES, ER_RECORD_FILE_FULL
        1021, 1037, 1041, 1114,
        # Files: ER_ERROR_ON_WRITE and its like, ER_ERROR_ON_READ, ER_CANT_OPEN_FILE, ER_NOT_KEYFILE, ER_GET_ERRNO
        1026, 1024, 1016, 1034, 1030,
        # ER_CON_COUNT_ERROR, ER_TOO_MANY_USER_CONNECTIONS, ER_USER_LIMIT_REACHED
        1040, 1203, 1226,
        # ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_QUERY_INTERRUPTED, ER_CONNECTION_KILLED
        1053, 1077, 1317, 1927,
        # The connection, as the server sees it: ER_ABORTING_CONNECTION, ER_NET_*, ER_NEW_ABORTING_CONNECTION
        1152, 1156, 1157, 1158, 1159, 1160, 1161, 1184,
        # ER_LOCK_WAIT_TIMEOUT, ER_LOCK_TABLE_FULL, ER_STATEMENT_TIMEOUT
        LOCK_WAIT_TIMEOUT, 1206, STATEMENT_TIMEOUT,
        # Read-only: ER_OPTION_PREVENTS_STATEMENT, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
        1290, 1792,
        # Galera: ER_UNKNOWN_COM_ERROR, said by a node that is not ready; ER_ERROR_DURING_COMMIT
        1047, ERROR_DURING_COMMIT,
    }
)  # fmt: skip
# What a client finds by itself: 2000 to 2999. InterfaceError (0) is a connection that is closed already.
_CLIENTS = range(2000, 3000)


def trouble_of(errno: int) -> Trouble:
    """What an error number means, by MariaDB's list of error codes."""
    if errno in _CONFLICTS:
        return Trouble.CONFLICT
    if errno in _UNAVAILABLE or errno in _CLIENTS or errno == 0:
        return Trouble.UNAVAILABLE
    return Trouble.STATEMENT
