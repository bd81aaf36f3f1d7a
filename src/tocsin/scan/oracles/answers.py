"""The answers themselves, where a service has nothing to read: does one look as that to a new request does? PURE.

Rule: weaker than any state, and used only where the control shows that it tells something: two new requests look alike,
and a duplicate does not. What differs between the two (ids, times, random texts) is left out of the look. Whoever
answers copies that come at once out of one execution (single flight) gives them the same octets: these count once where
each execution tells a random text of its own, and tell nothing where it does not.
"""

import json
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tocsin.findings import Json
from tocsin.scan._bodies import Path, differing, with_value
from tocsin.scan._errors import CannotTell
from tocsin.wire import Response

Look: TypeAlias = tuple[int, str]

# Comparing recurses, and Python allows a thousand calls in all. Answers that people have designed nest less than ten.
_DEEPEST: Final = 100
# Ids, hashes, and instants, wherever they stand in a text.
_RANDOM = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?"
    r"|\b[0-9a-fA-F]{16,}\b|\b\d{10,}\b"
)
# What two executions do not have in common by chance, as they may have an instant or a number: letters and digits.
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]*")
_TOKEN = re.compile(r"(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{12,}", re.ASCII)


@dataclass(slots=True)
class AnswerClasses:
    """How new requests are answered, and how many answers have looked so."""

    noise: tuple[Path, ...] = ()
    accepted: Look | None = None
    seen: int = field(default=0)
    has_tokens: bool = False
    _bodies: set[bytes] = field(default_factory=set)
    _doubted: bool = False

    def learn(
        self, first: Response | None, second: Response | None, duplicate: Response | None, *, asked: bytes = b""
    ) -> None:
        """Learn from two new requests and a duplicate of the first. Raises CannotTell if they tell nothing.

        Args:
            first: the answer to a new request,
            second: to another one,
            duplicate: and to the first one again.
            asked: the first request, whose texts an answer may repeat: they are no execution's own.
        """
        if first is None or second is None or duplicate is None:
            raise CannotTell("the answers: a request of the control was not answered")
        one, other = _document(first), _document(second)
        # A document that is different as a whole has no look.
        self.noise = tuple(path for path in differing(one, other) if path)
        self.accepted = self.look(first)
        if self.look(second) != self.accepted:
            raise CannotTell("the answers: two new requests are answered differently, so a duplicate cannot be told")
        if self.look(duplicate) == self.accepted:
            raise CannotTell("the answers: a duplicate is answered as a new request is; give a [[state]] that is read")
        self.has_tokens = bool(_tokens(first.body) - _tokens(second.body) - _tokens(asked))

    def alike(self, accepted: Sequence[Response], others: Sequence[Response]) -> int:
        """How many of the others look as one of those that were accepted, without what differs among these."""
        first, *further = (_document(response) for response in accepted)
        self.noise = tuple({path for other in further for path in differing(first, other) if path})
        looks = {self.look(response) for response in accepted}
        return sum(self.look(response) in looks for response in others)

    def saw(self, response: Response | None) -> None:
        """Count an answer, if it looks as that to a new request."""
        if response is None or self.accepted is None or self.look(response) != self.accepted:
            return
        if self.has_tokens and response.body in self._bodies:
            return  # told again, of the same execution
        self._bodies.add(response.body)
        self.seen += 1

    def saw_at_once(self, responses: Sequence[Response | None], operations: Sequence[Hashable]) -> None:
        """The same for a burst, with the operation that each member asked for."""
        before = self.seen
        for response in responses:
            self.saw(response)
        alike = Counter(
            (operation, response.body)
            for operation, response in zip(operations, responses, strict=True)
            if response is not None and self.look(response) == self.accepted
        )
        # None of them has said which execution it tells of.
        self._doubted |= not self.has_tokens and self.seen > before and max(alike.values()) > 1

    def counted(self) -> int:
        """How many answers have looked so. Raises CannotTell, once, if the last burst cannot be told."""
        if self._doubted:
            self._doubted = False
            raise CannotTell(
                "the answers: copies of one message that came at once were answered as a new one is, all in the same "
                "octets; without a text in them that each execution makes anew, nobody can tell one execution from "
                "several: give a [[state]] that is read"
            )
        return self.seen

    def look(self, response: Response) -> Look:
        """The status, and the body without what is different each time."""
        document = _document(response)
        if document is None:
            return response.status, _RANDOM.sub("*", response.body.decode("utf-8", "replace"))
        for path in self.noise:
            document = _masked(document, path)
        return response.status, _RANDOM.sub("*", json.dumps(document, sort_keys=True))


def _document(response: Response) -> Json:
    """The JSON in an answer; None where there is none, or it is nested too deep to be compared member by member."""
    try:
        found: Json = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(found) else found


def _is_deep(found: Json) -> bool:
    level = [found]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    return bool(level)


def _inside(found: Json) -> Iterable[Json]:
    if isinstance(found, Mapping):
        return found.values()
    return found if isinstance(found, list) else ()


def _tokens(octets: bytes) -> set[str]:
    """The texts that nobody makes twice: long ones of letters and digits that are no instant."""
    return set(_TOKEN.findall(_INSTANT.sub(" ", octets.decode("utf-8", "replace"))))


def _masked(document: Json, path: Path) -> Json:
    """The document with the value at a path hidden, if there is one."""
    found = document
    for step in path:
        is_there = (isinstance(found, Mapping) and step in found) or (
            isinstance(found, list) and isinstance(step, int) and step < len(found)
        )
        if not is_there:
            return document
        found = found[step]  # type: ignore[index]  # by the test above
    return with_value(document, path, "*")
