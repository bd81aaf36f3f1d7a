"""A generated service under attack: its messages signed, sent and counted, with threads and plain HTTP.

Shares no code with the scanner, nor with tocsin.signing. Effects are read from the service's own count of them, where
they happen, and not from the state that a scan reads.
"""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count

from lab._bruteforce import Answer, OrderDesk, sign_hex
from lab._launch import Running
from lab.generated._papers import body, operation_path
from lab.generated._traits import Traits


@dataclass(slots=True)
class Siege:
    """A generated service under attack.

    Args:
        running: it.
        traits: what it was made from: its routes, and how its messages are signed.
    """

    running: Running
    traits: Traits
    _numbers: Iterator[int] = field(default_factory=lambda: count(time.time_ns() // 1000))

    def new_id(self) -> str:
        """An id that no message has had."""
        return str(next(self._numbers)) if self.traits.shape.id_is_number else uuid.uuid4().hex

    def new_thing(self) -> str:
        """A thing that nothing has happened to."""
        said = json.loads(self._ask("POST", self.traits.shape.things).body)
        for name in self.traits.shape.made_path:
            said = said[name]
        return str(said)

    def message(self, thing: str, order_id: str, *, at: float | None = None, number: int = 1) -> "Sent":
        """A signed message."""
        return self.signed(body(self.traits, order_id, thing, number=number).encode(), thing, at=at)

    def signed(self, content: bytes, thing: str, *, at: float | None = None) -> "Sent":
        """Any body, signed."""
        path = operation_path(self.traits, thing)
        secret, nonce = self.running.secret, uuid.uuid4().hex
        return Sent(path, content, self.traits.signature.headers(secret, "POST", path, content, at=at, nonce=nonce))

    def forged(self, thing: str, order_id: str) -> "Sent":
        """A message under a signature of the right shape by nobody's key."""
        path, content = operation_path(self.traits, thing), body(self.traits, order_id, thing).encode()
        return Sent(path, content, self._forgery(path, content))

    def forged_body(self, thing: str, content: bytes) -> "Sent":
        """Any body, under such a signature."""
        path = operation_path(self.traits, thing)
        return Sent(path, content, self._forgery(path, content))

    def _forgery(self, path: str, content: bytes) -> dict[str, str]:
        return self.traits.signature.headers("nobody's key", "POST", path, content, nonce=uuid.uuid4().hex)

    def send(self, sent: "Sent") -> Answer:
        """One message on a connection of its own."""
        return self._desk(sent.path).send(sent.content, sent.headers)

    def volley(self, messages: "Sequence[Sent]") -> list[Answer]:
        """All at once; all go to one path."""
        return self._desk(messages[0].path).volley([(sent.content, sent.headers) for sent in messages])

    def effects(self, *order_ids: str) -> int:
        """How often the messages with these ids were applied, all together."""
        return sum(int(json.loads(self._ask("GET", f"/__effects/{order_id}").body)["count"]) for order_id in order_ids)

    def is_accepted(self, answer: Answer, order_id: str) -> bool:
        """Whether a message had a success and an effect; an effect under a refusal is another check's."""
        return answer.status < 300 and self.effects(order_id) > 0

    def others(self) -> int:
        """How often the other signed route was."""
        return int(json.loads(self._ask("GET", "/__others").body)["count"])

    def shown(self, thing: str) -> tuple[int, int, int]:
        """What changes with an effect, what counts effects, and the number of the message applied; in one answer."""
        said = json.loads(self._ask("GET", f"{self.traits.shape.things}/{thing}").body)
        *outer, name = self.traits.shape.count_path
        for each in outer:
            said = said[each]
        shape = self.traits.shape
        return int(said[name]), int(said[shape.taken]), int(said.get(shape.applied, 0))

    def _ask(self, method: str, path: str) -> Answer:
        desk = self._desk(path)
        with closing(desk.connection()) as connection:
            connection.request(method, path)
            got = connection.getresponse()
            return Answer(got.status, dict(got.getheaders()), got.read())

    def _desk(self, path: str) -> OrderDesk:
        return OrderDesk(self.running, sign_hex, path=path)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it goes out."""

    path: str
    content: bytes
    headers: dict[str, str]

    def with_headers(self, changed: dict[str, str | None]) -> "Sent":
        """With other values of these headers; None leaves one out."""
        kept = {name: value for name, value in self.headers.items() if name not in changed}
        return Sent(
            self.path, self.content, kept | {name: value for name, value in changed.items() if value is not None}
        )
