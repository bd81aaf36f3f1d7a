"""Drafts become bytes: the same draft at the same instant is the same message, at another instant another one."""

import pytest

from tests.scan.services.plans import plan
from tocsin.scan import Plan, PlanError, rehearse
from tocsin.scan._compose import Composer, Draft, instant
from tocsin.scan._plan import RequestTemplate
from tocsin.signing import KeyRing, Message, Secret, verify

OCTETS = b"a secret of the composer"
HOSTS = {"": "127.0.0.1:8000", "http://127.0.0.1:9": "127.0.0.1:9"}


def composer(of: Plan) -> Composer:
    return Composer(of, Secret(OCTETS), HOSTS)


def parts(raw: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    return line, dict(field.split(": ", 1) for field in fields), body


def test_one_draft_at_one_instant_is_one_message_byte_by_byte() -> None:
    composed = composer(plan(signing={"preset": "stripe"}))
    draft = Draft({"uuid": "u-1"})
    assert composed.shot(draft, at=1000.0).raw == composed.shot(draft, at=1000.9).raw
    assert composed.shot(draft, at=1000.0).raw != composed.shot(draft, at=1001.0).raw
    assert composed.shot(draft, at=1000.0).raw != composed.shot(draft.with_values(uuid="u-2"), at=1000.0).raw


def test_what_is_sent_verifies_and_says_the_instant_in_three_spellings() -> None:
    of = plan(
        signing={"preset": "stripe"},
        request={"path": "/o?at={{timestamp}}", "body": "{{uuid}} {{timestamp_ms}} {{timestamp_iso}}"},
    )
    line, headers, body = parts(composer(of).shot(Draft({"uuid": "u"}), at=1_000_000_000.25).raw)

    assert line == "POST /o?at=1000000000 HTTP/1.1"
    assert body == b"u 1000000000250 2001-09-09T01:46:40Z"
    assert headers["Host"] == "127.0.0.1:8000"
    message = Message("POST", "/o?at=1000000000", tuple(headers.items()), body)
    assert verify(message, of.scheme, KeyRing.of(Secret(OCTETS)), now=1_000_000_000).timestamp_unix == 1_000_000_000


def test_an_instant_is_cut_off_to_its_second_in_every_spelling_but_milliseconds() -> None:
    assert instant(59.999) == {
        "timestamp": "59",
        "timestamp_ms": "59999",
        "timestamp_iso": "1970-01-01T00:00:59Z",
    }


def test_a_label_names_the_identity_and_neither_label_nor_repr_holds_the_signature() -> None:
    shot = composer(plan(variables={"note": {"value": "x"}})).shot(Draft({"uuid": "u-1", "note": "x"}), at=0)
    signature = parts(shot.raw)[1]["X-Signature"]
    assert shot.label == "POST /order u-1"
    assert signature not in f"{shot!r} {shot.label}"


def reads(of: Plan) -> list[RequestTemplate]:
    """What a plan reads, in order."""
    return [state.request for state in of.state if state.request]


def test_requests_around_the_operation_are_signed_only_where_the_plan_says_so() -> None:
    of = plan(state=[{"request": "GET http://127.0.0.1:9/a"}, {"request": "GET /b", "sign": True}])
    unsigned, signed = (parts(composer(of).plain(request, Draft({}), at=0)) for request in reads(of))
    assert ("X-Signature" in unsigned[1], "X-Signature" in signed[1]) == (False, True)
    assert (unsigned[1]["Host"], signed[1]["Host"]) == ("127.0.0.1:9", "127.0.0.1:8000")


def test_a_signed_read_has_a_nonce_of_its_own_for_the_operations_would_be_used_up() -> None:
    of = plan(
        signing={"content": "{nonce}{body}", "nonce_header": "X-Nonce", "preset": None},
        state=[{"request": "GET /count", "sign": True}, {"request": "GET /nonces/{{nonce}}", "sign": True}],
    )
    draft = Draft({"uuid": "u", "nonce": "0" * 16})
    composed = composer(of)
    nonces = {parts(composed.plain(reads(of)[0], draft, at=0))[1]["X-Nonce"] for _ in range(3)}
    assert len(nonces | {"0" * 16}) == 4
    assert parts(composed.plain(reads(of)[1], draft, at=0))[1]["X-Nonce"] == "0" * 16
    assert parts(composed.shot(draft, at=0).raw)[1]["X-Nonce"] == "0" * 16


def test_the_signed_url_is_that_of_the_request_wherever_it_goes() -> None:
    of = plan(
        signing={"content": "{url}{body}", "preset": None},
        state=[{"request": "GET http://127.0.0.1:9/a", "sign": True}, {"request": "GET /a", "sign": True}],
    )
    composed = composer(of)
    origins = [composed.message(request, Draft({}), at=0).public_origin for request in reads(of)]
    assert origins == ["http://127.0.0.1:9", "http://127.0.0.1:8000"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"request": {"path": "/a b"}}, "[request] POST /a b: the request target is not a path of visible ASCII"),
        ({"request": {"method": "CONNECT"}}, "[request] CONNECT /order: the method CONNECT opens a tunnel"),
        ({"request": {"headers": {"X-A": "a\nb"}}}, "[request] POST /order: the value of header X-A holds a line feed"),
        ({"request": {"headers": {"X-A": "中"}}}, "[request] POST /order: the value of header X-A holds a character"),
        ({"request": {"headers": {"x a": "1"}}}, "[request] POST /order: the header name 'x a' is not a token"),
        (
            {"request": {"headers": {"X-Signature": "00"}}},
            "[request] POST /order: the message already has header X-Signature",
        ),
        (
            {"signing": {"preset": "tocsin-v1", "key_id": "k"}},
            "[request] POST /order: tocsin-v1 signs header Idempotency",
        ),
        ({"signing": {"preset": "tocsin-v1"}}, "[request] POST /order: tocsin-v1 "),
        ({"signing": {"key_id": "k 1"}}, "[request] POST /order: key id 'k 1'"),
        ({"setup": [{"request": "POST /ü"}]}, "[[setup]] POST /ü: the request target is not a path of visible ASCII"),
        (
            {"variables": {"item": {"value": "a b"}}, "state": [{"request": "GET /items/{{item}}"}]},
            "[[state]] GET /items/{{item}}: the request target is not a path of visible ASCII",
        ),
    ],
)
def test_a_request_that_can_never_be_sent_is_found_by_a_rehearsal_that_sends_nothing(
    changed: dict[str, object], said: str
) -> None:
    with pytest.raises(PlanError) as refused:
        rehearse(plan(**changed))
    assert str(refused.value).startswith(said)


def test_what_set_up_requests_will_fill_in_has_a_stand_in_at_the_rehearsal() -> None:
    rehearse(plan(setup=[{"request": "POST /items", "extract": {"item": "/id"}}], state=[{"request": "GET /{{item}}"}]))
