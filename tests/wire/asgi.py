"""A real ASGI server in a thread, on a port that the kernel chooses, and an application that notes what it is asked."""

import asyncio
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.wire.certificates import Certificates
from tocsin.wire import Address
from tocsin.wire._address import Protocol, Trust

_SECOND_WORD_S = 0.5


class Recorder:
    """An application that answers 200 with the body it was sent.

    Args:
        together: no request is answered before this many are complete.
    """

    def __init__(self, together: int = 1) -> None:
        self.together = together
        self.begun_ns: list[int] = []
        self.complete_ns: list[int] = []
        self.requests: list[tuple[str, str, str, dict[bytes, bytes], bytes]] = []
        self._complete = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        if scope["type"] != "http":
            return
        self.begun_ns.append(time.monotonic_ns())
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        self.complete_ns.append(time.monotonic_ns())
        target = scope["raw_path"].decode()
        self.requests.append((scope["http_version"], scope["method"], target, dict(scope["headers"]), body))
        if len(self.requests) % self.together == 0:
            self._complete.set()
        await self._complete.wait()
        headers = [(b"content-length", b"%d" % len(body)), (b"x-echo", b"yes")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def hypercorn(
    app: Any,
    *,
    certificates: Certificates | None = None,
    alpn: tuple[str, ...] = ("h2", "http/1.1"),
    protocol: Protocol = "auto",
    **settings: Any,
) -> Iterator[Address]:
    """Hypercorn, with or without TLS, or over QUIC for "h3"; the address trusts its certificate."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.alpn_protocols = list(alpn)
    config.graceful_timeout = 0
    config.errorlog = None
    for name, value in settings.items():
        setattr(config, name, value)
    if certificates:
        config.certfile, config.keyfile = certificates.certificate, certificates.key
    sockets = config.create_sockets()
    bound = (sockets.secure_sockets or sockets.insecure_sockets)[0]
    bound.listen(256)
    if protocol == "h3":
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        sockets.quic_sockets = [bound]
    port: int = bound.getsockname()[1]
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]  # so that the port is known before it serves
    with _over_quic() if protocol == "h3" else nullcontext(), _running(app, config):
        trust = Trust(certificates.ca_file) if certificates else Trust()
        yield Address("https" if certificates else "http", "localhost", port, "127.0.0.1", (), protocol, trust)


@contextmanager
def _running(app: Any, config: Config) -> Iterator[None]:
    running = asyncio.new_event_loop()
    # At the end it cancels what waits on connections that the client has closed, and would log every one of them.
    running.set_exception_handler(lambda *_: None)
    datagram_ends = _noted_datagram_ends(running)
    stop = asyncio.Event()
    serving = running.create_task(serve(app, config, shutdown_trigger=stop.wait))
    thread = threading.Thread(target=running.run_until_complete, args=(serving,))
    thread.start()
    try:
        yield
    finally:
        running.call_soon_threadsafe(stop.set)
        thread.join(_SECOND_WORD_S if datagram_ends else None)
        while thread.is_alive():
            # Over QUIC it can take the first cancellation for that of a connection's timer, and wait for ever.
            running.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks() - {serving}])
            thread.join(_SECOND_WORD_S)
        for end in datagram_ends:
            end.close()
        running.run_until_complete(asyncio.sleep(0))  # for what closing has put off
        running.close()


@contextmanager
def _over_quic() -> Iterator[None]:
    """Hypercorn makes timers for connections of QUIC that are ending, and forgets them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "coroutine 'QuicProtocol._handle_timer'", RuntimeWarning)
        yield


def _noted_datagram_ends(running: asyncio.AbstractEventLoop) -> list[asyncio.BaseTransport]:
    """The transports over UDP that are made on this loop: hypercorn closes none of its own."""
    made: list[asyncio.BaseTransport] = []
    create = running.create_datagram_endpoint

    async def created(*args: Any, **options: Any) -> Any:
        end, protocol = await create(*args, **options)
        made.append(end)
        return end, protocol

    running.create_datagram_endpoint = created  # type: ignore[method-assign]
    return made
