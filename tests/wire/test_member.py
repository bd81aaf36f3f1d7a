import select
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tocsin.wire import Failure, request_bytes
from tocsin.wire._member import Member
from tocsin.wire._sockets import TcpTransport
from tocsin.wire.testing import RecordingPeer, Script, answer

_REQUEST = request_bytes("POST", "/", [], b"a" * 20_000_000, host="h")


@contextmanager
def _member(peer: RecordingPeer) -> Iterator[Member]:
    member = Member(TcpTransport(peer.address), _REQUEST, _REQUEST)
    try:
        while not member.opened:
            select.select([], [member.transport], [])
            member.advance()
        yield member
    finally:
        member.close()


def _cut_off(member: Member, peer: RecordingPeer) -> None:
    """Send without listening until the peer has ended the connection."""
    member.push()
    peer.wait_ended()
    while member.sendable:
        select.select([], [member.transport], [])
        member.push()


def test_an_answer_that_came_before_the_connection_was_cut_is_still_read() -> None:
    with RecordingPeer(Script(when="begun", reply=answer(413))) as peer, _member(peer) as member:
        _cut_off(member, peer)
        member.take(member.receive())
        assert member.response is not None
        assert member.response.status == 413
        assert member.unsent


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\n\r\nno length"])
def test_the_end_of_a_connection_that_was_cut_while_sending_is_no_orderly_end(reply: bytes) -> None:
    with RecordingPeer(Script(when="begun", reply=reply)) as peer, _member(peer) as member:
        _cut_off(member, peer)
        while not member.finished:
            select.select([member.transport], [], [])
            member.take(member.receive())
        assert (member.response, member.failure) == (None, Failure.CLOSED)


def test_waking_up_for_nothing_changes_nothing() -> None:
    with RecordingPeer() as peer, _member(peer) as member:
        member.take(member.receive())
        assert not member.finished
