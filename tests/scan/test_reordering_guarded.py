"""The sequence guard, as the scan sees it from outside: a sink that overwrites whatever was there, behind the guard."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.scan.services.desk import SECRET, Answer, Asked, Desk
from tests.scan.services.documents import NUMBERED
from tests.scan.services.scanning import scan
from tocsin.findings import Verdict
from tocsin.guard import Guard, Signed, Transaction, json_pointer, sequence
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.scan import _bursts
from tocsin.scan.checks import reordering
from tocsin.signing import KeyRing, Secret, preset

ORDERED = sequence(number=json_pointer("/seq"), stream=json_pointer("/item"))


class Sink(Desk):
    """POST /order says which version of an item is the current one. Every message is verified and applied once.

    Args:
        path: of its database.
        guard: more options of the guard.
    """

    def __init__(self, path: Path, **guard: Any) -> None:
        super().__init__(stock=10_000)
        self.path = path
        self.store = SQLiteStore(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("CREATE TABLE versions (item TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        keys = KeyRing.of(Secret(SECRET.encode()))
        guarded = Guard(preset("hex-sha256-body"), keys, self.store, wait_s=20, **guard)
        self.app = Flask("sink")

        @self.app.post("/order")
        @guarded.flask(key=json_pointer("/order_id"))
        def order(signed: Signed, tx: Transaction) -> dict[str, str]:
            message: Any = signed.json()
            tx.execute(
                "INSERT INTO versions VALUES (?, ?) ON CONFLICT (item) DO UPDATE SET version = excluded.version",
                (message["item"], message["seq"]),
            )
            self.take(message)
            return {"status": "processed"}

    def order(self, asked: Asked) -> Answer:
        said = self.app.test_client(use_cookies=False).post("/order", data=asked.body, headers=list(asked.headers))
        return Answer(said.status_code, said.get_json(silent=True))

    def read(self, asked: Asked) -> Answer:
        if not asked.path.startswith("/versions/"):
            return super().read(asked)
        with closing(sqlite3.connect(self.path)) as db:
            item = asked.path.rpartition("/")[2]
            found = db.execute("SELECT version FROM versions WHERE item = ?", (item,)).fetchone()
        return Answer(200, {"version": 0 if found is None else found[0]})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, brisk: None) -> None:  # noqa: ARG001  a fixture used for what it does
    monkeypatch.setattr(reordering, "_WANTED_BURSTS", 6)
    monkeypatch.setattr(_bursts, "_STANDS_S", 0.01)


def test_once_only_is_no_order_and_the_scan_finds_that(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "sink.db")
    found = scan(sink, "reordering", **NUMBERED)
    sink.store.close()
    assert found.finding.verdict is Verdict.VIOLATED
    assert "A message with number 2 was accepted, then an older one with 1, and" in found.finding.evidence.summary


def test_with_the_sequence_guard_the_same_handler_is_in_order(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "sink.db", sequence=ORDERED)
    found = scan(sink, "reordering", **NUMBERED)
    sink.store.close()
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("newer_then_older")[0]["newer_was_accepted"]
    assert found.fact("newer_then_older")[0]["statuses"] == ["200", "200"]
    assert found.finding.bound is not None
    assert found.finding.bound.trials == 6
