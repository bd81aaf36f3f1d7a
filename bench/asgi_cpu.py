"""What an asynchronous request costs in processor time, layer by layer: `python -m bench.asgi_cpu [--requests 3000]`

No server and no sockets: signed orders, each with an id of its own, are handed to ASGI applications in their own
process, from 64 clients that each begin again when they are answered. The applications are those of bench.serving, and
beside them the same two without a database, and with the signature's verification alone. Columns: processor time of the
process, and of its event loop's thread; the same without garbage collection, whose walk grows with what waiting
requests hold; calls of Python functions. Every row is a process of its own; the smallest of several runs counts,
because whatever else the machine does only adds. It writes nothing: what is quoted comes from bench.serving.
"""

import argparse
import asyncio
import gc
import hashlib
import hmac
import importlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).parent
CLIENTS = 64
BODY_BYTES = 256
ROUNDS = 5
APPS = (
    "plain_asgi",
    "signed_asgi",
    "guarded_asgi",
    "plain_fastapi",
    "signed_fastapi",
    "queued_fastapi",
    "guarded_fastapi",
)

Event: TypeAlias = MutableMapping[str, Any]
App: TypeAlias = Callable[..., Awaitable[None]]
Order: TypeAlias = tuple[bytes, bytes]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each application in a process of its own."""
    parser = argparse.ArgumentParser(description="processor time of asynchronous requests, layer by layer")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--app", choices=APPS, help="only this one, in this process")
    arguments = parser.parse_args(argv)
    if arguments.app is not None:
        print(json.dumps(measured(arguments.app, arguments.requests)))
        return 0
    print(f"{'us a request, 64 clients':<24}{'all':>9}{'loop':>9}{'all, no gc':>12}{'calls':>9}")
    for app in APPS:
        command = [sys.executable, "-m", "bench.asgi_cpu", "--app", app, "--requests", str(arguments.requests)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        print(f"{app:<24}{found['all']:>9.1f}{found['loop']:>9.1f}{found['no gc']:>12.1f}{found['calls']:>9.0f}")
    return 0


def measured(name: str, requests: int) -> dict[str, float]:
    """Microseconds and calls a request."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as scratch:
        os.environ |= {"LAB_SECRET": secret, "LAB_DATA": scratch}
        sys.path.insert(0, str(HERE / "services"))
        application = importlib.import_module(name).app
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_measured(application, secret.encode(), requests))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The loop that uvicorn would take."""
    try:
        import uvloop  # noqa: PLC0415  not on every machine
    except ModuleNotFoundError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _measured(application: App, secret: bytes, requests: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        router = getattr(application, "router", None)
        if router is not None:
            await stack.enter_async_context(router.lifespan_context(application))
        await burst(application, orders(secret, 500))
        runs = [await _timed(application, orders(secret, requests)) for _ in range(ROUNDS)]
        calls = await _counted(application, orders(secret, 10 * CLIENTS))
        gc.collect()
        gc.disable()
        bare = [await _timed(application, orders(secret, requests)) for _ in range(ROUNDS)]
    return {
        "all": min(run[0] for run in runs),
        "loop": min(run[1] for run in runs),
        "no gc": min(run[0] for run in bare),
        "calls": calls,
    }


async def _timed(application: App, load: Sequence[Order]) -> tuple[float, float]:
    """Of the process, and of this thread."""
    process, thread = time.process_time(), time.thread_time()
    await burst(application, load)
    return tuple((end - begin) / len(load) * 1e6 for begin, end in _since(process, thread))  # type: ignore[return-value]


def _since(process: float, thread: float) -> tuple[tuple[float, float], tuple[float, float]]:
    return (process, time.process_time()), (thread, time.thread_time())


async def _counted(application: App, load: Sequence[Order]) -> float:
    """Calls of Python functions, and resumptions of coroutines, on any thread."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    threading.setprofile(profile)
    sys.setprofile(profile)
    await burst(application, load)
    sys.setprofile(None)
    threading.setprofile(None)
    return count / len(load)


async def burst(application: App, load: Iterable[Order]) -> None:
    """Send everything, from 64 clients at once."""
    left = iter(load)

    async def client() -> None:
        for body, signature in left:
            # A task for each request, as a server makes one.
            await asyncio.create_task(_sent(application, body, signature))

    await asyncio.gather(*[client() for _ in range(CLIENTS)])


async def _sent(application: App, body: bytes, signature: bytes) -> None:
    statuses: list[int] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Event:
        return next(parts)

    async def send(event: Event) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "root_path": "",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"content-type", b"application/json"),
            (b"x-signature", signature),
            (b"content-length", b"%d" % len(body)),
        ],
        "state": {},
        "method": "POST",
        "path": "/order",
        "raw_path": b"/order",
        "query_string": b"",
    }
    await application(scope, receive, send)
    assert statuses == [200], statuses


def orders(secret: bytes, count: int) -> list[Order]:
    """Bodies and their signatures."""
    made = []
    for _ in range(count):
        body = json.dumps({"order_id": uuid.uuid4().hex, "note": ""}).encode()
        body = body[:-2] + b"." * (BODY_BYTES - len(body)) + body[-2:]
        made.append((body, hmac.new(secret, body, hashlib.sha256).hexdigest().encode()))
    return made


if __name__ == "__main__":
    sys.exit(main())
