"""Desks whose messages are numbered: of a document, the newest one that has come is the one that counts."""

from typing import Any

from tests.scan.services.desk import SOLD_OUT, Answer, Asked, Desk
from tests.scan.services.racy import Unlocked

IGNORED = Answer(200, {"status": "older than what is applied"})
GAP = Answer(409, {"error": "wanted the next number"})
# What a plan for them says beside that for a desk.
NUMBERED: dict[str, Any] = {
    "request": {"body": '{"order_id":"{{uuid}}","item":"{{item}}","seq":{{seq}}}'},
    "variables": {"seq": {"fresh": "counter", "start": "applied+1"}},
    "identity": {"variables": ["uuid"]},
    "limits": None,
    "sequence": {
        "variable": "seq",
        "applied": {"request": "GET /versions/{{item}}", "pointer": "/version", "settle_ms": 0},
    },
}


class Documents(Desk):
    """Looks at the number and writes it in one step. What is older is answered 200, and ignored."""

    def __init__(self, *, stock: int = 10_000) -> None:
        super().__init__(stock=stock)
        self.versions: dict[str, int] = {}

    def signed(self, asked: Asked) -> Answer:
        message = asked.document
        if not self.is_newer(message):
            return IGNORED
        if not self.is_left(message):
            return SOLD_OUT
        self.before_taking()
        self.write(message)
        return self.accepted()

    def is_newer(self, message: dict[str, Any]) -> bool:
        return int(message["seq"]) > self.versions.get(message["item"], 0)

    def write(self, message: dict[str, Any]) -> None:
        with self.lock:
            self.versions[message["item"]] = message["seq"]
            self.take(message)

    def read(self, asked: Asked) -> Answer:
        if asked.path.startswith("/versions/"):
            with self.lock:
                return Answer(200, {"version": self.versions.get(asked.path.rpartition("/")[2], 0)})
        return super().read(asked)


class WritesWhateverComes(Documents):
    """Nobody looks at the number."""

    def is_newer(self, _message: dict[str, Any]) -> bool:
        return True


class LooksThenWrites(Unlocked, Documents):
    """Right one after the other; of two at once, both have looked before either writes."""

    def __init__(self) -> None:
        super().__init__(stock=10_000)


class TakesNoGap(Documents):
    """Only the next number is taken, and anything else refused."""

    def signed(self, asked: Asked) -> Answer:
        message = asked.document
        if message["seq"] != self.versions.get(message["item"], 0) + 1:
            return GAP
        return super().signed(asked)


class WorksThemOff(Documents):
    """Puts every message in a queue; each look at the number comes after one more of them, the second oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.queued: dict[str, list[dict[str, Any]]] = {}
        self.is_new_queue = True

    def signed(self, asked: Asked) -> Answer:
        message = asked.document
        with self.lock:
            self.queued.setdefault(message["item"], []).append(message)
            self.is_new_queue = True
        return Answer(202)

    def read(self, asked: Asked) -> Answer:
        with self.lock:
            queue = self.queued.get(asked.path.rpartition("/")[2])
            if asked.path.startswith("/versions/") and queue:
                queue.sort(key=lambda message: int(message["seq"]))
                message = queue.pop(self.is_new_queue and len(queue) > 1)
                self.is_new_queue = False
                if self.is_newer(message):
                    self.write(message)
        return super().read(asked)


class ShowsItLate(Documents):
    """After an older message, the number that is shown is that one's for two reads, and then the newer one again."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: dict[str, list[int]] = {}

    def signed(self, asked: Asked) -> Answer:
        message = asked.document
        if not self.is_newer(message):
            self.shown[message["item"]] = [message["seq"]]
        return super().signed(asked)

    def read(self, asked: Asked) -> Answer:
        item = asked.path.rpartition("/")[2]
        with self.lock:
            if asked.path.startswith("/versions/") and self.shown.get(item):
                return Answer(200, {"version": self.shown[item].pop()})
        return super().read(asked)
