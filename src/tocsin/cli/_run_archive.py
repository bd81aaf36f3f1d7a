"""The runs of this user, in one SQLite file.

Rule: what is stored is what the JSON report says, and how to run the scan again; neither holds a secret. Every change
is one transaction that takes the write lock first, so that any number of scans may end at the same moment.
"""

import json
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tocsin.cli._errors import UsageError

# One script a version; PRAGMA user_version says how many were run. A script that was released never changes.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        started_at TEXT NOT NULL,
        operation TEXT NOT NULL,
        target TEXT NOT NULL,
        verdict TEXT NOT NULL,
        score INTEGER NOT NULL,
        grade TEXT NOT NULL,
        folder TEXT NOT NULL,
        plan TEXT NOT NULL,
        plan_sha256 TEXT NOT NULL,
        base_url TEXT,
        seed INTEGER NOT NULL,
        report TEXT NOT NULL
    );
    CREATE INDEX runs_by_time ON runs (started_at);
    CREATE TABLE findings (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        id TEXT NOT NULL,
        check_id TEXT NOT NULL,
        verdict TEXT NOT NULL,
        PRIMARY KEY (run, check_id)
    );
    CREATE INDEX findings_by_id ON findings (id);
    """,
    "ALTER TABLE runs ADD COLUMN protocol TEXT",
)
# A run is written in milliseconds; whoever waits this long has found a lock that nobody will let go.
_WAIT_S = 10.0
_OWNER_ONLY = 0o600
_COLUMNS = (
    "id, started_at, operation, target, verdict, score, grade, "
    "folder, plan, plan_sha256, base_url, protocol, "  # in the order of Origin's
    "seed, report"
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a scan was started from.

    Args:
        folder: the working directory, absolute.
        plan: as the user named it, or what stands in its place.
        plan_sha256: of what the plan means; see `_plan_hash`.
        base_url: of the command line, or None.
        protocol: likewise.
    """

    folder: str
    plan: str
    plan_sha256: str
    base_url: str | None = None
    protocol: str | None = None


@dataclass(frozen=True, slots=True)
class ArchivedRun:
    """A run as it is stored. `report` is the JSON report's text."""

    id: str
    started_at: str
    operation: str
    target: str
    verdict: str
    score: int
    grade: str
    origin: Origin
    seed: int
    report: str


class RunArchive:
    """The file, opened for each use and closed again.

    Args:
        path: created with its folder at the first `add`, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """Whether runs can be kept in what is there now; nothing is made. Raises UsageError."""
        if self.path.exists():
            with self._open():
                pass

    def add(self, report: str, origin: Origin) -> str:
        """Store a run by its JSON report. Returns the run's id.

        Raises:
            UsageError: the file cannot be written.
        """
        said: dict[str, Any] = json.loads(report)
        run = secrets.token_hex(4)
        row = (run, *(said[name] for name in ("started_at", "operation", "target", "verdict", "score", "grade")))
        row += (*astuple(origin), said["seed"], report)
        findings = [(run, found["id"], found["check"], found["verdict"]) for found in said["findings"]]
        with self._changing() as db:
            db.execute(f"INSERT INTO runs ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608  ours
            db.executemany("INSERT INTO findings (run, id, check_id, verdict) VALUES (?, ?, ?, ?)", findings)
        return run

    def newest(self, most: int) -> list[ArchivedRun]:
        """At most so many runs, the newest first."""
        return self._read(f"SELECT {_COLUMNS} FROM runs ORDER BY started_at DESC, rowid DESC LIMIT ?", most)  # noqa: S608

    def run(self, prefix: str) -> ArchivedRun:
        """The run whose id begins so.

        Raises:
            UsageError: there is none, or more than one.
        """
        query = f"SELECT {_COLUMNS} FROM runs WHERE substr(id, 1, length(?1)) = ?1 AND ?1 <> ''"  # noqa: S608  ours
        found = self._read(query, prefix)
        if len(found) != 1:
            number = f"{len(found)} runs begin so" if found else "no such run"
            raise UsageError(f"run {prefix!r}: {number} in {self.path}; tocsin runs list")
        return found[0]

    def last_violation(self, prefix: str) -> tuple[ArchivedRun, str]:
        """The newest run with a violation whose finding's id begins so, and its check.

        Raises:
            UsageError: there is none, or the beginning fits several findings.
        """
        with self._reading() as db:
            rows = db.execute(
                "SELECT findings.id, check_id, run FROM findings JOIN runs ON runs.id = run "
                "WHERE substr(findings.id, 1, length(?1)) = ?1 AND ?1 <> '' AND findings.verdict = 'VIOLATED' "
                "ORDER BY started_at DESC, runs.rowid DESC",
                (prefix,),
            ).fetchall()
        if not rows:
            raise UsageError(f"finding {prefix!r}: no run in {self.path} has such a violation; tocsin runs list")
        if len({row[0] for row in rows}) > 1:
            raise UsageError(f"finding {prefix!r}: several begin so: {', '.join(sorted({row[0] for row in rows}))}")
        return self.run(rows[0][2]), rows[0][1]

    def delete(self, ids: Sequence[str]) -> None:
        """Delete runs by their whole ids."""
        with self._changing() as db:
            db.executemany("DELETE FROM runs WHERE id = ?", [(one,) for one in ids])

    def _read(self, query: str, argument: str | int) -> list[ArchivedRun]:
        with self._reading() as db:
            return [_archived(row) for row in db.execute(query, (argument,))]

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self.path.exists():
            with closing(sqlite3.connect(":memory:", isolation_level=None)) as empty:
                _migrate(empty)
                yield empty
            return
        with self._open() as db:
            yield db

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would create it readable by everybody; targets and plans are nobody else's business.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY))
            with closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                _migrate(db)
                yield db
        except OSError as error:
            raise UsageError(f"history {self.path}: {error.strerror}") from None
        except sqlite3.Error as error:
            raise UsageError(f"history {self.path}: {error}") from None


def _archived(row: tuple[Any, ...]) -> ArchivedRun:
    run, started_at, operation, target, verdict, score, grade, *origin, seed, report = row
    return ArchivedRun(run, started_at, operation, target, verdict, score, grade, Origin(*origin), seed, report)


def _migrate(db: sqlite3.Connection) -> None:
    """Bring an older file up to date, once, whoever comes first.

    Raises:
        UsageError: a newer version of tocsin wrote it.
    """
    if _version(db) == len(MIGRATIONS):
        return
    if _version(db) > len(MIGRATIONS):
        raise UsageError(f"history: version {_version(db)}, and this tocsin knows up to {len(MIGRATIONS)}; update it")
    db.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done some while this one waited for the lock.
        for script in MIGRATIONS[_version(db) :]:
            for statement in script.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def default_path() -> Path:
    """Where runs are kept unless the user says otherwise (XDG Base Directory Specification 0.8)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # A relative path is to be ignored, says the specification.
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    return base / "tocsin" / "runs.db"
