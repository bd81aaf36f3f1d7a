"""A service of the lab under attack, as its plan.toml describes it: messages made, signed, sent and counted.

Reads the same file as the scanner, and shares no code with it, nor with tocsin.signing. Threads and plain HTTP/1.1: it
is cruder on purpose. Effects are read from the counters that the plan names.
"""

import hashlib
import hmac
import json
import time
import tomllib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count
from typing import Any, TypeAlias

from lab._bruteforce import Answer, OrderDesk, sign_hex, sign_tocsin_v1
from lab._launch import Running
from lab._services import LabError

NOBODYS = "nobody's key, 32 octets of text."
# What a plan's {{name}} stands for.
Values: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it goes out."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def with_header(self, name: str, value: str | None) -> "Sent":
        """With another value of a header; None leaves it out."""
        kept = {known: said for known, said in self.headers.items() if known != name}
        return replace(self, headers=kept if value is None else kept | {name: value})


@dataclass(slots=True)
class PlanSiege:
    """A service under attack.

    Args:
        running: it, and which of its routes.
    """

    running: Running
    plan: dict[str, Any] = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), init=False)

    def __post_init__(self) -> None:
        self.plan = tomllib.loads(self.running.service.plan.read_text())

    @property
    def limit(self) -> int | None:
        """How many effects one thing admits."""
        found: int | None = self.plan.get("limits", {}).get("effects")
        return found

    @property
    def signature_header(self) -> str:
        """Where the signature stands."""
        presets = {"hex-sha256-body": "X-Signature", "tocsin-v1": "Tocsin-Signature"}
        signing = self.plan["signing"]
        return str(signing.get("header") or presets[signing["preset"]])

    @property
    def has_timestamp(self) -> bool:
        """Whether a message that is signed again is another one."""
        signing = self.plan["signing"]
        return signing.get("preset") == "tocsin-v1" or "{timestamp}" in signing.get("content", "")

    @property
    def identity(self) -> str:
        """The variable that tells two messages apart."""
        return str(self.plan["identity"]["variables"][0])

    def scene(self) -> dict[str, str]:
        """Things that nothing has happened to: what the plan's [[setup]] makes, and fresh names."""
        values = {name: self._fresh(rule) for name, rule in self.plan["variables"].items() if name != self.identity}
        for setup in self.plan.get("setup", ()):
            said = json.loads(self._ask(setup, values).body)
            values |= {name: str(member(said, pointer)) for name, pointer in setup.get("extract", {}).items()}
        return values

    def new(self, scene: Values, **fixed: str) -> dict[str, str]:
        """The values of a message that is new; those of the scene stay, but for a number that orders messages."""
        rules = self.plan["variables"]
        own = {name: self._fresh(rule) for name, rule in rules.items() if name == self.identity or is_number(rule)}
        return {**scene, **own, **fixed}

    def message(self, values: Values, *, at: float | None = None, body: bytes | None = None, secret: str = "") -> Sent:
        """A signed message.

        Args:
            values: of its variables.
            at: when it is signed; now, unless given.
            body: instead of the plan's.
            secret: instead of the service's.
        """
        request = self.plan["request"]
        path = filled(request["path"], values)
        body = filled(request["body"], values).encode() if body is None else body
        headers = {name: filled(value, values) for name, value in request.get("headers", {}).items()}
        signed = self._signed(path, body, headers, secret or self.running.secret, time.time() if at is None else at)
        return Sent(path, body, headers | signed)

    def send(self, sent: Sent) -> Answer:
        """One message on a connection of its own."""
        return self._desk(sent.path).send(sent.body, dict(sent.headers))

    def volley(self, messages: Sequence[Sent]) -> list[Answer]:
        """All at once; all go to one path."""
        return self._desk(messages[0].path).volley([(sent.body, dict(sent.headers)) for sent in messages])

    def counts(self, values: Values) -> list[int]:
        """What each counter of the plan shows, in effects; 0 of what it does not know."""
        return [round(self.number(state, values) / state.get("per_effect", 1)) for state in self.plan["state"]]

    def effects(self, values: Values, since: Sequence[int]) -> int:
        """How many effects there were since then, by the counter that shows the most; waits for late ones."""
        time.sleep(max(state.get("settle_ms", 0) for state in self.plan["state"]) / 1000)
        return max(now - then for now, then in zip(self.counts(values), since, strict=True))

    def number(self, read: Mapping[str, Any], values: Values) -> int:
        """The number that a read endpoint shows; 0 of what it does not know."""
        answer = self._ask(read, values)
        return int(member(json.loads(answer.body), read["pointer"])) if answer.status < HTTPStatus.BAD_REQUEST else 0

    def holds(self, invariant: Mapping[str, Any], values: Values) -> bool:
        """Whether the numbers that one answer shows belong together."""
        said = json.loads(self._ask(invariant, values).body)
        return bool(sum(int(member(said, pointer)) for pointer in invariant["sum_of"]) == invariant["equals"])

    def _fresh(self, rule: Mapping[str, Any]) -> str:
        match rule:
            case {"fresh": "uuid4"}:
                return str(uuid.uuid4())
            case {"fresh": "hex16"}:
                return uuid.uuid4().hex[:16]
            case {"fresh": "counter"}:
                return str(next(self._numbers))
            case {"value": value}:
                return str(value)
        raise LabError(f"{self.running.service.title}: no brute force knows the variable {dict(rule)}")

    def _signed(self, path: str, body: bytes, headers: Mapping[str, str], secret: str, at: float) -> dict[str, str]:
        signing = self.plan["signing"]
        match signing.get("preset"):
            case "hex-sha256-body":
                return sign_hex(body, "", secret)
            case "tocsin-v1":
                return sign_tocsin_v1(body, headers["Idempotency-Key"], secret, path, at)
            case None:
                blanks = {"{timestamp}": str(int(at)), "{method}": self.plan["request"]["method"], "{path}": path}
                before, _, after = replaced(signing["content"], blanks).partition("{body}")
                content = before.encode() + body + after.encode()
                digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
                value = replaced(signing["value"], blanks | {"{signature}": digest})
                stamp = {signing["timestamp_header"]: blanks["{timestamp}"]} if "timestamp_header" in signing else {}
                return {signing["header"]: value} | stamp
        raise LabError(f"{self.running.service.title}: no brute force signs as {signing['preset']!r}")

    def _ask(self, asked: Mapping[str, Any], values: Values) -> Answer:
        """An unsigned request of the plan."""
        method, path = filled(asked["request"], values).split(" ")
        with closing(self._desk(path).connection()) as connection:
            connection.request(method, path, filled(asked.get("body", ""), values), asked.get("headers", {}))
            got = connection.getresponse()
            return Answer(got.status, dict(got.getheaders()), got.read())

    def _desk(self, path: str) -> OrderDesk:
        return OrderDesk(self.running, sign_hex, path=path)


def filled(text: str, values: Values) -> str:
    """With every {{name}} replaced."""
    return replaced(text, {f"{{{{{name}}}}}": value for name, value in values.items()})


def replaced(text: str, blanks: Mapping[str, str]) -> str:
    """With every blank replaced."""
    for blank, value in blanks.items():
        text = text.replace(blank, value)
    return text


def member(document: Any, pointer: str) -> Any:  # noqa: ANN401  whatever stands in JSON
    """What stands at a place such as "/item"."""
    for name in pointer.split("/")[1:]:
        document = document[name]
    return document


def is_number(rule: Mapping[str, Any]) -> bool:
    """Whether a variable orders messages."""
    return rule.get("fresh") == "counter"
