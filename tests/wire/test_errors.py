import errno

import pytest

from tocsin.wire import DeliveryError, Failure
from tocsin.wire._errors import failure_of, said


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.ETIMEDOUT, Failure.TIMED_OUT),
        (errno.EPIPE, Failure.CLOSED),
        (errno.ECONNRESET, Failure.CLOSED),
        (errno.EMFILE, Failure.EXHAUSTED),
        (errno.EHOSTUNREACH, Failure.UNREACHABLE),
        (errno.EACCES, Failure.UNREACHABLE),
    ],
)
def test_an_error_of_the_system_is_one_failure(number: int, failure: Failure) -> None:
    assert failure_of(OSError(number, "...")) is failure


def test_an_error_without_a_number_is_still_a_failure() -> None:
    assert failure_of(OSError("odd")) is Failure.UNREACHABLE


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_can_be_said(failure: Failure) -> None:
    assert said(failure)


def test_a_delivery_error_names_the_address_and_the_reason() -> None:
    error = DeliveryError("http://127.0.0.1:9", "refused", Failure.REFUSED)
    assert str(error) == "http://127.0.0.1:9: refused"
    assert (error.address, error.reason, error.kind) == ("http://127.0.0.1:9", "refused", Failure.REFUSED)
    assert error.request_sent is False


@pytest.mark.parametrize(
    ("kind", "can_retry"),
    [
        (Failure.REFUSED, True),
        (Failure.TIMED_OUT, True),
        (Failure.CLOSED, True),
        (Failure.NOT_HTTP, False),
        (Failure.TOO_LARGE, False),
        (Failure.UNSUPPORTED, False),
        (Failure.UNRESOLVABLE, False),
    ],
)
def test_a_delivery_error_says_whether_a_retry_can_help(kind: Failure, *, can_retry: bool) -> None:
    assert DeliveryError("http://h", "...", kind).can_retry is can_retry


def test_who_raises_may_know_better_whether_a_retry_can_help() -> None:
    assert DeliveryError("http://h", "...", Failure.UNRESOLVABLE, can_retry=True).can_retry is True
