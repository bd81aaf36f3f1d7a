"""docs/guard-order.md says what is so: its code runs, and does what it says."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tocsin.signing import Message, Secret, preset, sign

PAGE = Path(__file__).parents[2] / "docs" / "guard-order.md"
SECRET = "a secret of the tests, 32 octets"


def test_the_code_of_the_page_keeps_the_newest_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STOCK_SECRET", SECRET)
    with closing(sqlite3.connect("stock.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE stock (item TEXT PRIMARY KEY, quantity INTEGER NOT NULL)")
    [code] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {"app": Flask("stock")}
    exec(compile(code, PAGE.name, "exec"), namespace)

    def send(version: int, quantity: int) -> Any:
        event = {"event_id": f"e-{version}", "item": "sku-1", "version": version, "quantity": quantity}
        body = json.dumps(event).encode()
        message = Message("POST", "/stock", (("Content-Type", "application/json"),), body)
        headers = sign(message, preset("hex-sha256-body"), Secret(SECRET.encode()), now=0)
        return namespace["app"].test_client().post("/stock", data=body, headers=[*message.headers, *headers])

    answers = [send(2, 20), send(1, 10), send(1, 10), send(3, 30)]
    assert [answer.get_json()["status"] for answer in answers] == ["processed", "superseded", "superseded", "processed"]
    assert answers[2].headers["Idempotent-Replayed"] == "true"
    with closing(sqlite3.connect("stock.db")) as db:
        assert db.execute("SELECT * FROM stock").fetchall() == [("sku-1", 30)]
