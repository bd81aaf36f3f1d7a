"""What has become of one request. PURE."""

from tocsin.wire._errors import Failure
from tocsin.wire._response import Response


class Member:
    """One request of a burst, or the only one of an exchange.

    Args:
        place: its number in the burst.
    """

    def __init__(self, place: int) -> None:
        self.place = place
        self.status: int | None = None  # as soon as the head of the answer is there
        self.response: Response | None = None
        self.answered_ns: int | None = None
        self.turn = 0  # the how manieth answer on its connection it was, from 0
        self.failure: Failure | None = None

    @property
    def finished(self) -> bool:
        """Whether nothing more is to come: there is an answer, or the reason why there is none."""
        return self.response is not None or self.failure is not None

    def end(self, outcome: Response | Failure, at_ns: int, turn: int = 0) -> None:
        """Take an answer, or the reason why there is none."""
        if isinstance(outcome, Response):
            self.response, self.status = outcome, outcome.status
            self.answered_ns, self.turn = at_ns, turn
        else:
            self.failure = outcome
