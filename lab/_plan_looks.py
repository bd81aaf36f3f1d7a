"""What a brute force sees of each check, on a service of the lab. What it sees is there; what it does not may still be.

Every look makes things that nothing has happened to, sends what it sends, and reads the plan's own counters.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from lab._bruteforce import Answer
from lab._plan_siege import NOBODYS, PlanSiege, Sent, Values, filled
from lab._services import LabError

# On flask-vulnerable a burst of 16 showed the race in 0.8 of 60 bursts on two cores; 60 miss it on no machine. Few
# requests fit two processes of which one would take all of a large burst.
_SIZES = (16, 16, 2, 16, 4, 16) * 10
# A service whose effects come late, or whose windows are wide, has been asked often enough by then.
_LONG_ENOUGH_S = 15.0
_LEAST_BURSTS = 10
_SIZE = 16
_DAY_S = 86_400
# JSON has no way to end here, and no way to begin like this.
_NO_JSON = (b'{"a":', b"\xff\xfe{}", b"")
_REFUSED, _FAULT = 300, 500

CANNOT_TELL: Mapping[str, str] = {
    "instruction-injection": "there is no end to the words that could stand in for a signature",
    "comparison-timing": "it is asked of a clock, and no counter shows it",
}


def require_honest(siege: PlanSiege) -> None:
    """Send a message that is as the plan says. Otherwise a service that refuses everything would look clean.

    Raises:
        LabError: it was refused, or had another number of effects than one.
    """
    values = siege.new(siege.scene())
    before = siege.counts(values)
    status = siege.send(siege.message(values)).status
    effects = siege.effects(values, before)
    if status >= _REFUSED or effects != 1:
        title = siege.running.service.title
        raise LabError(f"{title}: a message of its plan was answered {status} and had {effects} effects; wanted one")


def looks(siege: PlanSiege) -> "dict[str, Callable[[], bool]]":
    """For each check that a brute force can ask of this route, what tells whether it is violated."""
    found: dict[str, Callable[[PlanSiege], bool]] = {
        "concurrent-duplicate": _duplicates,
        "sequential-replay": _replay,
        "signature-bypass": _bypass,
        "effect-before-verification": _before,
        "parse-before-verification": _parsing,
        "signature-coverage": _coverage,
        "contention-errors": _contention,
        "signed-robustness": _robustness,
    }
    if siege.limit is not None:
        found["over-allocation"] = _allocation
    if siege.has_timestamp:
        found["stale-timestamp"] = _stale
    if "invariant" in siege.plan:
        found["intermediate-state"] = _torn
    if "sequence" in siege.plan:
        found["reordering"] = _reordering
    return {check: lambda look=look: look(siege) for check, look in found.items()}  # type: ignore[misc]  # its default


def _bursts() -> Iterator[int]:
    """How large each burst is, until there have been enough."""
    began = time.monotonic()
    for number, size in enumerate(_SIZES):
        if number >= _LEAST_BURSTS and time.monotonic() - began > _LONG_ENOUGH_S:
            return
        yield size


def _is_accepted(siege: PlanSiege, answer: Answer, values: Values, before: list[int]) -> bool:
    """A success and an effect; an effect under a refusal is another check's."""
    return answer.status < _REFUSED and siege.effects(values, before) > 0


def _duplicates(siege: PlanSiege) -> bool:
    for size in _bursts():
        values = siege.new(siege.scene())
        before, now = siege.counts(values), time.time()
        # Signed again with every copy, where that makes another message of it, in every second burst.
        ages = range(size) if siege.has_timestamp and size < _SIZE else [0] * size
        siege.volley([siege.message(values, at=now - age) for age in ages])
        if siege.effects(values, before) > 1:
            return True
    return False


def _replay(siege: PlanSiege) -> bool:
    values = siege.new(siege.scene())
    message, before = siege.message(values), siege.counts(values)
    for _ in range(3):
        siege.send(message)
    # The last 64 characters of the header are the signature, in hex.
    text = message.headers[siege.signature_header]
    siege.send(message.with_header(siege.signature_header, text[:-64] + text[-64:].upper()))
    return siege.effects(values, before) > 1


def _allocation(siege: PlanSiege) -> bool:
    limit = siege.limit or 0
    for size in _bursts():
        scene = siege.scene()
        messages = [siege.new(scene) for _ in range(limit - 1 + size)]
        before = siege.counts(messages[0])
        # All but one of what there is goes one by one, and the rest wants the last one at once.
        for values in messages[: limit - 1]:
            siege.send(siege.message(values))
        siege.volley([siege.message(values) for values in messages[limit - 1 :]])
        if siege.effects(messages[0], before) > limit:
            return True
    return False


def _bypass(siege: PlanSiege) -> bool:
    honest = siege.message(siege.new(siege.scene())).headers[siege.signature_header]
    start, hex_digits = honest[:-64], honest[-64:]
    given = (None, "", "none", start + "é" * 64, start + "0" * 64, honest[:-1], hex_digits * 2, "é")
    for text in given:
        values = siege.new(siege.scene())
        before = siege.counts(values)
        answer = siege.send(siege.message(values).with_header(siege.signature_header, text))
        if answer.status >= _FAULT or _is_accepted(siege, answer, values, before):
            return True
    return False


def _before(siege: PlanSiege) -> bool:
    values = siege.new(siege.scene())
    before = siege.counts(values)
    siege.send(siege.message(values, secret=NOBODYS))
    return siege.effects(values, before) > 0


def _parsing(siege: PlanSiege) -> bool:
    values = siege.new(siege.scene())
    usual = siege.send(siege.message(values, secret=NOBODYS)).status
    return any(siege.send(siege.message(values, secret=NOBODYS, body=body)).status != usual for body in _NO_JSON)


def _coverage(siege: PlanSiege) -> bool:
    values = siege.new(siege.scene())
    message, before = siege.message(values), siege.counts(values)
    respelled = Sent(message.path, b" " + message.body, message.headers)
    if _is_accepted(siege, siege.send(respelled), values, before):
        return True
    for also in siege.plan.get("also", ()):
        values = siege.new(siege.scene())
        state = also.get("state") or siege.plan["state"][0]
        was, message = siege.number(state, values), siege.message(values)
        siege.send(Sent(filled(also["request"].split(" ")[1], values), message.body, message.headers))
        if siege.number(state, values) != was:
            return True
    return False


def _stale(siege: PlanSiege) -> bool:
    for shift in (-3 * _DAY_S, -900, 900, 3 * _DAY_S):
        values = siege.new(siege.scene())
        before = siege.counts(values)
        if _is_accepted(siege, siege.send(siege.message(values, at=time.time() + shift)), values, before):
            return True
    return False


def _contention(siege: PlanSiege) -> bool:
    for _ in range(_LEAST_BURSTS):
        scene = siege.scene()
        answers = siege.volley([siege.message(siege.new(scene)) for _ in range(_SIZE)])
        if any(answer.status >= _FAULT for answer in answers):
            return True
    return False


def _robustness(siege: PlanSiege) -> bool:
    def with_id(values: Values, changed: Callable[[dict[str, object]], object]) -> bytes:
        document = json.loads(siege.message(values).body)
        changed(document)
        return json.dumps(document, separators=(",", ":")).encode()

    name = siege.identity
    odd: list[tuple[Callable[[dict[str, object]], object], bool]] = [
        (lambda document: document.update({name: None}), True),
        (lambda document: document.update({name: ""}), True),
        (lambda document: document.pop(name), True),
        (lambda document: document.update({name: ["a"]}), False),
        (lambda document: document.update({name: {"a": 1}}), False),
    ]
    for change, is_sent_again in odd:
        values = siege.new(siege.scene())
        before = siege.counts(values)
        message = siege.message(values, body=with_id(values, change))
        answers = [siege.send(message).status for _ in range(1 + is_sent_again)]
        if max(answers) >= _FAULT or siege.effects(values, before) > 1:
            return True
    values = siege.new(siege.scene())
    return any(siege.send(siege.message(values, body=body)).status >= _FAULT for body in (b"[]", b"7", b"{}"))


def _torn(siege: PlanSiege) -> bool:
    """Whether a reader sees two numbers that do not belong together, while messages come at once."""
    invariants = siege.plan["invariant"]
    for size in _bursts():
        scene = siege.scene()
        messages = [siege.message(siege.new(scene)) for _ in range(size)]
        over, torn = threading.Event(), threading.Event()

        def read(scene: Values = scene, over: threading.Event = over, torn: threading.Event = torn) -> None:
            while not over.is_set():
                if not all(siege.holds(invariant, scene) for invariant in invariants):
                    torn.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            siege.volley(messages)
        finally:
            over.set()
            reader.join()
        if torn.is_set():
            return True
    return False


def _reordering(siege: PlanSiege) -> bool:
    """The number that is applied in the end has to be the highest one of those that were accepted."""
    rule = siege.plan["sequence"]
    for size in _bursts():
        scene = siege.scene()
        messages = [siege.new(scene) for _ in range(size)]
        random.shuffle(messages)
        answers = siege.volley([siege.message(values) for values in messages])
        accepted = [
            int(values[rule["variable"]])
            for values, answer in zip(messages, answers, strict=True)
            if answer.status < _REFUSED
        ]
        if accepted and siege.number(rule["applied"], scene) < max(accepted):
            return True
    return False
