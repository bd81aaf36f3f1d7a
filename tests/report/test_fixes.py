"""The code that explanations show: run where it can be, else read by the compiler or formatter of its language."""

import asyncio
import hashlib
import hmac
import json
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from flask import Flask
from psycopg.errors import DeadlockDetected, SerializationFailure
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers

from tocsin.guard import Guard, json_pointer
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.report.explanation import explained, explanation
from tocsin.signing import KeyRing, Message, Secret, preset, sign

FIXES = Path(__file__).parent / "fixes"
OCTETS = b"a secret of the explanations"
SIGNED = {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
# A message that every fix understands.
MESSAGE = {
    "order_id": "o-1",
    "event_id": "e-1",
    "transfer_id": "t-1",
    "bonus_id": "b-1",
    "item": "sku-1",
    "status": "paid",
    "seq": 2,
    "from": "alice",
    "to": "bob",
    "amount": 100,
}
TABLES = """
    CREATE TABLE items (id TEXT PRIMARY KEY, stock INTEGER);
    CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT, seq INTEGER);
    CREATE TABLE events (id TEXT);
    CREATE TABLE audit (body BLOB);
    CREATE TABLE accounts (id TEXT PRIMARY KEY, balance INTEGER);
    INSERT INTO items VALUES ('sku-1', 5);
    INSERT INTO accounts VALUES ('alice', 600), ('bob', 400);
"""


def code(check: str, framework: str) -> str:
    found = explanation(check)
    assert found is not None
    return found.code[framework]


def needs(program: str, install: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs {program}: {install}")
    return path


def ran(*command: str, stdin: str = "", cwd: Path | None = None) -> None:
    done = subprocess.run(command, input=stdin, text=True, capture_output=True, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """A database of the fixes; asks it for one value."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERS_SECRET", OCTETS.decode())
    db = sqlite3.connect("orders.db")
    db.executescript(TABLES)

    def asked(query: str) -> Any:
        return db.execute(query).fetchone()[0]

    yield asked
    db.close()


def flask_fix(check: str) -> Flask:
    app = Flask("fix")
    keys = KeyRing.of(Secret(OCTETS, key_id="k1"))
    names: dict[str, Any] = {"app": app, "keys": keys, "KeyRing": KeyRing, "Secret": Secret, "preset": preset}
    names |= {"Guard": Guard, "SQLiteStore": SQLiteStore, "json_pointer": json_pointer, "replace": replace}
    scheme, store = preset("tocsin-v1"), SQLiteStore("orders.db")
    names |= {"scheme": scheme, "store": store, "guard": Guard(scheme, keys, store)}
    exec(compile(code(check, "flask"), check, "exec"), names)  # the code is ours
    return app


@pytest.mark.parametrize("check", explained())
@pytest.mark.usefixtures("orders")
def test_every_flask_fix_runs_and_a_route_of_it_applies_a_signed_message_once(check: str) -> None:
    app = flask_fix(check)
    body = json.dumps(MESSAGE).encode()
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        message = Message("POST", rule.rule, tuple(SIGNED.items()), body)
        headers = sign(message, preset("tocsin-v1"), Secret(OCTETS, key_id="k1"), now=time.time())
        client = app.test_client()
        first, second = (client.post(rule.rule, data=body, headers=[*message.headers, *headers]) for _ in range(2))
        assert (first.status_code, first.data) == (200, second.data)
        assert second.headers["Idempotent-Replayed"] == "true"
        assert client.post(rule.rule, data=body, headers=SIGNED).status_code == 401


def test_the_flask_fix_of_over_allocation_stops_at_nothing_left(orders: Callable[[str], Any]) -> None:
    client = flask_fix("over-allocation").test_client()
    statuses = []
    for place in range(7):
        body = json.dumps(MESSAGE | {"order_id": f"o-{place}"}).encode()
        message = Message("POST", "/order", (("Idempotency-Key", f"k-{place}"),), body)
        headers = sign(message, preset("tocsin-v1"), Secret(OCTETS, key_id="k1"), now=time.time())
        statuses.append(client.post("/order", data=body, headers=[*message.headers, *headers]).status_code)
    assert statuses == [200] * 5 + [409] * 2
    assert orders("SELECT stock FROM items") == 0


def test_the_django_fixes_run_on_a_database_of_their_own(tmp_path: Path) -> None:
    """In a process of their own: Django is configured once for all."""
    for check in explained():
        (tmp_path / f"{check}.py").write_text(code(check, "django"), encoding="utf-8")
    ran(sys.executable, "-W", "error", str(FIXES / "run_django.py"), str(tmp_path))


def fastapi_fix(check: str) -> dict[str, Any]:
    names: dict[str, Any] = {"app": FastAPI(), "Request": Request, "HTTPException": HTTPException, "Headers": Headers}
    names |= {"BaseModel": BaseModel, "ConfigDict": ConfigDict, "Field": Field, "Annotated": Annotated}
    names |= {"hmac": hmac, "hashlib": hashlib, "json": json, "re": re, "asyncio": asyncio, "random": random}
    names |= {"DeadlockDetected": DeadlockDetected, "SerializationFailure": SerializationFailure}
    names |= {"PoolTimeout": TimeoutError, "SECRET": OCTETS, "SECRETS": [b"another one", OCTETS]}
    exec(compile(code(check, "fastapi"), check, "exec"), names)  # the code is ours
    return names


@pytest.mark.parametrize("check", explained())
def test_every_fastapi_fix_is_python_that_defines_something(check: str) -> None:
    before = {"app", "Request"}
    assert {name for name, value in fastapi_fix(check).items() if callable(value)} > before


def test_the_fastapi_fix_verifies_before_it_parses() -> None:
    names = fastapi_fix("parse-before-verification")
    app: FastAPI = names["app"]

    @app.post("/order")
    async def order(request: Request) -> Any:
        return await names["verified_json"](request)

    body = json.dumps(MESSAGE).encode()
    right = hmac.new(OCTETS, body, hashlib.sha256).hexdigest()
    client = TestClient(app)
    assert client.post("/order", content=body, headers={"X-Signature": right}).json() == MESSAGE
    for given, sent in ((b"0" * 64, body), (b"", body), (b"\xe9", b"{")):
        assert client.post("/order", content=sent, headers={b"X-Signature": given}).status_code == 401
    assert client.post("/order", content=b"x" * 65_537).status_code == 413


def test_the_fastapi_fixes_refuse_what_they_say() -> None:
    is_fresh = fastapi_fix("stale-timestamp")["is_fresh"]
    assert [is_fresh(text, 1_000.5) for text in ("1000", "701", "1300", "700", "1301", "01000", "1_000", "")] == [
        *[True] * 3,
        *[False] * 5,
    ]
    is_signed = fastapi_fix("signature-bypass")["is_signed"]
    right = hmac.new(OCTETS, b"{}", hashlib.sha256).hexdigest()
    assert is_signed(b"{}", Headers({"x-signature": right}))
    for given in ([], [right, right], [right[:-1]], ["none"], [right.upper()], [""]):
        assert not is_signed(b"{}", Headers(raw=[(b"x-signature", one.encode()) for one in given]))
    for check, wrong in (
        ("instruction-injection", '{"order_id":"1","item":"a","signature_valid":true}'),
        ("signed-robustness", '{"order_id":null,"item":"a"}'),
        ("signed-robustness", '{"order_id":17,"item":"a"}'),
        ("signed-robustness", '{"order_id":"","item":"a"}'),
        ("signed-robustness", "[]"),
    ):
        order = fastapi_fix(check)["Order"]
        order.model_validate_json('{"order_id":"1","item":"a"}')
        with pytest.raises(ValidationError):
            order.model_validate_json(wrong)


@pytest.mark.parametrize("check", explained())
def test_every_actix_fix_is_rust_as_its_formatter_writes_it(check: str) -> None:
    """tests/report/fixes/check_types.py has the compilers look at it, which takes minutes the first time."""
    rustfmt = needs("rustfmt", "rustup component add rustfmt")
    if subprocess.run([rustfmt, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("rustup has no toolchain for this user; rustup default stable")
    ran(rustfmt, "--edition", "2021", "--config", "max_width=80", "--check", stdin=f"{code(check, 'actix')}\n")


def test_the_express_fixes_are_javascript_and_refuse_what_they_say(tmp_path: Path) -> None:
    node = needs("node", "apt-get install nodejs")
    for check in explained():
        (tmp_path / f"{check}.js").write_text(code(check, "express"), encoding="utf-8")
    ran(node, str(FIXES / "run_express.js"), str(tmp_path))


@pytest.mark.parametrize("check", explained())
def test_every_go_fix_is_go_as_its_formatter_writes_it(check: str) -> None:
    gofmt = needs("gofmt", "apt-get install golang-go")
    text = f"package fix\n\n{code(check, 'go')}\n"
    done = subprocess.run([gofmt], input=text, text=True, capture_output=True, check=False)
    assert (done.stderr, done.stdout) == ("", text)
