import select
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tocsin.wire import Failure, request_bytes
from tocsin.wire._h1 import Split
from tocsin.wire._h1_line import H1Line
from tocsin.wire._member import Member
from tocsin.wire._sockets import TcpTransport
from tocsin.wire.testing import RecordingPeer, Script, answer

_REQUEST = request_bytes("POST", "/", [], b"a" * 20_000_000, host="h")


@contextmanager
def _line(peer: RecordingPeer) -> Iterator[H1Line]:
    line = H1Line(TcpTransport(peer.address), Member(0), Split(_REQUEST, b""))
    try:
        while not line.opened:
            select.select([], [line.transport], [])
            line.advance()
        yield line
    finally:
        line.close()


def _cut_off(line: H1Line, peer: RecordingPeer) -> None:
    """Send without listening until the peer has ended the connection."""
    line.push()
    peer.wait_ended()
    while line.sendable:
        select.select([], [line.transport], [])
        line.push()


def test_an_answer_that_came_before_the_connection_was_cut_is_still_read() -> None:
    with RecordingPeer(Script(when="begun", reply=answer(413))) as peer, _line(peer) as line:
        _cut_off(line, peer)
        line.take(line.receive())
        (member,) = line.members
        assert member.response is not None
        assert member.response.status == 413
        assert line.unsent


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\n\r\nno length"])
def test_the_end_of_a_connection_that_was_cut_while_sending_is_no_orderly_end(reply: bytes) -> None:
    with RecordingPeer(Script(when="begun", reply=reply)) as peer, _line(peer) as line:
        _cut_off(line, peer)
        while not line.finished:
            select.select([line.transport], [], [])
            line.take(line.receive())
        (member,) = line.members
        assert (member.response, member.failure) == (None, Failure.CLOSED)


def test_waking_up_for_nothing_changes_nothing() -> None:
    with RecordingPeer() as peer, _line(peer) as line:
        line.take(line.receive())
        assert not line.finished
