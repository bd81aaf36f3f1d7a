"""docs/outbox.md says what is so: its code runs, its file is understood, and the message arrives."""

import json
import re
import sqlite3
import time
from base64 import b64encode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bench.outboxing.receiver import receiving
from tocsin.cli import main
from tocsin.outbox._config import Config
from tocsin.outbox._retry import STANDARD_S
from tocsin.signing import Message, Secret, preset, sign

PAGE = (Path(__file__).parents[2] / "docs" / "outbox.md").read_text(encoding="utf-8")
OCTETS = b"a secret of the bench, 32 octets"


def test_the_page_from_the_signed_order_to_the_delivered_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,), (config,) = (re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) for language in ("python", "toml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", OCTETS.decode())
    monkeypatch.setenv("PARTNER_SECRET", "whsec_" + b64encode(OCTETS).decode())
    with closing(sqlite3.connect("orders.db", isolation_level=None)) as db:
        db.execute("CREATE TABLE orders (order_id TEXT NOT NULL)")
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(code, "docs/outbox.md", "exec"), names)
    body = b'{"order_id": "o-1"}'
    message = Message("POST", "/order", (("Idempotency-Key", "k-1"), ("Content-Type", "application/json")), body)
    headers = sign(message, preset("tocsin-v1"), Secret(OCTETS, key_id="k1"), now=time.time())
    with receiving() as receiver:
        Path("outbox.toml").write_text(config.replace("https://partner.example/hooks", receiver.url))
        for _ in range(2):
            sent = names["app"].test_client().post("/order", data=body, headers=[*message.headers, *headers])
            assert sent.status_code == 200
        assert main(["outbox", "run", "--once"]) == 0
        (came,) = receiver.came
    assert came.verified
    assert json.loads(came.body) == {"type": "order.paid", "order_id": "o-1"}
    assert Config(Path("outbox.toml")).options().retries.steps_s == STANDARD_S
