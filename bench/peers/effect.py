"""What the endpoint does, the same for every library: one row in a database, and then what the client asked for.

A request says in X-Do what is to happen after the row is written. Whether a handler runs for the first time is kept in
files, which no rollback undoes.
"""

import json
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path(os.environ.get("DATA", "."))
EFFECTS = DATA / "effects.db"
SCHEMA = "CREATE TABLE IF NOT EXISTS effects (order_id TEXT NOT NULL)"
INSERT = "INSERT INTO effects VALUES (?)"
# As long as a handler that calls something else: duplicates that arrive together meet in it.
PAUSE_S = {"work": 0.02, "slow": 0.4}


@dataclass(frozen=True)
class Done:
    """What the endpoint answers."""

    status: int
    document: dict[str, str]
    headers: dict[str, str] = field(default_factory=dict)


class Failed(Exception):  # noqa: N818  it says what happened to the handler
    """The handler failed after its effect."""


def perform(body: bytes, do: str, write: Callable[[str], object]) -> Done:
    """Write the order and do what the client asked for; no two runs answer the same."""
    order_id = json.loads(body)["order_id"]
    write(order_id)
    is_first = _is_first(order_id)
    if do == "raise" and is_first:
        raise Failed
    if do == "kill" and is_first:
        os.kill(os.getpid(), signal.SIGKILL)
    document = {"receipt": secrets.token_hex(8)}
    if do == "503" and is_first:
        return Done(503, document)
    if do == "204":
        return Done(204, {})
    return Done(201, document, {"Set-Cookie": f"session={secrets.token_hex(4)}"} if do == "cookie" else {})


def _is_first(order_id: str) -> bool:
    try:
        os.close(os.open(DATA / f"ran-{order_id}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
