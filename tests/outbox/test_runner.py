"""A runner delivers what has been committed: signed afresh each time, under one id, until its receiver has it."""

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import pytest
from standardwebhooks import Webhook

from bench.outboxing.places import SECRET
from bench.outboxing.receiver import STANDARD, Delivery, Receiver, accept, receiving
from tests.outbox.conftest import Place
from tests.outbox.contract import put, take
from tocsin.outbox import Kept, OutboxError, OutboxUnavailable, Retries, State
from tocsin.outbox._delivery import Destination, Sender
from tocsin.outbox._runner import Options, Runner
from tocsin.signing import Secret, preset

AT_ONCE = Options(Retries((0, 0, 0), lambda: 0.5), poll_s=0.01)


def destination(receiver: Receiver, name: str = "partner", **more: Any) -> Destination:
    return Destination(name, receiver.url, receiver.scheme, SECRET, **more)


@contextmanager
def running(place: Place, *destinations: Destination, options: Options = AT_ONCE) -> Iterator[Runner]:
    runner = Runner(place.outbox, destinations, options)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield runner
    finally:
        runner.stop()
        thread.join()


def kept(place: Place) -> dict[str, Kept]:
    with place.outbox.connected() as session:
        return {one.id: one for one in session.list(most=1000)}


def test_what_is_committed_while_a_runner_runs_is_delivered_once(place: Place) -> None:
    with receiving() as receiver:
        with running(place, destination(receiver)):
            ids = put(place, *["partner"] * 20)
            came = receiver.wait_for(20)
        assert sorted(one.id for one in came) == sorted(ids)
        assert len(receiver.came) == 20
    assert all(one.verified for one in came)
    assert {one.state for one in kept(place).values()} == {State.DELIVERED}


def test_the_reference_library_of_standard_webhooks_verifies_what_is_sent(file_place: Place) -> None:
    secret = b"an oracle's secret of 32 octets."
    webhook = Webhook("whsec_" + b64encode(secret).decode())
    with receiving() as receiver:
        (message_id,) = put(file_place, "partner")
        Runner(file_place.outbox, [Destination("partner", receiver.url, STANDARD, Secret(secret))]).run_once()
        (came,) = receiver.came
    assert webhook.verify(came.body, came.headers) == {"n": 0}
    assert came.headers["webhook-id"] == message_id
    assert came.headers["content-type"] == "application/json"


def test_a_scheme_without_an_id_leaves_it_to_the_idempotency_key(file_place: Place) -> None:
    with receiving(scheme=preset("hex-sha256-body")) as receiver:
        (message_id,) = put(file_place, "partner")
        Runner(file_place.outbox, [destination(receiver)]).run_once()
        (came,) = receiver.came
    assert came.verified
    assert came.headers["idempotency-key"] == f'"{message_id}"'


def test_a_failure_is_sent_again_under_the_same_id_and_a_new_signature(file_place: Place) -> None:
    statuses = iter([500, 404, 301, 204])

    def answers(_delivery: Delivery) -> tuple[int, dict[str, str]]:
        return next(statuses), {"Location": f"{receiver.url}/elsewhere"}

    with receiving(answers) as receiver:
        (message_id,) = put(file_place, "partner")
        with running(file_place, destination(receiver)):
            came = receiver.wait_for(4)
    assert len(receiver.came) == 4
    assert {one.id for one in came} == {one.headers["webhook-id"] for one in came} == {message_id}
    assert all(one.verified for one in came)
    assert kept(file_place)[message_id].state is State.DELIVERED


def test_a_message_is_dead_after_the_last_step_and_others_go_on(file_place: Place) -> None:
    def answers(delivery: Delivery) -> tuple[int, dict[str, str]]:
        return (500 if delivery.body == b'{"n":0}' else 204), {}

    with receiving(answers) as receiver:
        bad, good = put(file_place, "partner", "partner")
        with running(file_place, destination(receiver)):
            receiver.wait_for(5)
    found = kept(file_place)
    assert (found[bad].state, found[bad].attempts, found[bad].error) == (State.DEAD, 4, "answered 500")
    assert (found[good].state, found[good].attempts) == (State.DELIVERED, 1)


def test_410_is_the_end_at_once(file_place: Place) -> None:
    with receiving(lambda _: (410, {})) as receiver:
        (message_id,) = put(file_place, "partner")
        Runner(file_place.outbox, [destination(receiver)], AT_ONCE).run_once()
    assert kept(file_place)[message_id].state is State.DEAD
    assert len(receiver.came) == 1


@pytest.mark.parametrize("value", ["90", "date", "soon", "-1", "²"])
def test_retry_after_is_heeded_where_it_says_a_time(value: str, file_place: Place) -> None:
    field = formatdate(time.time() + 90, usegmt=True) if value == "date" else value
    with receiving(lambda _: (429, {"Retry-After": field.encode().decode("latin-1")})) as receiver:
        (message_id,) = put(file_place, "partner")
        options = Options(Retries((10, 300), lambda: 0.5))
        before = time.time()
        Runner(file_place.outbox, [destination(receiver)], options).run_once()
    due = kept(file_place)[message_id].due_unix_ms
    assert due is not None
    waited = due / 1000 - before
    assert 85 < waited < 150 if value in {"90", "date"} else 9 < waited < 70


def test_a_destination_that_hangs_keeps_nobody_else_waiting(file_place: Place) -> None:
    go_on = threading.Event()

    def hang(_delivery: Delivery) -> tuple[int, dict[str, str]]:
        go_on.wait(60)
        return 204, {}

    with receiving(hang) as slow, receiving() as quick:
        put(file_place, *["slow"] * 8, *["quick"] * 8)
        with running(file_place, destination(slow, "slow"), destination(quick, "quick")):
            slow.wait_for(4)
            quick.wait_for(8)
            assert len(slow.came) == 4, "as many at once as it has workers"
            go_on.set()
            slow.wait_for(8)


def test_a_receiver_that_closes_or_refuses_is_a_failure_without_its_url(file_place: Place) -> None:
    with receiving() as receiver:
        gone = Destination("partner", f"{receiver.url}?token=canary-7d1f", STANDARD, SECRET)
    (message_id,) = put(file_place, "partner")
    Runner(file_place.outbox, [gone], AT_ONCE).run_once()
    assert kept(file_place)[message_id].error == "no answer: ConnectError"
    assert "canary" not in repr(gone)


def test_an_error_of_ours_is_a_failed_sending_and_not_the_end(
    file_place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = Sender.send

    def breaks(self: Sender, message: Any) -> Any:
        if message.body == b'{"n":0}':
            raise RuntimeError("a bug")
        return real(self, message)

    monkeypatch.setattr(Sender, "send", breaks)
    with receiving() as receiver:
        bad, good = put(file_place, "partner", "partner")
        Runner(file_place.outbox, [destination(receiver)], Options()).run_once()
    found = kept(file_place)
    assert (found[bad].state, found[bad].error) == (State.WAITING, "not sent: RuntimeError")
    assert found[good].state is State.DELIVERED
    assert "this is a bug in tocsin" in caplog.text


@pytest.mark.parametrize(("cut_off", "sent"), [(3, 1), (4, 0)])
def test_a_sending_whose_runner_was_killed_is_one_of_those_that_a_message_has(
    cut_off: int, sent: int, file_place: Place
) -> None:
    (message_id,) = put(file_place, "partner")
    with file_place.outbox.connected() as session:
        for _ in range(cut_off):
            assert session.take("partner", now_s=time.time(), lease_s=0) is not None
    with receiving(lambda _: (500, {})) as receiver:
        Runner(file_place.outbox, [destination(receiver)], AT_ONCE).run_once()
    assert len(receiver.came) == sent
    found = kept(file_place)[message_id]
    error = "answered 500" if sent else "no sending left: the last ones failed, or their runners ended"
    assert (found.state, found.error) == (State.DEAD, error)


@pytest.mark.parametrize("status", [204, 410])
def test_the_log_tells_no_end_that_the_message_does_not_have(
    status: int, file_place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def answers(_delivery: Delivery) -> tuple[int, dict[str, str]]:
        assert take(file_place) is not None, "somebody else, after the lease"
        return status, {}

    with receiving(answers) as receiver:
        (message_id,) = put(file_place, "partner")
        Runner(file_place.outbox, [destination(receiver)], AT_ONCE).run_once()
    assert kept(file_place)[message_id].state is State.WAITING
    assert "its lease had ended, and somebody else has it" in caplog.text
    assert "delivered" not in caplog.text
    assert "dead" not in caplog.text


def test_a_runner_waits_for_a_database_that_is_away(file_place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the first connections one fails as a server's restart lets it fail."""
    real, failed = file_place.outbox.connected, threading.Event()

    def connected() -> Any:
        if not failed.is_set():
            failed.set()
            raise OutboxUnavailable("away")
        return real()

    monkeypatch.setattr(file_place.outbox, "connected", connected)
    with receiving() as receiver:
        put(file_place, "partner")
        with running(file_place, destination(receiver, workers=1)):
            receiver.wait_for(1)
    failed.clear()
    with pytest.raises(OutboxUnavailable):
        Runner(file_place.outbox, [destination(receiver)]).run_once()


def test_what_was_delivered_is_let_go_of_in_time(file_place: Place) -> None:
    with receiving() as receiver:
        put(file_place, "partner")
        options = Options(keep_delivered_s=0)
        Runner(file_place.outbox, [destination(receiver)], options).run_once()
        assert kept(file_place) == {}
        put(file_place, "partner")
        Runner(file_place.outbox, [destination(receiver)], Options(keep_delivered_s=None)).run_once()
        assert len(kept(file_place)) == 1


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"url": "http://partner.example/hooks"}, "would be read on its way; wanted https"),
        ({"url": "ftp://partner.example"}, "wanted https://host/path"),
        ({"url": "https://user:canary@partner.example/"}, "without user, password and fragment"),
        ({"url": "https://[::1/"}, "wanted https://host/path"),
        ({"url": "https://partner.example:x/"}, "wanted https://host/path"),
        ({"url": "https://partner.example/hooks\n"}, "wanted https://host/path"),
        ({"timeout_s": 0}, "wanted more than 0, at most 60"),
        ({"workers": 65}, "wanted 1 to 64"),
        ({"name": "A"}, "wanted 1 to 64 of a-z"),
    ],
)
def test_a_destination_that_cannot_be_is_refused(more: dict[str, Any], wanted: str) -> None:
    usual = {"name": "partner", "url": "https://partner.example/hooks", "scheme": STANDARD, "secret": SECRET}
    given: dict[str, Any] = usual | more
    with pytest.raises(OutboxError, match=wanted) as caught:
        Destination(**given)
    assert "canary" not in str(caught.value)


def test_a_scheme_with_key_ids_wants_a_secret_with_one() -> None:
    with pytest.raises(OutboxError, match="partner: "):
        Sender(Destination("partner", "https://partner.example/", preset("tocsin-v1"), Secret(b"x" * 32)))


def test_accepting_is_what_receivers_do_unless_told_otherwise() -> None:
    assert accept(Delivery({}, b"", verified=True)) == (204, {})
