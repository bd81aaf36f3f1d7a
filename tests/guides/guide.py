"""A guide: an endpoint as people have it, the same one guarded, and what it takes to get from one to the other."""

import difflib
import hashlib
import hmac
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the guides, 32 octets"
MOST_NEW_LINES = 12


def blocks(name: str) -> list[str]:
    """The Python of a guide: today's, then the guarded one."""
    text = (ROOT / "docs" / "guides" / f"{name}.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def new_lines(before: str, after: str) -> int:
    """How many lines of code the guarded endpoint has that today's has not."""
    lines = difflib.ndiff(before.splitlines(), after.splitlines())
    return sum(line.startswith("+ ") and bool(line[2:].strip()) for line in lines)


def signed(order_id: str) -> tuple[bytes, dict[str, str]]:
    """An order, and the headers of whoever knows the secret."""
    body = json.dumps({"order_id": order_id, "item": "sku-1"}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return body, {"X-Signature": signature, "Content-Type": "application/json"}


def make_database() -> None:
    """orders.db in the current folder, with five pieces in stock."""
    with closing(sqlite3.connect("orders.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")
        db.execute("CREATE TABLE items (id TEXT PRIMARY KEY, stock INTEGER NOT NULL)")
        db.execute("INSERT INTO items VALUES ('sku-1', 5)")


def applied() -> tuple[int, int]:
    """How many orders there are, and how many pieces are left."""
    with closing(sqlite3.connect("orders.db")) as db:
        (orders,) = db.execute("SELECT count(*) FROM orders").fetchone()
        (stock,) = db.execute("SELECT stock FROM items").fetchone()
    return orders, stock


def loaded(code: str, name: str) -> Any:
    """The application that a block makes."""
    namespace: dict[str, Any] = {"__name__": name}
    exec(compile(code, f"docs/guides/{name}.md", "exec"), namespace)
    return namespace["app"]
