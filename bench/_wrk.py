"""Load by wrk: signed orders that are prepared once, each with an id of its own.

wrk takes an order from a file for less than a microsecond, so that the two processors are the service's.
"""

import hashlib
import hmac
import json
import shutil
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("_wrk.lua")
BODY_BYTES = 256


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk counted.

    Args:
        answers: complete answers of any status.
        seconds: how long it took.
        not_2xx: answers with a status of 400 or more; the services send no other that is not 2xx.
        unanswered: connections refused, reset or timed out.
        p50_ms: the median latency.
        p99_ms: what 1 % took longer than.
        max_ms: the longest.
    """

    answers: int
    seconds: float
    not_2xx: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    max_ms: float

    @property
    def good_per_s(self) -> float:
        """2xx answers per second."""
        return (self.answers - self.not_2xx) / self.seconds


@dataclass(frozen=True, slots=True)
class Orders:
    """A file of prepared requests, all of one length.

    Args:
        path: the file.
        record_bytes: the length of each.
    """

    path: Path
    record_bytes: int


def missing() -> str:
    """Why this machine cannot run wrk, or ""."""
    return "" if shutil.which("wrk") else "wrk is missing: apt-get install wrk"


def prepare(path: Path, count: int, secret: bytes) -> Orders:
    """Write that many signed orders: POST /order, hex HMAC-SHA256 of the body in X-Signature."""
    record_bytes = 0
    with path.open("wb") as file:
        for _ in range(count):
            record = _order(uuid.uuid4().hex, secret)
            record_bytes = file.write(record)
    return Orders(path, record_bytes)


def _order(order_id: str, secret: bytes) -> bytes:
    body = json.dumps({"order_id": order_id, "note": ""}).encode()
    body = body[:-2] + b"." * (BODY_BYTES - len(body)) + body[-2:]
    signature = hmac.new(secret, body, hashlib.sha256).hexdigest()
    head = (
        "POST /order HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(port: int, orders: Orders, *, clients: int, seconds: float) -> Load:
    """Send orders from that many clients at once, each with one connection that it keeps.

    Raises:
        CalledProcessError: wrk failed; what it said has been printed.
    """
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:g}s", "--timeout", "20s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{port}", "--", str(orders.path), str(orders.record_bytes)]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    line = next(line for line in said.splitlines() if line.startswith("JSON "))
    return Load(**json.loads(line.removeprefix("JSON ")))
