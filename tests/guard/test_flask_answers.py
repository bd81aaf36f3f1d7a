"""The answer table of the guard, row by row, on Flask and SQLite."""

import io
import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask import Response, abort, jsonify, make_response, redirect, request, stream_with_context
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException, NotFound, ServiceUnavailable

from tests.guard.shop import SECRET, Shop, write_order
from tests.guard.xor import Xor
from tocsin.guard import Signed, Transaction, json_pointer
from tocsin.signing import Header, Secret, preset

MakeShop = Callable[..., Shop]
TOCSIN = preset("tocsin-v1")


def received(answer: Any) -> tuple[int, list[Header], bytes]:
    """What a duplicate has to get again: status, header fields, body."""
    fields = [field for field in answer.headers if field[0] != "Idempotent-Replayed"]
    return answer.status_code, fields, answer.data


def handler_that_writes_then(ending: Callable[[], Any]) -> Callable[..., Any]:
    def handler(signed: Signed, tx: Transaction) -> Any:
        write_order(signed, tx)
        return ending()

    return handler


def test_first_time_is_the_handlers_answer_after_commit(shop: Shop) -> None:
    answer = shop.order()
    assert answer.status_code == 200
    assert json.loads(answer.data)["status"] == "processed"
    assert "Idempotent-Replayed" not in answer.headers
    assert (shop.orders, shop.claims) == (["17"], 1)


def test_a_later_duplicate_gets_the_stored_bytes_and_changes_nothing(shop: Shop) -> None:
    first, again = shop.order(), shop.order()
    assert received(again) == received(first)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (shop.runs, shop.orders) == (1, ["17"])


@pytest.mark.parametrize(
    "ending",
    [
        lambda: ("", 204),
        lambda: redirect("/elsewhere", 303),
        lambda: ({"error": "out of stock"}, 409),
        lambda: Response(b"\x00\xff\xfe", 201, content_type="application/octet-stream"),
        lambda: Response("x" * 100_000),
        lambda: jsonify([1, 2]),
        lambda: (iter(["a", "b"]), 200, {"X-Several": "fields"}),
        lambda: Response((part for part in (b"str", b"eam")), 206),
    ],
    ids=["204", "redirect", "409", "binary", "large", "json", "iterator", "generator"],
)
def test_every_remembered_answer_is_replayed_byte_for_byte(
    make_shop: MakeShop, ending: Callable[[], ResponseReturnValue]
) -> None:
    """204, redirects, refusals and streams run once; libraries that do not store them run the handler again."""
    shop = make_shop(handler=handler_that_writes_then(ending))
    first, again = shop.order(), shop.order()
    assert received(again) == received(first)
    assert (shop.runs, shop.orders) == (1, ["17"])


def test_an_answer_without_content_type_has_none_the_second_time_either(make_shop: MakeShop) -> None:
    def bare() -> Response:
        response = Response("", 204)
        del response.headers["Content-Type"]
        return response

    shop = make_shop(handler=handler_that_writes_then(bare))
    first, again = shop.order(), shop.order()
    assert "Content-Type" not in first.headers
    assert received(again) == received(first)


def test_cookies_are_replayed_each_in_its_own_field(make_shop: MakeShop) -> None:
    """Checkouts that set a cookie are not run again."""

    def cookies() -> Response:
        response = make_response("ok")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    shop = make_shop(handler=handler_that_writes_then(cookies))
    first, again = shop.order(), shop.order()
    assert len(again.headers.getlist("Set-Cookie")) == 2
    assert received(again) == received(first)
    assert shop.runs == 1


def test_headers_filters_what_duplicates_get(make_shop: MakeShop) -> None:
    def without_cookies(fields: tuple[Header, ...]) -> tuple[Header, ...]:
        return tuple(field for field in fields if field[0] != "Set-Cookie")

    def cookie() -> Response:
        response = make_response("ok")
        response.set_cookie("session", "1")
        return response

    shop = make_shop(handler=handler_that_writes_then(cookie), guard={"headers": without_cookies})
    assert "Set-Cookie" in shop.order().headers
    assert "Set-Cookie" not in shop.order().headers


def test_a_seal_keeps_answers_from_whoever_reads_the_database(make_shop: MakeShop) -> None:
    shop = make_shop(guard={"seal": Xor()})
    first = shop.order()
    stored = shop.query("SELECT headers, body FROM tocsin_claims")[0]
    assert json.loads(first.data)["receipt"].encode() not in stored[0] + stored[1]
    assert received(shop.order()) == received(first)


@pytest.mark.parametrize("secret", [SECRET, Secret(b"somebody else's secret")], ids=["signed", "forged"])
def test_a_body_over_the_cap_is_413_before_it_is_hashed(make_shop: MakeShop, secret: Secret) -> None:
    shop = make_shop(guard={"max_body_bytes": 100})
    answer = shop.post({"order_id": "17", "padding": "x" * 100}, secret=secret)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "100 bytes" in json.loads(answer.data)["detail"]
    assert (shop.runs, shop.claims) == (0, 0)


class CountingStream(io.RawIOBase):
    """An endless chunked body that knows how much of it was read."""

    size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.size += len(buffer)
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_a_chunked_body_over_the_cap_is_413_and_not_read_to_its_end(make_shop: MakeShop) -> None:
    """No Content-Length tells its size: the bytes are counted."""
    shop = make_shop(guard={"max_body_bytes": 1000})
    stream = CountingStream()
    overrides = {"wsgi.input": stream, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    answer = shop.app.test_client().post("/order", environ_overrides=overrides)
    assert answer.status_code == 413
    assert stream.size < 200_000


def test_the_applications_own_lower_limit_holds(shop: Shop) -> None:
    shop.app.config["MAX_CONTENT_LENGTH"] = 10
    assert shop.order().status_code == 413


def test_a_body_that_was_read_before_the_guard_is_measured_too(make_shop: MakeShop) -> None:
    """A before_request function that looks at the body does not lift the cap, and leaves it to be verified."""
    shop = make_shop(guard={"max_body_bytes": 100})
    shop.app.before_request(lambda: request.get_data() and None)
    assert shop.post({"order_id": "17", "padding": "x" * 100}).status_code == 413
    assert shop.order().status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Signature", "")],
        [("X-Signature", "00")],
        [("X-Signature", "\xe9")],
        [("X-Signature", "a" * 64)],
        [("X-Signature", "A" * 64)],
        [("X-Signature", "a" * 64), ("X-Signature", "b" * 64)],
    ],
    ids=["missing", "empty", "short", "not ASCII", "wrong", "upper case", "twice"],
)
def test_whatever_is_wrong_with_a_signature_is_one_401_and_writes_nothing(
    shop: Shop, headers: list[Header], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tocsin.guard")
    client = shop.app.test_client()
    answer = client.post("/order", data=b'{"order_id":"17"}', headers=headers)
    told = client.post("/order", data=b"[")
    assert answer.status_code == 401
    assert received(answer) == received(told)
    assert (shop.runs, shop.orders, shop.claims) == (0, [], 0)
    assert "rejected: " in caplog.text


@pytest.mark.parametrize("now", [-301, 301], ids=["too far ahead", "too old"])
def test_a_message_outside_tolerance_is_401(make_shop: MakeShop, now: int) -> None:
    shop = make_shop(scheme=preset("stripe"))
    body = b'{"order_id":"17"}'
    headers = shop.signed(body)
    shop.clock.now += now
    assert shop.app.test_client().post("/order", data=body, headers=list(headers)).status_code == 401


def test_an_unusable_idempotency_key_is_400_and_writes_nothing(shop: Shop) -> None:
    answer = shop.order(None)
    assert answer.status_code == 400
    assert "/order_id is null" in json.loads(answer.data)["detail"]
    assert (shop.runs, shop.claims) == (0, 0)


@pytest.mark.parametrize(
    "keys", [[], [""], ["a", "b"], ['"a'], ["ä"], ["x" * 256]], ids=["missing", "empty", "twice", "quote", "ä", "long"]
)
def test_a_required_idempotency_key_that_is_missing_malformed_or_given_twice_is_refused(
    make_shop: MakeShop, keys: list[str]
) -> None:
    """Well signed, as WSGI shows it: fields of one name joined by a comma. Without a signature it would be 401."""
    shop = make_shop(scheme=TOCSIN, route={})
    signed = shop.signed(b"{}", headers=(("Idempotency-Key", ",".join(keys)),))
    sent = [field for field in signed if keys or field[0] != "Idempotency-Key"]
    answer = shop.app.test_client().post("/order", data=b"{}", headers=sent)
    assert answer.status_code == 400
    assert "no usable idempotency key" in json.loads(answer.data)["detail"].lower()
    assert (shop.runs, shop.claims) == (0, 0)


def test_the_same_key_with_another_request_is_422_and_learns_nothing(shop: Shop) -> None:
    first = shop.order(amount=1)
    answer = shop.order(amount=999)
    assert answer.status_code == 422
    assert json.loads(first.data)["receipt"].encode() not in answer.data
    assert (shop.runs, shop.orders) == (1, ["17"])


@pytest.mark.parametrize("status", [408, 423, 425, 429, 500, 503])
def test_a_returned_status_that_is_not_remembered_rolls_back_and_a_retry_runs(make_shop: MakeShop, status: int) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: ("no", status)))
    answer = shop.order()
    assert (answer.status_code, answer.data) == (status, b"no")
    assert (shop.orders, shop.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 200
    assert shop.orders == ["17"]


def test_a_returned_refusal_is_committed_with_its_writes(make_shop: MakeShop) -> None:
    """Returning says: this is my answer. Raising says: undo what I did."""
    shop = make_shop(handler=handler_that_writes_then(lambda: ({"error": "limit"}, 403)))
    first, again = shop.order(), shop.order()
    assert received(again) == received(first)
    assert (shop.runs, shop.orders) == (1, ["17"])


def test_a_raised_http_error_below_500_undoes_the_writes_and_is_remembered(make_shop: MakeShop) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: abort(404)))
    first, again = shop.order(), shop.order()
    assert first.status_code == 404
    assert again.headers["Idempotent-Replayed"] == "true"
    assert received(again) == received(first)
    assert (shop.runs, shop.orders, shop.claims) == (1, [], 1)


def test_a_webhooks_404_is_not_remembered_so_that_the_provider_may_retry(make_shop: MakeShop) -> None:
    """The order may exist by the time the provider sends again."""
    shop = make_shop(scheme=preset("stripe"), handler=handler_that_writes_then(lambda: abort(404)), route={})
    assert shop.post({"id": "evt_1"}).status_code == 404
    assert (shop.orders, shop.claims) == ([], 0)
    shop.handler = write_order
    assert shop.post({"id": "evt_1"}).status_code == 200
    assert shop.orders == ["evt_1"]


def test_remember_is_the_developers_to_say(make_shop: MakeShop) -> None:
    shop = make_shop(
        handler=handler_that_writes_then(lambda: ("gone", 410)),
        route={"key": json_pointer("/order_id"), "remember": {200}},
    )
    shop.order()
    assert shop.claims == 0


def test_errors_are_rendered_by_the_applications_own_handlers(make_shop: MakeShop) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: abort(404)))
    shop.app.errorhandler(404)(lambda _: ({"error": "no such thing"}, 404, {"X-Shop": "1"}))
    first, again = shop.order(), shop.order()
    assert first.data == b'{"error":"no such thing"}\n'
    assert received(again) == received(first)


def test_an_exceptions_type_decides_and_not_what_its_handler_makes_of_it(make_shop: MakeShop) -> None:
    """A defect that is rendered as 400 is still a defect: rolled back, and a retry runs."""

    class OutOfMemoryError(Exception):
        pass

    def fail() -> ResponseReturnValue:
        raise OutOfMemoryError

    shop = make_shop(handler=handler_that_writes_then(fail))
    shop.app.register_error_handler(OutOfMemoryError, lambda _: ("sorry", 400))
    assert shop.order().status_code == 400
    assert (shop.orders, shop.claims) == ([], 0)


def test_abort_with_a_response_counts_by_its_status(make_shop: MakeShop) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: abort(Response("not you", 403))))
    first, again = shop.order(), shop.order()
    assert (first.status_code, first.data) == (403, b"not you")
    assert received(again) == received(first)
    assert (shop.runs, shop.orders) == (1, [])


@pytest.mark.parametrize(
    "error", [ServiceUnavailable(), HTTPException(response=Response("down", 502))], ids=["503", "502"]
)
def test_a_raised_http_error_from_500_on_is_rolled_back_whole(make_shop: MakeShop, error: HTTPException) -> None:
    def fail() -> ResponseReturnValue:
        raise error

    shop = make_shop(handler=handler_that_writes_then(fail))
    assert shop.order().status_code in {502, 503}
    assert (shop.orders, shop.claims) == ([], 0)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_anything_else_that_is_raised_is_rolled_back_and_raised_and_a_retry_runs(
    make_shop: MakeShop, error: type[BaseException]
) -> None:
    """BaseException too: no key stays locked, and nothing half-done stays."""

    def fail() -> ResponseReturnValue:
        raise error

    shop = make_shop(handler=handler_that_writes_then(fail))
    with pytest.raises(error):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)
    shop.handler = write_order
    assert shop.order().status_code == 200
    assert shop.orders == ["17"]


def test_an_exception_is_flasks_to_answer(make_shop: MakeShop) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: 1 // 0))
    shop.app.config["PROPAGATE_EXCEPTIONS"] = False
    assert shop.order().status_code == 500


def test_a_handler_that_returns_nothing_is_rolled_back(make_shop: MakeShop) -> None:
    shop = make_shop(handler=handler_that_writes_then(lambda: None))
    with pytest.raises(TypeError, match="did not return a valid response"):
        shop.order()
    assert (shop.orders, shop.claims) == ([], 0)


@pytest.mark.parametrize(
    "body",
    [lambda: "x" * 1001, lambda: iter(lambda: b"x" * 10, None), lambda: iter(lambda: b"", None)],
    ids=["large", "endless", "endless and empty"],
)
def test_an_answer_over_the_cap_is_rolled_back_and_500_names_the_option(
    make_shop: MakeShop, body: Callable[[], Any]
) -> None:
    """Not "not stored, so run again": duplicates could not be given the same answer, so nothing is applied."""
    shop = make_shop(handler=handler_that_writes_then(lambda: Response(body())), guard={"max_answer_bytes": 1000})
    answer = shop.order()
    assert answer.status_code == 500
    assert "max_answer_bytes = 1000" in json.loads(answer.data)["detail"]
    assert (shop.orders, shop.claims) == ([], 0)


def test_a_stream_that_fails_halfway_is_rolled_back(make_shop: MakeShop) -> None:
    def stream() -> Iterator[bytes]:
        yield b"half"
        raise NotFound

    shop = make_shop(handler=handler_that_writes_then(lambda: Response(stream_with_context(stream()))))
    assert shop.order().status_code == 404
    assert shop.orders == []


def test_what_happens_on_close_happens_once_and_after_the_commit(make_shop: MakeShop) -> None:
    seen: list[list[str]] = []

    def with_callback() -> Response:
        response = make_response("ok")
        response.call_on_close(lambda: seen.append(shop.orders))
        return response

    shop = make_shop(handler=handler_that_writes_then(with_callback))
    shop.order()
    shop.order()
    assert seen == [["17"]]


def test_a_response_is_closed_even_if_rendering_it_fails(make_shop: MakeShop) -> None:
    closed: list[bool] = []

    def stream() -> Iterator[bytes]:
        try:
            yield b"half"
            raise RuntimeError
        finally:
            closed.append(True)

    shop = make_shop(handler=handler_that_writes_then(lambda: Response(stream())))
    with pytest.raises(RuntimeError):
        shop.order()
    assert closed == [True]


def test_an_unsettled_claim_is_answered_applied_answer_unknown_and_never_runs_by_itself(shop: Shop) -> None:
    """Only another program, or a person, can have committed it; that it was applied is all there is to know."""
    shop.order()
    with closing(sqlite3.connect(shop.path, isolation_level=None)) as db:
        db.execute("UPDATE tocsin_claims SET status = NULL, headers = NULL, body = NULL")
    answer = shop.order()
    assert answer.status_code == 500
    assert json.loads(answer.data)["detail"].startswith("The request was applied, and its answer is not known.")
    assert shop.runs == 1
