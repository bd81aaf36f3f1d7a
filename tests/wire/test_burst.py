import pytest

from tocsin.history import History
from tocsin.wire import Burst, Delivery, RequestError, Response


def test_a_burst_does_not_show_its_requests() -> None:
    """They hold live signatures."""
    assert "cafe" not in repr(Burst((b"X-Signature: cafe",), ("a",)))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"requests": (), "labels": ()}, "at least one"),
        ({"requests": (b"r",), "labels": ()}, "1 requests and 0 labels"),
        ({"requests": (b"r",), "labels": ("a",), "hold_s": -1.0}, "hold_s is -1.0"),
        ({"requests": (b"r",), "labels": ("a",), "timeout_s": 0.0}, "timeout_s is 0.0"),
        ({"requests": (b"r",), "labels": ("a",), "offsets_us": (0, 1)}, "1 requests and 2 offsets"),
        ({"requests": (b"r",), "labels": ("a",), "offsets_us": (-1,)}, "an offset is -1 us"),
    ],
)
def test_a_burst_that_cannot_be_sent_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        Burst(**fields)  # type: ignore[arg-type]  # the fields of each case are right but for the one refused


def _delivery(*responses: Response | None, gate_opened_ns: int | None) -> Delivery:
    return Delivery(History(()), responses, "", "unverified", 0, gate_opened_ns=gate_opened_ns)


def test_a_delivered_burst_without_one_answer_is_unanswered() -> None:
    assert _delivery(None, None, gate_opened_ns=1).unanswered


def test_one_answer_is_enough_not_to_be_unanswered() -> None:
    assert not _delivery(None, Response(503, (), b""), gate_opened_ns=1).unanswered


def test_a_burst_that_did_not_leave_is_not_called_unanswered() -> None:
    assert not _delivery(None, gate_opened_ns=None).unanswered
