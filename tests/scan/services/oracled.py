"""Desks whose effects show elsewhere than on a read endpoint: in a database, a file, a webhook, an answer."""

import contextlib
import json
import sqlite3
import threading
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.racy import Unlocked, Window


class Written(Desk):
    """Writes every order down, once, in a file and in a database."""

    def __init__(self, folder: Path, *, stock: int = 5) -> None:
        super().__init__(stock=stock)
        self.folder = folder
        (folder / "orders.log").write_text("")
        with self.connected() as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS orders (id TEXT)")

    @contextlib.contextmanager
    def connected(self) -> Any:
        connection = sqlite3.connect(self.folder / "orders.db", isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def take(self, order: Any) -> None:
        with self.lock:
            super().take(order)
            with (self.folder / "orders.log").open("a") as log:
                log.write(json.dumps({"applied": order["order_id"]}) + "\n")
            with self.connected() as connection:
                connection.execute("INSERT INTO orders VALUES (?)", (order["order_id"],))


class WrittenTwice(Unlocked, Written):
    """Looks, then writes."""

    def __init__(self, folder: Path) -> None:
        Written.__init__(self, folder)
        self.window = Window()


class Notifies(Desk):
    """Sends a webhook for every order, to wherever the item's maker wanted it, a moment after the answer."""

    copies = 1

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: dict[str, str] = {}
        self.threads: list[threading.Thread] = []

    def answer(self, asked: Any) -> Answer:
        answer = super().answer(asked)
        if asked.path == "/items":
            assert isinstance(answer.document, dict)
            self.callbacks[answer.document["item"]] = asked.document["callback"]
        return answer

    def take(self, order: Any) -> None:
        super().take(order)
        for _ in range(self.copies):
            thread = threading.Thread(target=self.notify, args=(order,))
            self.threads.append(thread)
            thread.start()

    def notify(self, order: Any) -> None:
        body = json.dumps({"event": "sold", "order": {"id": order["order_id"]}}).encode()
        request = urllib.request.Request(self.callbacks[order["item"]], body, {"Content-Type": "application/json"})
        with contextlib.suppress(OSError):
            urllib.request.urlopen(request, timeout=5).close()


class NotifiesTwice(Notifies):
    copies = 2


class Answering(Desk):
    """Tells a receipt with a number and an instant of its own; there is nothing else to see."""

    def accepted(self) -> Answer:
        return Answer(200, {"status": "processed", "receipt": str(uuid.uuid4()), "place": self.taken})


class AnsweringTwice(Unlocked, Answering):
    """Looks, then writes."""


class SingleFlight(Answering):
    """Copies that come while the first one is at work get its answer; only the first one takes a piece."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self.flights: dict[str, Flight] = {}

    def signed(self, asked: Asked) -> Answer:
        name = asked.document["order_id"]
        with self.lock:
            flight = self.flights.get(name)
            leads = flight is None
            if flight is None:
                flight = self.flights[name] = Flight()
        if leads:
            self.window.meet()
            flight.answer = super().signed(asked)
            with self.lock:
                del self.flights[name]
            flight.over.set()
        else:
            self.window.meet()
            flight.over.wait(10)
        return flight.answer

    def one_at_a_time(self) -> Any:
        return contextlib.nullcontext()


class Flight:
    """One execution, and whoever waits for it."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.answer = Answer(0)


class SingleFlightOfFewWords(SingleFlight):
    """The same without a word that is one execution's own."""

    def accepted(self) -> Answer:
        return Answer(200, {"status": "processed", "at": "2026-01-31T12:00:00Z"})


class EchoesTwice(Unlocked):
    """Looks, then writes; every answer names the order, which is no execution's own."""

    def signed(self, asked: Asked) -> Answer:
        answer = super().signed(asked)
        named = {"status": "processed", "order": asked.document["order_id"]}
        return Answer(200, named) if answer == self.accepted() else answer


class AnswersAlike(Answering):
    def duplicate(self) -> Answer:
        return self.accepted()


class AnswersAtRandom(Answering):
    def accepted(self) -> Answer:
        return Answer(200, {"status": "processed", f"field{self.taken}": 1})
