"""Inside a service that is looked at: which layer its processor time goes to, and what SQLite is told.

Each thread has a profiler of its own, on its own processor time; what is written in C counts for whoever called it,
databases apart. Threads that Python did not start (Robyn's) are not seen. Profiling slows Python down, so only the
shares mean anything. On Python 3.12 and later a profiler sees all threads at once, and the layers stay empty.
"""

import json
import re
import sqlite3
import sqlite3.dbapi2
import sys
import threading
from collections import Counter
from cProfile import Profile
from pathlib import Path
from threading import Thread
from time import thread_time
from types import CodeType
from typing import Any

# The first that a path holds.
_LAYERS = (
    (re.compile(r"/src/tocsin/signing/"), "guard: verify"),
    (re.compile(r"/src/tocsin/guard/stores/"), "guard: store"),
    (re.compile(r"/src/tocsin/guard/adapters/"), "guard: adapter"),
    (re.compile(r"/src/tocsin/guard/"), "guard: flow"),
    (re.compile(r"/bench/costs/"), "handler"),
    (re.compile(r"/site-packages/([a-z0-9]+)"), ""),
)
# Of what is written in C, and a layer of its own.
_DATABASES = (("sqlite3.", "sqlite3"), ("psycopg", "psycopg"))


def begin(talk: Path) -> None:
    """Look, and obey what is written to the pipe `talk`/orders: begin, and end, which makes a `talk`/report."""
    profiles: list[Profile] = []
    told: Counter[str] = Counter()

    def profile(*_: object) -> None:
        mine = Profile(thread_time)
        profiles.append(mine)
        mine.enable()

    plain = sqlite3.connect

    def connect(*given: Any, **more: Any) -> Any:  # noqa: ANN401  whatever it is given
        connection = plain(*given, **more)
        connection.set_trace_callback(lambda sql: told.update([sql.split(maxsplit=1)[0].upper()]))
        return connection

    def obey() -> None:
        with (talk / "orders").open() as orders:
            orders.readline()
            before = layers(profiles), Counter(told)
            orders.readline()
        found = {"layers": layers(profiles) - before[0], "sqlite": told - before[1]}
        (talk / "unfinished").write_text(json.dumps(found))
        (talk / "unfinished").rename(talk / "report")

    Thread(target=obey, daemon=True).start()
    # Before anything of the service is imported, so that every connection is made by it.
    sqlite3.connect = sqlite3.dbapi2.connect = connect
    if sys.version_info < (3, 12):
        threading.setprofile(profile)
        profile()


def layers(profiles: list[Profile]) -> "Counter[str]":
    """Seconds of each layer."""
    spent: Any = Counter()
    for profile in list(profiles):
        for entry in profile.getstats():
            if not isinstance(entry.code, CodeType):
                continue
            mine = _layer(entry.code)
            spent[mine] += entry.inlinetime
            for call in entry.calls or ():
                if isinstance(call.code, str):
                    database = next((name for part, name in _DATABASES if part in call.code), mine)
                    spent[database] += call.inlinetime
    return Counter(spent)


def _layer(code: CodeType) -> str:
    for pattern, name in _LAYERS:
        found = pattern.search(code.co_filename)
        if found:
            return name or found[1]
    return "standard library"
