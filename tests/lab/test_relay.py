"""`tocsin lab relay`: a network that delays, and loses and reorders nothing."""

import asyncio
import hashlib
import os

import pytest

from lab._relay import Link, serve
from tocsin.cli import main


async def relayed(upstream: int, link: Link) -> tuple[asyncio.Task[None], int]:
    """A running relay to that port, and where it listens."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve("127.0.0.1", 0, ("127.0.0.1", upstream), link, listening.set_result))
    return task, await listening


async def digest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A service that answers once the client has ended its side."""
    writer.write(hashlib.sha256(await reader.read(-1)).digest())
    writer.close()


def test_bytes_arrive_whole_and_in_order_on_every_connection_and_a_half_close_passes_through() -> None:
    payloads = [os.urandom(300_000) for _ in range(5)]

    async def through(port: int, payload: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for start in range(0, len(payload), 7001):
            writer.write(payload[start : start + 7001])
            await writer.drain()
        writer.write_eof()
        answer = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
        return answer

    async def run() -> list[bytes]:
        async with await asyncio.start_server(digest, "127.0.0.1", 0) as service:
            task, port = await relayed(service.sockets[0].getsockname()[1], Link(0.001, 0.003))
            answers = await asyncio.gather(*(through(port, payload) for payload in payloads))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return answers

    assert asyncio.run(run()) == [hashlib.sha256(payload).digest() for payload in payloads]


def test_a_dead_service_is_a_connection_that_ends() -> None:
    async def run() -> bytes:
        async with await asyncio.start_server(digest, "127.0.0.1", 0) as service:
            dead = service.sockets[0].getsockname()[1]
        task, port = await relayed(dead, Link(0, 0))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await reader.read(-1)
        writer.close()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return answer

    assert asyncio.run(run()) == b""


@pytest.mark.parametrize("value", ["-1", "nan", "10001", "fast"])
def test_a_delay_that_is_none_is_refused(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lab", "relay", "8101", "--delay-ms", value])
    assert ended.value.code == 2
    assert f"{value!r}: wanted milliseconds, from 0 to 10000" in capsys.readouterr().err
