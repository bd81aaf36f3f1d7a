import errno
import gc
import os
import sys
import threading

import pytest

from tocsin.wire._gate import Gate


class _Sends:
    """Stands for sockets: notes what is sent, in which order and whether garbage collection was on."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.collecting: list[bool] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        self.collecting.append(gc.isenabled())
        return len(data)


def test_everything_leaves_in_the_order_given() -> None:
    sends = _Sends()
    opening = Gate([(sends.send, b"a"), (sends.send, b"b"), (sends.send, b"c")]).open()
    assert sends.sent == [b"a", b"b", b"c"]
    assert opening.whole == (True, True, True)
    assert list(opening.sent_ns) == sorted(opening.sent_ns)


def test_garbage_collection_is_off_while_it_opens_and_on_afterwards() -> None:
    sends = _Sends()
    Gate([(sends.send, b"a")]).open()
    assert sends.collecting == [False]
    assert gc.isenabled()


def test_garbage_collection_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        Gate([(_Sends().send, b"a")]).open()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_connection_that_has_ended_does_not_keep_the_others_back() -> None:
    sends = _Sends()

    def ended(_: bytes) -> int:
        raise BrokenPipeError(errno.EPIPE, "...")

    opening = Gate([(sends.send, b"a"), (ended, b"b"), (sends.send, b"c")]).open()
    assert sends.sent == [b"a", b"c"]
    assert opening.whole == (True, False, True)


def test_what_the_kernel_did_not_take_whole_is_told() -> None:
    assert Gate([(lambda _: 1, b"ab")]).open().whole == (False,)


def test_an_interrupt_at_the_gate_turns_garbage_collection_on_again() -> None:
    def interrupted(_: bytes) -> int:
        raise KeyboardInterrupt

    gate = Gate([(interrupted, b"a")])
    with pytest.raises(KeyboardInterrupt):
        gate.open()
    assert gc.isenabled()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives scheduling policies to threads by this call")
def test_while_it_opens_no_ordinary_thread_takes_its_place_where_the_system_allows_that() -> None:
    before = os.sched_getscheduler(0)
    policies = []

    def send(data: bytes) -> int:
        policies.append(os.sched_getscheduler(0))
        return len(data)

    may = _may_have_priority()
    Gate([(send, b"a")]).open()
    assert policies == [os.SCHED_RR if may else before]
    assert os.sched_getscheduler(0) == before

    # Between members that leave apart the server is to act, perhaps on this very processor.
    Gate([(send, b"a"), (send, b"b")], [0, 50]).open()
    assert policies[1:] == [before, before]


@pytest.mark.skipif(sys.platform != "linux", reason="as above")
def test_where_the_system_does_not_allow_priority_it_opens_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "...")

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    sends = _Sends()
    assert Gate([(sends.send, b"a"), (sends.send, b"b")]).open().whole == (True, True)


def _may_have_priority() -> bool:
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, policy, parameter)
    return True


def test_members_leave_as_far_apart_as_asked_for_the_first_at_once() -> None:
    sends = _Sends()
    opening = Gate([(sends.send, b"a"), (sends.send, b"b"), (sends.send, b"c")], [100, 350, 4100]).open()
    first, second, third = opening.sent_ns
    assert sends.sent == [b"a", b"b", b"c"]
    assert second - first >= 250_000
    assert third - first >= 4_000_000


def test_every_release_can_have_a_thread_of_its_own() -> None:
    threads: list[str] = []

    def send(data: bytes) -> int:
        threads.append(threading.current_thread().name)
        return len(data)

    opening = Gate([(send, b"a"), (send, b"b"), (send, b"c")], [0, 0, 300], threads=True).open()
    assert opening.whole == (True, True, True)
    assert len(set(threads)) == 3
    assert threading.current_thread().name not in threads
    assert opening.sent_ns[2] - min(opening.sent_ns[:2]) >= 0


def test_a_thread_whose_connection_has_ended_is_told_as_such() -> None:
    def ended(_: bytes) -> int:
        raise BrokenPipeError(errno.EPIPE, "...")

    assert Gate([(ended, b"a"), (lambda _: 1, b"b")], threads=True).open().whole == (False, True)
