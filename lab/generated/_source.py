"""The program of a generated service, put together from its traits.

Rule: an ordinary program. Its windows are where real ones are, between one statement and the next of a real server's
threads, tasks and processes; nothing in it knows that it is looked at.
"""

from lab.generated._fronts import FRONTS, GUARD_IMPORTS, IMPORTS
from lab.generated._handler import USABLE, apply_source, member_of, operation_source
from lab.generated._papers import member, route
from lab.generated._stores import store_source
from lab.generated._traits import Traits
from lab.generated._verification import verification_source

CAPACITY = 5

_HEAD = '''"""Written by `tocsin lab generate {seed}`; expected.toml says what is true of it."""

import asyncio
import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import sqlite3
import threading
import time
import uuid
from contextlib import {context}contextmanager{as_context}, closing{more}
from pathlib import Path
{imports}
SECRET = os.environ["LAB_SECRET"].encode()
DATA = Path(os.environ["LAB_DATA"])
# How many pieces a new thing has, where there is a limit; what its number begins with, and how an effect changes it.
CAPACITY = {capacity}
LIMITED = {limited}
START, STEP = {start}, {step}
CONDITION = "{condition}"
RESET_FORGETS = {reset_forgets}
TOLERANCE_S = {tolerance_s}

'''

_PAUSES = {
    "sleep": '''
def pause():
    """As long as a call to another service takes."""
    time.sleep({seconds})
''',
    "busy": '''
def pause():
    """A sum that takes about {ms:g} ms."""
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", {rounds})
''',
    "loop": '''
async def pause():
    """As long as a call to another service takes."""
    await asyncio.sleep({seconds})
''',
}

_RESPOND = '''
@A@def respond(method, path, header, body):
    """The status and the JSON for a request."""
{operation}{also}    if path == "{things}" and method == "POST":
        thing = f"{thing_prefix}-{{uuid.uuid4().hex[:12]}}"
        store.make(thing)
        return 201, {made}
    if path.startswith("{things}/") and method == "GET":
        found = store.count(path.removeprefix("{things}/"))
        return (404, {{"error": "no such thing"}}) if found is None else (200, {shown})
    if path == "{reset}" and method == "POST":
        store.forget()
        return 200, {{"status": "reset"}}
    if path == "/__others":
        return 200, {{"count": store.bumped()}}
    if path.startswith("/__effects/"):
        return 200, {{"count": store.effects(path.removeprefix("/__effects/"))}}
    return 404, {{"error": "no such route"}}
'''


def source(traits: Traits) -> str:
    """The text of app.py."""
    parts = [_head(traits), _pause(traits), _stored(traits)]
    if traits.is_guarded:
        parts += [_respond(traits), FRONTS["flask"], _guarded(traits)]
    else:
        parts += [
            verification_source(traits),
            _READING,
            apply_source(traits),
            operation_source(traits),
            _respond(traits),
        ]
        parts.append(FRONTS[traits.front])
    return _awaited("\n".join(part.strip("\n") + "\n\n" for part in parts).rstrip() + "\n", traits)


def _awaited(text: str, traits: Traits) -> str:
    on_loop = traits.front == "asyncio"
    return text.replace("@A@", "async " if on_loop else "").replace("@W@", "await " if on_loop else "")


def _head(traits: Traits) -> str:
    limited = traits.kind == "stock"
    imports = IMPORTS[traits.front]
    if traits.storage == "postgres":
        imports += "\nimport psycopg\n"
    if traits.is_guarded:
        module, store = ("sqlite", "SQLiteStore") if traits.storage == "sqlite" else ("postgres", "PostgresStore")
        imports += GUARD_IMPORTS.format(module=module, store=store)
    on_loop = traits.front == "asyncio"
    return _HEAD.format(
        seed=traits.seed,
        context="async" if on_loop else "",
        as_context=" as context",
        more="" if on_loop else ", contextmanager",
        imports=imports,
        capacity=CAPACITY,
        limited=limited,
        start=CAPACITY * traits.amount if limited else 0,
        step=-traits.amount if limited else traits.amount,
        condition=f"AND count >= {traits.amount}" if limited else "",
        reset_forgets=traits.reset_forgets,
        tolerance_s=traits.signature.tolerance_s,
    )


def _pause(traits: Traits) -> str:
    kind = "loop" if traits.front == "asyncio" else "busy" if traits.busy and traits.window_ms else "sleep"
    # About 2,500 rounds take a millisecond on a machine of today.
    rounds = int(2500 * traits.window_ms) or 1
    return _PAUSES[kind].format(seconds=traits.window_ms / 1000, ms=traits.window_ms, rounds=rounds)


def _stored(traits: Traits) -> str:
    on_loop = traits.front == "asyncio"
    text = store_source(
        traits.storage, on_loop=on_loop, is_torn=traits.is_torn, patience_s=traits.patience_s, order=traits.order
    )
    return f"{text.strip()}\n\n\nstore = Store()\n"


_READING = '''
def read(body):
    """The JSON of a body, None if it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def rewritten(body):
    """The body as we would write it."""
    return json.dumps(read(body), separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def at(found, *path):
    """The member at the end of a path, None if there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
'''


def _respond(traits: Traits) -> str:
    shape = traits.shape
    pattern = shape.operation.replace("{thing}", "([^/]+)")
    call = "@W@operation(method, path, found[1] if found.groups() else None, header, body)"
    operation = f'    if (found := re.fullmatch(r"{pattern}", path)) and method == "POST":\n        return {call}\n'
    also = (
        f'    if path == "{shape.also}" and method == "POST":\n'
        "        if verified(method, path, header, body) is None:\n"
        '            return 401, {"error": "bad signature"}\n'
        "        store.bump()\n"
        '        return 200, {"status": "done"}\n'
    )
    count = "str(found[0])" if shape.count_is_text else "found[0]"
    beside = f'"{shape.taken}": found[1]' + (f', "{shape.applied}": found[2]' if traits.order else "")
    shown = member(shape.count_path, count, beside=beside)
    return _RESPOND.format(
        operation="" if traits.is_guarded else operation,
        also=also if shape.also else "",
        things=shape.things,
        thing_prefix=route(shape.things),
        made=member(shape.made_path, "thing"),
        shown=shown,
        reset=shape.reset,
    )


def _guarded(traits: Traits) -> str:
    """The operation behind tocsin.guard, above the routes that are not signed."""
    shape = traits.shape
    where = 'os.environ["LAB_DATABASE"]' if traits.storage == "postgres" else 'DATA / "state.db"'
    store = "PostgresStore" if traits.storage == "postgres" else "SQLiteStore"
    usable = USABLE[shape.id_is_number]
    mark = "%s" if traits.storage == "postgres" else "?"
    return f'''
def at(found, *path):
    """The member at the end of a path, None if there is none."""
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


claims = {store}({where})
{"claims.migrate()" if traits.storage == "postgres" else ""}
guard = Guard({traits.signature.for_guard()}, KeyRing.of(Secret.from_env("LAB_SECRET")), claims)


@app.post("{shape.operation}")
@guard.flask(key=json_pointer("/{"/".join(shape.id_path)}"))
def operation(signed, tx):
    found = signed.json()
    order_id, thing = {member_of(shape.id_path, strict=True)}, {member_of(shape.thing_path, strict=True)}
    if not ({usable} and isinstance(thing, str) and thing.isascii()):
        return {{"error": "wanted an id and what it is about"}}, 400
    pause()
    change = f"UPDATE things SET count = count + {{STEP}}, taken = taken + 1 WHERE id = {mark} {{CONDITION}}"
    if tx.execute(change, (thing,)).rowcount == 0:
        return {{"error": "nothing left"}}, {traits.refused}
{_numbered(traits, mark)}    tx.execute("INSERT INTO effects VALUES ({mark})", (str(order_id),))
    return {{"status": "done", "receipt": uuid.uuid4().hex}}, {traits.done}
'''


def _numbered(traits: Traits, mark: str) -> str:
    """The statement that keeps a message's number, where messages are numbered."""
    if not traits.order:
        return ""
    larger = "GREATEST" if traits.storage == "postgres" else "MAX"
    newest = mark if traits.order == "last" else f"{larger}(number, {mark})"
    values = f'(at(found, "{traits.shape.number}"), thing)'
    return f'    tx.execute("UPDATE things SET number = {newest} WHERE id = {mark}", {values})\n'
