"""What the documents show is run."""

import json
import re
import sqlite3
import time
from pathlib import Path

import pytest

from tocsin.scan import plan_from_toml
from tocsin.signing import Message, Secret, preset, sign

ROOT = Path(__file__).parents[1]
OCTETS = b"a secret of the documents"


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_readmes_guarded_order_takes_effect_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code on the first page runs as it stands: twice sent, once applied, the same answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", OCTETS.decode())
    with sqlite3.connect("orders.db") as db:
        db.execute("CREATE TABLE items (id TEXT PRIMARY KEY, stock INTEGER)")
        db.execute("INSERT INTO items VALUES ('sku-1', 5)")
    db.close()
    # The second block is a fragment, and the guide that it leads to is run as a whole.
    code, _ = blocks("README.md", "python")
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec"), namespace)  # the document is ours
    body = json.dumps({"order_id": "o-1", "item": "sku-1"}).encode()
    message = Message("POST", "/order", (("Idempotency-Key", "k-1"), ("Content-Type", "application/json")), body)
    headers = sign(message, preset("tocsin-v1"), Secret(OCTETS, key_id="k1"), now=time.time())
    client = namespace["app"].test_client()  # type: ignore[attr-defined]  # a Flask, out of a namespace
    first, second = (client.post("/order", data=body, headers=[*message.headers, *headers]) for _ in range(2))

    assert (first.status_code, first.data) == (200, second.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    with sqlite3.connect("orders.db") as db:
        assert db.execute("SELECT stock FROM items").fetchone() == (4,)
    db.close()


def test_the_plan_of_the_documents_is_understood_whole() -> None:
    text, *_ = blocks("docs/plan.md", "toml")

    plan = plan_from_toml(text, "docs/plan.md")

    assert plan.identity == ("uuid",)
    assert plan.notes == ()
