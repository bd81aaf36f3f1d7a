"""The storages of generated services, as source text. Rule: all four have one interface, so that any handler fits.

A session says whether a message is done, marks it, claims it (look and mark in one), says whether a thing has some
left, takes one, and takes one if some is left. `open` gives a session without any protection, `locked` one that no
other such session is beside, `transaction` one whose writes are all kept or none.
"""

from lab.generated._plain_stores import FILE, MEMORY

_SESSION = '''
class Session:
    """Statements on one connection; each commits by itself unless a transaction is open."""

    def __init__(self, db):
        self.db = db

    def is_done(self, key):
        return self.db.execute("SELECT 1 FROM finished WHERE key = ?", (key,)).fetchone() is not None

    def mark(self, key):
        self.db.execute("INSERT INTO finished VALUES (?)", (key,))

    def claim(self, key):
        return self.db.execute("@CLAIM@", (key,)).rowcount == 1

    def has_left(self, thing):
        return self.db.execute(f"SELECT 1 FROM things WHERE id = ? {CONDITION}", (thing,)).fetchone() is not None

    def take(self, thing, order_id):
@TAKE@
        self.db.execute("INSERT INTO effects VALUES (?)", (str(order_id),))

    def number(self, thing, number):
        self.db.execute("UPDATE things SET number = @NEWEST@ WHERE id = ?", (number, thing))

    def take_if_left(self, thing, order_id):
        change = f"UPDATE things SET count = count + {STEP}, taken = taken + 1 WHERE id = ? {CONDITION}"
        if self.db.execute(change, (thing,)).rowcount == 0:
            return False
        self.db.execute("INSERT INTO effects VALUES (?)", (str(order_id),))
        return True


class Store:
    """State in a database; every request has a connection of its own."""

    def __init__(self):
        with closing(connect()) as db:
@BEGIN@
            columns = "id TEXT PRIMARY KEY, count INTEGER, taken INTEGER, number BIGINT"
            db.execute(f"CREATE TABLE IF NOT EXISTS things ({columns})")
            db.execute("CREATE TABLE IF NOT EXISTS effects (order_id TEXT)")
            db.execute("CREATE TABLE IF NOT EXISTS others (id TEXT)")
            # What is looked at first is not unique; what is claimed in one statement is.
            db.execute("CREATE TABLE IF NOT EXISTS finished (key TEXT)")
            db.execute("CREATE TABLE IF NOT EXISTS claimed (key TEXT UNIQUE)")
            db.execute("CREATE INDEX IF NOT EXISTS found ON effects (order_id)")

    @context
    def open(self):
        with closing(connect()) as db:
            yield Session(db)

    @context
    def locked(self):
        with closing(connect()) as db:
            with in_transaction(db, @LOCKED@):
                yield Session(db)

    @context
    def transaction(self):
        with closing(connect()) as db:
            with in_transaction(db, "BEGIN"):
                yield Session(db)

    def make(self, thing):
        self.run("INSERT INTO things VALUES (?, ?, 0, 0)", thing, START)

    def count(self, thing):
        with closing(connect()) as db:
            return db.execute("SELECT count, taken, number FROM things WHERE id = ?", (thing,)).fetchone()

    def effects(self, order_id):
        with closing(connect()) as db:
            return db.execute("SELECT COUNT(*) FROM effects WHERE order_id = ?", (order_id,)).fetchone()[0]

    def bump(self):
        self.run("INSERT INTO others VALUES (?)", uuid.uuid4().hex)

    def bumped(self):
        with closing(connect()) as db:
            return db.execute("SELECT COUNT(*) FROM others").fetchone()[0]

    def forget(self):
        for table in ("things", "effects", "others", *(["finished", "claimed"] if RESET_FORGETS else [])):
            self.run(f"DELETE FROM {table}")

    def run(self, statement, *values):
        with closing(connect()) as db:
            db.execute(statement, values)


@contextmanager
def in_transaction(db, *begin):
    for statement in begin:
        db.execute(statement)
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
'''

_SQLITE_CONNECT = '''
def connect():
    """Autocommit until BEGIN; waits @PATIENCE@ s for a lock."""
    return sqlite3.connect(DATA / "state.db", isolation_level=None, timeout=@PATIENCE@)

'''

_POSTGRES_CONNECT = '''
class Connection:
    """A connection whose placeholders are question marks."""

    def __init__(self):
        self.db = psycopg.connect(os.environ["LAB_DATABASE"], autocommit=True)

    def execute(self, statement, values=()):
        return self.db.execute(statement.replace("?", "%s"), values)

    def close(self):
        self.db.close()


def connect():
    return Connection()

'''

_TAKE_AT_ONCE = """\
        change = f"UPDATE things SET count = count + {STEP}, taken = taken + 1 WHERE id = ?"
        self.db.execute(change, (thing,))"""
_TAKE_TORN = """\
        self.db.execute(f"UPDATE things SET count = count + {STEP} WHERE id = ?", (thing,))
        pause()
        self.db.execute("UPDATE things SET taken = taken + 1 WHERE id = ?", (thing,))"""


def store_source(storage: str, *, on_loop: bool, is_torn: bool, patience_s: float, order: str) -> str:
    """The classes of a storage.

    Args:
        storage: "memory", "file", "sqlite" or "postgres".
        on_loop: handlers are coroutines; in memory only.
        is_torn: an effect is two writes with a pause between them; in databases only.
        patience_s: how long SQLite waits for its lock.
        order: "last": the number of the last message is kept, whichever it is; else that of the newest.
    """
    last = order == "last"
    if storage == "memory":
        source = MEMORY.replace("@LOCK@", "asyncio.Lock()" if on_loop else "threading.Lock()")
        newest = "number" if last else "max(number, self.numbers.get(thing, 0))"
        return source.replace("@A@", "async " if on_loop else "").replace("@NEWEST@", newest)
    if storage == "file":
        newest = "int(numbers[-1]) if numbers else 0" if last else "max(map(int, numbers), default=0)"
        return FILE.replace("@NEWEST@", newest)
    session = _SESSION.replace("@TAKE@", _TAKE_TORN if is_torn else _TAKE_AT_ONCE)
    larger = "MAX" if storage == "sqlite" else "GREATEST"
    session = session.replace("@NEWEST@", "?" if last else f"{larger}(number, ?)")
    if storage == "sqlite":
        source = _SQLITE_CONNECT + session.replace("@CLAIM@", "INSERT OR IGNORE INTO claimed VALUES (?)")
        source = source.replace("@BEGIN@", '            db.execute("PRAGMA journal_mode = WAL")')
        return source.replace("@LOCKED@", '"BEGIN IMMEDIATE"').replace("@PATIENCE@", f"{patience_s:g}")
    source = session.replace("@CLAIM@", "INSERT INTO claimed VALUES (?) ON CONFLICT DO NOTHING")
    # Two processes that start at once would both find no table, and one would fail.
    source = source.replace("@BEGIN@", '            db.execute("SELECT pg_advisory_lock(1)")')
    return _POSTGRES_CONNECT + source.replace("@LOCKED@", '"BEGIN", "SELECT pg_advisory_xact_lock(2)"')
