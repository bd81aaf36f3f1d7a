"""Desks behind a rate limiter, and desks to which somebody else writes."""

from collections import Counter
from collections.abc import Container

from tests.scan.services.desk import Answer, Asked, Desk


class Limited(Desk):
    """Of all orders that come, by their number, some are let through."""

    def __init__(self, lets_through: Container[int], *, status: int = 429) -> None:
        super().__init__()
        self.lets_through = lets_through
        self.status = status
        self.come = 0

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.come += 1
            through = self.come in self.lets_through
        return super().order(asked) if through else Answer(self.status, None, {"Retry-After": "1"})


class LimitedById(Desk):
    """Lets the first copies of a message through and turns the rest away."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first
        self.come: Counter[bytes] = Counter()

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.come[asked.body] += 1
            through = self.come[asked.body] <= self.first
        return super().order(asked) if through else Answer(429)


class LimitsForgeries(Desk):
    """Turns whatever has no valid signature away as too much, not as unsigned."""

    def unsigned(self, _asked: Asked) -> Answer:
        return Answer(429)


class Restless(Desk):
    """Somebody else buys a piece of everything between any two reads."""

    def read(self, asked: Asked) -> Answer:
        answer = super().read(asked)
        with self.lock:
            self.taken += 1
            self.stock.subtract(dict.fromkeys(self.stock, 1))
        return answer


class Buyer(Desk):
    """Somebody else buys a piece right before the read with a given number, and never again."""

    def __init__(self, at_read: int) -> None:
        super().__init__()
        self.at_read = at_read
        self.reads = 0

    def read(self, asked: Asked) -> Answer:
        with self.lock:
            self.reads += 1
            if self.reads == self.at_read:
                self.taken += 1
        return super().read(asked)


class BuysSeldom(Desk):
    """Somebody else buys a piece right before the order with a given number; and again, if `goes_on`, once the desk
    has been read so often without an order in between as only somebody does who waits."""

    patience = 6

    def __init__(self, at_order: int, *, goes_on: bool) -> None:
        super().__init__()
        self.at_order = at_order
        self.goes_on = goes_on
        self.come = self.reads_in_a_row = 0

    def is_left(self, _order: object) -> bool:
        return True

    def order(self, asked: Asked) -> Answer:
        with self.lock:
            self.come += 1
            self.reads_in_a_row = 0
            self.taken += self.come == self.at_order
        return super().order(asked)

    def read(self, asked: Asked) -> Answer:
        with self.lock:
            self.reads_in_a_row += 1
            self.taken += self.goes_on and self.come >= self.at_order and self.reads_in_a_row == self.patience
        return super().read(asked)
