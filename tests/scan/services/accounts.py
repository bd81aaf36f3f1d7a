"""Desks that move money between two accounts: whoever reads both sees 1000 in all."""

import threading
from collections import Counter
from typing import Any

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Window

# How long a transfer that lies open waits for a reader; all of the scanner's readers come sooner.
_OPEN_S = 0.05
BOTH: dict[str, Any] = {
    "invariant": [{"request": "GET /accounts", "sum_of": ["/alice", "/bob"], "equals": 1000}],
    "limits": None,
}


class Accounts(Desk):
    """Both writes of a transfer in one step."""

    def __init__(self) -> None:
        super().__init__(stock=100_000)
        self.balances: dict[str, float] = {"alice": 600, "bob": 400}
        self.read_since = threading.Event()

    def take(self, order: Any) -> None:
        with self.lock:
            super().take(order)
            self.move("alice", -1)
            self.move("bob", 1)

    def move(self, account: str, amount: int) -> None:
        with self.lock:
            self.balances[account] += amount

    def read(self, asked: Asked) -> Answer:
        if asked.path != "/accounts":
            return super().read(asked)
        with self.lock:
            found = dict(self.balances)
        self.read_since.set()
        return Answer(200, found)


class FloatAccounts(Accounts):
    """Tenths, as binary floats: to the last bit, the sum is not always 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.balances = {"alice": 1000.0, "bob": 0.0}
        self.has_been_off = False

    def move(self, account: str, amount: int) -> None:
        with self.lock:
            self.balances[account] += amount / 10

    def read(self, asked: Asked) -> Answer:
        with self.lock:
            self.has_been_off |= sum(self.balances.values()) != 1000
            return super().read(asked)


class TwoWrites(Accounts):
    """Takes from one account, and gives to the other once somebody has looked."""

    def one_at_a_time(self) -> Any:
        return threading.Lock()

    def take(self, order: Any) -> None:
        Desk.take(self, order)
        self.move("alice", -1)
        self.in_between()
        self.move("bob", 1)

    def in_between(self) -> None:
        self.read_since.clear()
        self.read_since.wait(_OPEN_S)


class TwoWritesUnderLoad(TwoWrites):
    """The same, but only while another transfer is on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()

    def take(self, order: Any) -> None:
        if self.window.meet():
            super().take(order)
        else:
            Accounts.take(self, order)


class LosesMoney(Accounts):
    """Forgets to give every so often: the books are wrong for good."""

    def move(self, account: str, amount: int) -> None:
        if account == "bob" and self.taken % 7 == 0:
            return
        super().move(account, amount)


class WordyUnderLoad(Accounts):
    """Nobody can read the accounts once there has been a transfer."""

    def read(self, asked: Asked) -> Answer:
        if asked.path == "/accounts" and self.taken > 1:
            return Answer(503)
        return super().read(asked)


class Pieces(Desk):
    """Every piece of an item is in stock or sold; an order writes both, and somebody may look in between."""

    def __init__(self) -> None:
        super().__init__()
        self.sold: Counter[str] = Counter()
        self.looked: dict[str, threading.Event] = {}

    def one_at_a_time(self) -> Any:
        return threading.Lock()

    def take(self, order: Any) -> None:
        item = order["item"]
        looked = self.looked.setdefault(item, threading.Event())
        super().take(order)
        looked.clear()
        looked.wait(_OPEN_S)
        with self.lock:
            self.sold[item] += 1

    def read(self, asked: Asked) -> Answer:
        kind, _, item = asked.path.removeprefix("/").partition("/")
        if kind != "items":
            return super().read(asked)
        with self.lock:
            found = {"stock": self.stock[item], "sold": self.sold[item]}
        self.looked.setdefault(item, threading.Event()).set()
        return Answer(200, found)
