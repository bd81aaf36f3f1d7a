"""Real servers, each with the same service behind the middleware."""

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.signing.servers import apps

HERE = Path(__file__).parent


class Quiet(WSGIRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass


def listener() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@contextmanager
def wsgiref_server() -> Iterator[int]:
    with make_server("127.0.0.1", 0, apps.wsgi, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def gunicorn_server() -> Iterator[int]:
    with listener() as bound:
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{bound.fileno()}", "--log-level", "error"]
        command += ["--worker-class", "gthread", "--threads", "4", "apps:wsgi"]
        process = subprocess.Popen(command, pass_fds=(bound.fileno(),), cwd=HERE)
        try:
            yield bound.getsockname()[1]
        finally:
            process.terminate()
            process.wait()


@contextmanager
def uvicorn_server() -> Iterator[int]:
    with listener() as bound:
        server = uvicorn.Server(uvicorn.Config(apps.asgi, log_level="critical", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        yield bound.getsockname()[1]
        server.should_exit = True
        thread.join()


@contextmanager
def hypercorn_server() -> Iterator[int]:
    bound = listener()
    port = bound.getsockname()[1]
    config = Config()
    # Detached, because hypercorn closes it.
    config.bind = [f"fd://{bound.detach()}"]
    config.graceful_timeout = 1
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    run = serve(apps.asgi, config, shutdown_trigger=ended.wait)  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run_until_complete, args=(run,))
    thread.start()
    yield port
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "wsgiref": wsgiref_server,
    "gunicorn": gunicorn_server,
    "uvicorn": uvicorn_server,
    "hypercorn": hypercorn_server,
}


@pytest.fixture(scope="package", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """Name and port of a running server."""
    with SERVERS[request.param]() as port:
        yield request.param, port
