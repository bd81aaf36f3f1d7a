"""lab/flask-vulnerable, with WINDOW_US microseconds more between its look and its INSERT; 0 leaves it as it is.

Started in that service's folder, whose app.py it imports.
"""

import os
import sqlite3
import time
from typing import Any

import app as vulnerable  # type: ignore[import-not-found]  # the lab service's, in the folder where this runs

WINDOW_S = int(os.environ["WINDOW_US"]) / 1e6


class Widened(sqlite3.Connection):
    """Waits before it inserts an order."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:  # noqa: ANN401  as sqlite3 has it
        if sql.startswith("INSERT INTO orders"):
            time.sleep(WINDOW_S)
        return super().execute(sql, parameters)


def connect() -> sqlite3.Connection:
    return sqlite3.connect(vulnerable.DATABASE, isolation_level=None, factory=Widened)


if WINDOW_S:
    vulnerable.connect = connect
app = vulnerable.app
