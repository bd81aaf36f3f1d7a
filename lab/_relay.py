"""A TCP relay that delays and jitters every connection by itself, and loses nothing: a network between scanner and lab.

Rule: within a connection bytes stay in order and are never merged with later ones; between connections nothing is kept.
Each piece that arrives leaves after `delay` plus a new random part of `jitter`, but never before the piece ahead of it.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

_PIECE_BYTES = 65536
# On their way at once, each way; then the sender has to wait, as a network's queues would make it.
_MOST_PIECES = 256


@dataclass(frozen=True, slots=True)
class Link:
    """How the network behaves, each way.

    Args:
        delay_s: what every piece takes at least.
        jitter_s: up to so much more, uniformly, anew for every piece.
    """

    delay_s: float
    jitter_s: float

    def transit_s(self) -> float:
        """How long the next piece takes."""
        return self.delay_s + random.uniform(0, self.jitter_s)


async def serve(host: str, port: int, upstream: tuple[str, int], link: Link, ready: Callable[[int], None]) -> None:
    """Relay until cancelled.

    Args:
        host: where to listen; a loopback address.
        port: likewise; 0: any free one.
        upstream: where everything goes.
        link: how long it takes.
        ready: called with the port once it listens.

    Raises:
        OSError: the port is taken.
    """

    # asyncio itself holds tasks weakly: one that waits for a peer that has gone quiet would be collected, half closed.
    relaying: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        relaying.add(task)
        try:
            await relayed(reader, writer)
        finally:
            relaying.discard(task)

    async def relayed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*upstream)
        except OSError:
            # As a network would have it: the client sees a connection that ends.
            writer.close()
            return
        try:
            await asyncio.gather(_carry(reader, up_writer, link), _carry(up_reader, writer, link))
        except* ConnectionError:
            pass  # reset by one side; both are closed below
        finally:
            up_writer.close()
            writer.close()

    server = await asyncio.start_server(connected, host, port)
    async with server:
        ready(server.sockets[0].getsockname()[1])
        await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
    """One direction of one connection, to its end; the other one may go on."""
    pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_PIECES)
    async with asyncio.TaskGroup() as both:
        both.create_task(_arrive(reader, pieces, link))
        both.create_task(_leave(pieces, writer))


async def _arrive(reader: asyncio.StreamReader, pieces: asyncio.Queue[tuple[float, bytes]], link: Link) -> None:
    loop = asyncio.get_running_loop()
    due = loop.time()
    piece = b"at least one round"
    while piece:
        piece = await reader.read(_PIECE_BYTES)
        due = max(due, loop.time() + link.transit_s())
        await pieces.put((due, piece))


async def _leave(pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due, piece = await pieces.get()
        await asyncio.sleep(due - loop.time())
        if not piece:
            writer.write_eof()
            return
        writer.write(piece)
        await writer.drain()
