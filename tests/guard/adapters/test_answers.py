"""The answer table of the guard, row by row, on every adapter."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import repeat
from typing import Any

import pytest

from tests.guard.adapters.service import Handler, Produced, Refusal, Reply, Service, write_order
from tests.guard.shop import SECRET
from tests.guard.xor import Xor
from tocsin.guard import Signed, Transaction, json_pointer
from tocsin.signing import Header, Secret, preset

Make = Callable[..., Service]
TOCSIN = preset("tocsin-v1")
FORGED = Secret(b"somebody else's secret")


def writes_then(ending: Callable[[], Produced]) -> Handler:
    """A handler that writes an order, and then ends in some way."""

    def handler(signed: Signed, tx: Transaction) -> Produced:
        write_order(signed, tx)
        return ending()

    return handler


def raises(error: BaseException) -> Handler:
    def fail() -> Produced:
        raise error

    return writes_then(fail)


def refusing(make: Make, status: int, **options: Any) -> Service:
    service = make(handler=raises(Refusal(status)), **options)
    if not service.has_http_errors:
        service.close()
        pytest.skip("this framework has no HTTP errors of its own")
    return service


def test_first_time_is_the_handlers_answer_after_commit(service: Service) -> None:
    answer = service.order()
    assert (answer.status, answer.is_replay) == (201, False)
    assert (service.orders, service.claims) == (["17"], 1)


def test_a_later_duplicate_gets_the_stored_bytes_and_changes_nothing(service: Service) -> None:
    first, again = service.order(), service.order()
    assert again.stored() == first.stored()
    assert (first.is_replay, again.is_replay) == (False, True)
    assert (service.runs, service.orders) == (1, ["17"])


@pytest.mark.parametrize(
    "ending",
    [
        lambda: Produced(204, b"", ()),
        lambda: Produced(303, b"", (("Location", "/elsewhere"),)),
        lambda: Produced(409, b"out of stock"),
        lambda: Produced(201, b"\x00\xff\xfe", (("Content-Type", "application/octet-stream"),)),
        lambda: Produced(200, b"x" * 100_000),
        lambda: Produced(200, headers=(("X-Latin", "\xe9"), ("X-Several", "a"), ("X-Several", "b"))),
        lambda: Produced(206, parts=(b"str", b"", b"eam")),
        lambda: Produced(200, b"no type", ()),
        lambda: Produced(200, b"ok", (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"))),
    ],
    ids=["204", "redirect", "409", "binary", "large", "headers", "stream", "no content type", "cookies"],
)
def test_every_remembered_answer_is_replayed_byte_for_byte(make: Make, ending: Callable[[], Produced]) -> None:
    """204, redirects, refusals, cookies, streams run once; libraries that do not store them run the handler again."""
    service = make(handler=writes_then(ending))
    first, again = service.order(), service.order()
    assert again.stored() == first.stored()
    assert again.is_replay
    assert (service.runs, service.orders) == (1, ["17"])


def test_an_answer_says_its_length_once_and_one_without_a_body_does_not(make: Make) -> None:
    endings = iter([Produced(200, b"four"), Produced(204, b"", ())])
    service = make(handler=writes_then(lambda: next(endings)))
    assert [service.order(1).field("Content-Length"), service.order(1).field("Content-Length")] == [["4"], ["4"]]
    assert [service.order(2).field("Content-Length"), service.order(2).field("Content-Length")] == [[], []]


def test_headers_filters_what_duplicates_get(make: Make) -> None:
    def without_cookies(fields: tuple[Header, ...]) -> tuple[Header, ...]:
        return tuple(field for field in fields if field[0].lower() != "set-cookie")

    ending = Produced(headers=(("Set-Cookie", "session=1"),))
    service = make(handler=writes_then(lambda: ending), headers=without_cookies)
    assert service.order().field("Set-Cookie") == ["session=1"]
    assert service.order().field("Set-Cookie") == []


def test_a_seal_keeps_answers_from_whoever_reads_the_database(make: Make) -> None:
    service = make(seal=Xor())
    first = service.order()
    (stored,) = service.query("SELECT headers, body FROM tocsin_claims")
    assert first.json()["receipt"].encode() not in stored[0] + stored[1]
    assert service.order().stored() == first.stored()


@pytest.mark.parametrize("secret", [SECRET, FORGED], ids=["signed", "forged"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["with its length", "chunked"])
def test_a_body_over_the_cap_is_413_before_it_is_hashed(make: Make, secret: Secret, *, is_chunked: bool) -> None:
    service = make(max_body_bytes=100)
    body = b'{"order_id":"17","padding":"' + b"x" * 100 + b'"}'
    headers = service.signed(body, secret=secret)
    answer = service.request("/order", headers, [body[:60], body[60:]] if is_chunked else body)
    assert answer.status == 413
    assert answer.field("Content-Type") == ["application/problem+json"]
    assert "100 bytes" in answer.json()["detail"]
    assert (service.runs, service.claims) == (0, 0)


def test_an_endless_body_is_413_and_not_read_to_its_end(make: Make) -> None:
    service = make(max_body_bytes=1000)
    if not service.ends_bodies:
        pytest.skip("this framework has read the body to its end before any of its views is called")
    read: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(500)
            yield bytes(500)

    assert service.request("/order", (), endless()).status == 413
    assert sum(read) < 200_000


def test_a_body_in_parts_is_verified_as_one(service: Service) -> None:
    body = b'{"order_id":"17"}'
    answer = service.request("/order", service.signed(body), [body[:1], body[1:7], body[7:]])
    assert (answer.status, service.orders) == (201, ["17"])


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("X-Signature", ""),),
        (("X-Signature", "00"),),
        (("X-Signature", "\xe9"),),
        (("X-Signature", "a" * 64),),
        (("X-Signature", "A" * 64),),
        (("X-Signature", "a" * 64), ("X-Signature", "b" * 64)),
    ],
    ids=["missing", "empty", "short", "not ASCII", "wrong", "upper case", "twice"],
)
def test_whatever_is_wrong_with_a_signature_is_one_401_and_writes_nothing(
    service: Service, headers: tuple[Header, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    answer = service.request("/order", headers, b'{"order_id":"17"}')
    told = service.request("/order", (), b"[")
    assert answer.status == 401
    assert answer.stored() == told.stored()
    assert (service.runs, service.orders, service.claims) == (0, [], 0)
    assert "rejected: " in caplog.text


@pytest.mark.parametrize("age_s", [-301, 301], ids=["too far ahead", "too old"])
def test_a_message_outside_tolerance_is_401(make: Make, age_s: int) -> None:
    service = make(scheme=preset("stripe"))
    body = b'{"order_id":"17"}'
    headers = service.signed(body)
    service.clock.now += age_s
    assert service.request("/order", headers, body).status == 401


@pytest.mark.parametrize("body", [b'{"order_id":null}', b'{"order_id":"17","order_id":"18"}', b"[", b"\xff", b""])
def test_an_unusable_idempotency_key_is_400_and_writes_nothing(service: Service, body: bytes) -> None:
    answer = service.post(body)
    assert answer.status == 400
    assert "no usable idempotency key" in answer.json()["detail"].lower()
    assert (service.runs, service.claims) == (0, 0)


def test_the_same_key_with_another_request_is_422_and_learns_nothing(service: Service) -> None:
    first = service.order(amount=1)
    answer = service.order(amount=999)
    assert answer.status == 422
    assert first.json()["receipt"].encode() not in answer.body
    assert (service.runs, service.orders) == (1, ["17"])


def test_the_query_is_part_of_the_request(service: Service) -> None:
    """Elsewhere ?amount=999 is answered with the answer to ?amount=1."""
    answers = [service.post({"order_id": "17"}, target=f"/order?amount={amount}") for amount in (1, 1, 999)]
    assert [answer.status for answer in answers] == [201, 201, 422]


@pytest.mark.parametrize("target", ["/order", "/order?amount=1", "/order?a=%7E&b=%20&b=+"])
def test_a_signed_target_is_verified_as_it_was_spelled(make: Make, target: str) -> None:
    service = make(scheme=TOCSIN)
    headers = (("Idempotency-Key", "a"),)
    body = b'{"order_id":"17"}'
    signed = service.signed(body, target=target, headers=headers)
    assert service.request(target, signed, body).status == 201
    assert service.request(f"{target.partition('?')[0]}?amount=999", signed, body).status == 401


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 503])
def test_a_returned_status_that_is_not_remembered_rolls_back_and_a_retry_runs(make: Make, status: int) -> None:
    service = make(handler=writes_then(lambda: Produced(status, b"no")))
    answer = service.order()
    assert (answer.status, answer.body) == (status, b"no")
    assert (service.orders, service.claims) == ([], 0)
    service.handler = write_order
    assert service.order().status == 201
    assert service.orders == ["17"]


def test_a_returned_refusal_is_committed_with_its_writes(make: Make) -> None:
    """Returning says: this is my answer. Raising says: undo what I did."""
    service = make(handler=writes_then(lambda: Produced(403, b"limit")))
    first, again = service.order(), service.order()
    assert again.stored() == first.stored()
    assert (service.runs, service.orders) == (1, ["17"])


def test_a_raised_http_error_below_500_undoes_the_writes_and_is_remembered(make: Make) -> None:
    service = refusing(make, 404)
    first, again = service.order(), service.order()
    assert (first.status, again.is_replay) == (404, True)
    assert again.stored() == first.stored()
    assert (service.runs, service.orders, service.claims) == (1, [], 1)


def test_a_webhooks_404_is_not_remembered_so_that_the_provider_may_retry(make: Make) -> None:
    """The order may exist by the time the provider sends again."""
    service = refusing(make, 404, scheme=preset("stripe"), route={})
    assert service.post({"id": "evt_1"}).status == 404
    assert (service.orders, service.claims) == ([], 0)
    service.handler = write_order
    assert service.post({"id": "evt_1"}).status == 201
    assert service.orders == ["evt_1"]


def test_a_raised_http_error_from_500_on_is_rolled_back_whole(make: Make) -> None:
    service = refusing(make, 503)
    assert service.order().status == 503
    assert (service.orders, service.claims) == ([], 0)


def test_remember_is_the_developers_to_say(make: Make) -> None:
    route = {"key": json_pointer("/order_id"), "remember": {200}}
    service = make(handler=writes_then(lambda: Produced(410)), route=route)
    assert service.order().status == 410
    assert (service.orders, service.claims) == ([], 0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_anything_else_that_is_raised_is_rolled_back_and_raised_and_a_retry_runs(
    make: Make, error: type[BaseException]
) -> None:
    """BaseException too: no key stays locked, and nothing half-done stays."""
    service = make(handler=raises(error("of the test")))
    with pytest.raises(error):
        service.order()
    assert (service.orders, service.claims) == ([], 0)
    service.handler = write_order
    assert service.order().status == 201
    assert service.orders == ["17"]


@pytest.mark.parametrize(
    "ending",
    [
        lambda: Produced(body=b"x" * 1001),
        lambda: Produced(parts=[b"x" * 600, b"x" * 401]),
        lambda: Produced(parts=repeat(b"x" * 10)),
        lambda: Produced(parts=repeat(b"")),
    ],
    ids=["large", "large in parts", "endless", "endless and empty"],
)
def test_an_answer_over_the_cap_is_rolled_back_and_500_names_the_option(
    make: Make, ending: Callable[[], Produced]
) -> None:
    """Not "not stored, so run again": duplicates could not be given the same answer, so nothing is applied."""
    service = make(handler=writes_then(ending), max_answer_bytes=1000)
    answer = service.order()
    assert answer.status == 500
    assert "max_answer_bytes = 1000" in answer.json()["detail"]
    assert (service.orders, service.claims) == ([], 0)


@pytest.mark.parametrize("field", [("X-A", "a\r\nX-B: c"), ("X A", "a")], ids=["line break", "name"])
def test_an_answer_that_no_server_can_send_is_rolled_back_and_a_retry_runs(make: Make, field: Header) -> None:
    """Committed, it would be 500 to its sender, and to every duplicate for ever. Some frameworks refuse it earlier."""
    endings = iter([Produced(headers=(field,)), Produced(201)])
    service = make(handler=writes_then(lambda: next(endings)))
    with pytest.raises(Exception, match=r"(?i)header|newline|field|name"):
        service.order()
    assert (service.runs, service.orders, service.claims) == (1, [], 0)
    assert [service.order().status for _ in range(2)] == [201, 201]
    assert (service.runs, service.orders) == (2, ["17"])


def test_an_answer_without_a_body_is_stored_and_replayed_without_one(make: Make) -> None:
    service = make(handler=writes_then(lambda: Produced(204, b"left over", ())))
    assert [service.order().body for _ in range(2)] == [b"", b""]
    assert service.query("SELECT body FROM tocsin_claims") == [(b"",)]


def test_a_stream_that_fails_halfway_is_rolled_back(make: Make) -> None:
    def stream() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("halfway")

    service = make(handler=writes_then(lambda: Produced(parts=stream())))
    with pytest.raises(RuntimeError, match="halfway"):
        service.order()
    assert (service.orders, service.claims) == ([], 0)


def test_what_happens_afterwards_happens_once_and_after_the_commit(make: Make) -> None:
    seen: list[list[str]] = []
    service = make(handler=writes_then(lambda: Produced(afterwards=lambda: seen.append(service.orders))))
    if not service.has_afterwards:
        pytest.skip("in this framework nothing follows an answer")
    service.order()
    service.order()
    assert seen == [["17"]]


def test_an_unsettled_claim_is_answered_applied_answer_unknown_and_never_runs_by_itself(service: Service) -> None:
    """Only another program, or a person, can have committed it; that it was applied is all there is to know."""
    service.order()
    with closing(sqlite3.connect(service.path, isolation_level=None)) as db:
        db.execute("UPDATE tocsin_claims SET status = NULL, headers = NULL, body = NULL")
    answer = service.order()
    assert answer.status == 500
    assert answer.json()["detail"].startswith("The request was applied, and its answer is not known.")
    assert service.runs == 1


def test_a_handler_that_tried_to_commit_is_500_whatever_it_then_returned(make: Make) -> None:
    def meddles(signed: Signed, tx: Transaction) -> Produced:
        produced = write_order(signed, tx)
        with pytest.raises(Exception, match="refused"):
            tx.execute("COMMIT")
        return produced

    service = make(handler=meddles)
    answer = service.order()
    assert answer.status == 500
    assert (service.orders, service.claims) == ([], 0)


def test_the_operations_name_is_the_path_template_and_never_the_functions(service: Service) -> None:
    service.order()
    assert service.query("SELECT tenant, operation FROM tocsin_claims") == [("main", "/order")]


def test_a_retry_signed_afresh_is_a_duplicate(make: Make) -> None:
    """New timestamp, new signature, same message id: keyed on the signature it would take effect twice."""
    service = make(scheme=preset("stripe"), route={})
    first = service.post({"id": "evt_1"})
    service.clock.now += 3600
    again = service.post({"id": "evt_1", "attempt": 2})
    assert again.stored() == first.stored()
    assert service.orders == ["evt_1"]


def test_secrets_and_signatures_are_in_no_log(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever happens: accepted, forged, refused, failed."""
    caplog.set_level(0)
    service = make(wait_s=0.01)
    body = b'{"order_id":"17"}'
    signature = dict(service.signed(body))["X-Signature"]
    for sent in (signature, signature[::-1], signature.upper(), signature + "00", f"sha256={signature}"):
        service.request("/order", (("X-Signature", sent),), body)
    service.handler = raises(RuntimeError("a defect"))
    with pytest.raises(RuntimeError):
        service.order("18")
    for hidden in (signature, signature[::-1], signature.upper(), "a secret of the tests"):
        assert hidden not in caplog.text


def test_a_reply_has_no_field_that_belongs_to_one_connection(make: Make) -> None:
    own = (("Connection", "close"), ("Keep-Alive", "5"), ("Date", "now"), ("Server", "shop"), ("X-Kept", "1"))
    service = make(handler=writes_then(lambda: Produced(headers=own)))
    first: Reply = service.order()
    assert [(name.lower(), value) for name, value in first.headers] == [("x-kept", "1"), ("content-length", "2")]
