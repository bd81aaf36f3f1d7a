"""docs/guard-redis.md and docs/guard-memory.md say what is so: their code runs, and does what it says."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from tests.guard.adapters.asgi_client import Exchange, Loop
from tests.guard.redis.server import RedisServer, missing
from tocsin.guard.stores import Declares
from tocsin.guard.stores.mariadb import AsyncMariaDBStore, MariaDBStore
from tocsin.guard.stores.memory import MemoryStore
from tocsin.guard.stores.postgres import AsyncPostgresStore, PostgresStore
from tocsin.guard.stores.redis import AsyncRedisStore, RedisStore
from tocsin.guard.stores.sqlalchemy._mariadb import MariaDBDatabase
from tocsin.guard.stores.sqlalchemy._postgres import PostgresDatabase
from tocsin.guard.stores.sqlalchemy._sqlite import SQLiteDatabase
from tocsin.guard.stores.sqlalchemy._work import Database
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.signing import Message, Secret, preset, sign

DOCS = Path(__file__).parents[2] / "docs"


STORES: dict[str, list[Declares]] = {
    "SQLiteStore": [SQLiteStore.declares],
    "PostgresStore": [PostgresStore.declares, AsyncPostgresStore.declares],
    "MariaDBStore": [MariaDBStore.declares, AsyncMariaDBStore.declares],
    "MemoryStore": [MemoryStore.declares],
    "RedisStore": [RedisStore.declares, AsyncRedisStore.declares],
}


@pytest.mark.parametrize("store", STORES)
def test_the_table_of_stores_says_what_they_declare(store: str) -> None:
    rows = re.findall(r"^\| `(\w+)`.* \| .* \| (.*) \| (.*) \| (.*) \|$", page("guard-stores.md"), re.MULTILINE)
    [(_, writes, survives, processes)] = [row for row in rows if row[0] == store]
    said = writes.startswith("one commit"), survives == "loss of power", processes.startswith("any number")
    for declares in STORES[store]:
        assert said == (declares.atomic, declares.durable, declares.cross_process)


@pytest.mark.parametrize(
    ("database", "store"),
    [(SQLiteDatabase, "SQLiteStore"), (PostgresDatabase, "PostgresStore"), (MariaDBDatabase, "MariaDBStore")],
)
def test_on_sqlalchemy_a_store_declares_what_the_databases_own_does(database: type[Database], store: str) -> None:
    assert database.declares == STORES[store][0]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def block(name: str) -> str:
    [found] = re.findall(r"```python\n(.*?)```", page(name), re.DOTALL)
    return str(found)


def test_the_code_of_the_page_about_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    if missing():
        pytest.skip(missing())
    monkeypatch.setenv("HOOK_SECRET", "a secret of the tests, 32 octets")
    sent: list[tuple[str, int]] = []
    with RedisServer() as server:
        names: dict[str, Any] = {
            "app": Flask("hooks"),
            "send_receipt": lambda event, fence: sent.append((event, fence)),
        }
        exec(block("guard-redis.md").replace("redis://127.0.0.1:6379/0", server.url), names)
        body = b'{"id":"evt_1"}'
        secret = Secret(b"a secret of the tests, 32 octets")
        headers = sign(Message("POST", "/hooks/payment", (), body), preset("stripe"), secret, now=time.time())
        client = names["app"].test_client()
        answers = [client.post("/hooks/payment", data=body, headers=list(headers)) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [204, 204]
    assert [event for event, _ in sent] == ["evt_1"]


def test_the_code_of_the_page_about_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRET", "a secret of the tests, 32 octets")
    names: dict[str, Any] = {"app": FastAPI()}
    exec(block("guard-memory.md").replace("/run/", f"{tmp_path}/"), names)
    loop = Loop()
    secret = Secret(b"a secret of the tests, 32 octets", key_id="k1")

    def reserve(key: str) -> tuple[int, bytes]:
        path, headers = "/api/reserve/sku-1", (("Idempotency-Key", key),)
        signed = (*headers, *sign(Message("POST", path, headers, b""), preset("tocsin-v1"), secret, now=time.time()))
        reply = loop.run(Exchange(path, signed, b"").call(names["app"]))
        return reply.status, reply.body

    answers = [reserve(key) for key in ("a", "a", "b")]
    assert answers == [(200, b'{"left":99}'), (200, b'{"left":99}'), (200, b'{"left":98}')]
    names["stock"]["sku-1"] = 0
    assert reserve("c")[0] == 409
    assert names["stock"] == {"sku-1": 0}
    loop.close()
