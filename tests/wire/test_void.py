from tocsin.wire import Failure
from tocsin.wire._void import connection_fault, early_fault, gate_fault, prefix_fault, refused_fault, sentence


def test_no_fault_is_no_reason() -> None:
    assert sentence(["a", "b"], ["", ""]) == ""


def test_the_first_member_at_fault_is_named() -> None:
    assert sentence(["POST /order a", "b", "c"], ["was late", "", ""]) == "member 1 of 3, 'POST /order a', was late"


def test_the_others_at_fault_are_counted() -> None:
    assert (
        sentence(["a", "b", "c"], ["", "was late", "was late"]) == "member 2 of 3, 'b', was late (and 1 more with it)"
    )


def test_a_connection_that_is_open_has_no_fault() -> None:
    assert connection_fault(None) == ""
    assert connection_fault(Failure.REFUSED).startswith("could not connect: the connection was refused")


def test_a_prefix_that_has_left_has_no_fault() -> None:
    assert prefix_fault(0, 10.0) == ""
    assert prefix_fault(7, 0.5) == "still had 7 bytes of its prefix to send after 0.5 s"


def test_a_member_that_waits_for_the_rest_has_no_fault() -> None:
    assert early_fault(None, None) == ""


def test_whoever_ends_before_the_gate_has_one() -> None:
    assert early_fault(400, None).startswith("was answered 400 before the gate opened")
    assert early_fault(None, Failure.CLOSED) == "was cut off before the gate opened"
    assert early_fault(None, Failure.NOT_HTTP) == "was sent something that is not HTTP before the gate opened"
    assert early_fault(None, Failure.STREAM_REFUSED) == "was refused by the server before the gate opened"


def test_a_request_that_the_server_has_not_looked_at_was_not_part_of_the_burst() -> None:
    assert refused_fault(Failure.STREAM_REFUSED) == "was refused by the server, so it did not run"
    assert refused_fault(Failure.CLOSED) == refused_fault(None) == ""


def test_a_byte_that_the_kernel_did_not_take_is_a_fault() -> None:
    assert gate_fault(whole=True) == ""
    assert gate_fault(whole=False) == "was cut off just as the gate opened"
