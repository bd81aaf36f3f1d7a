"""Ask a running generated service whether its expected.toml is true. Cruder than a scan: what it sees is there."""

import json
import threading
import time
from collections.abc import Callable

from lab.generated._papers import body
from lab.generated._siege import Sent, Siege
from lab.generated._source import CAPACITY

_SIZE = 16
# Few requests fit two processes of which one would take them all; many find a window that few would miss. Of 60 forced
# windows, bursts of 16 missed one: with a lock per process, all of 6 went to one of the two.
_SIZES = (16, 2, 4, 8) * 6
_BURSTS = 6
_DAYS_S = 86_400
# Odd ids, in place of the honest one; None stands for a body without it.
_ODD = ("null", '""', '["a"]', "{}")
# JSON has no way to end here, and no way to begin like this.
_NO_JSON = (b'{"a":', b"\xff\xfe{}", b"")


def looks() -> "dict[str, Callable[[Siege], bool]]":
    """For every check that a brute force can ask, what tells whether it is violated."""
    return dict(_LOOKS)


def _duplicates(siege: Siege) -> bool:
    for size in _SIZES:
        thing, order_id = siege.new_thing(), siege.new_id()
        siege.volley([siege.message(thing, order_id)] * size)
        if siege.effects(order_id) > 1:
            return True
    if not siege.traits.signature.changes_when_signed_again:
        return False
    thing, order_id, now = siege.new_thing(), siege.new_id(), time.time()
    siege.volley([siege.message(thing, order_id, at=now - place) for place in range(_SIZE)])
    return siege.effects(order_id) > 1


def _replay(siege: Siege) -> bool:
    thing, order_id = siege.new_thing(), siege.new_id()
    message = siege.message(thing, order_id)
    for _ in range(3):
        siege.send(message)
    header, value = siege.traits.signature.header, siege.traits.signature.value
    literal = value.removesuffix("{signature}").replace("{timestamp}", "")
    text = message.headers[header]
    end = len(text) - len(text.rpartition(literal[-1])[2]) if literal else 0
    siege.send(message.with_headers({header: text[:end] + text[end:].swapcase()}))
    return siege.effects(order_id) > 1


def _allocation(siege: Siege) -> bool:
    for more in _SIZES[:12]:
        thing = siege.new_thing()
        order_ids = [siege.new_id() for _ in range(CAPACITY - 1 + more)]
        for order_id in order_ids[: CAPACITY - 1]:
            siege.send(siege.message(thing, order_id))
        siege.volley([siege.message(thing, order_id) for order_id in order_ids[CAPACITY - 1 :]])
        if siege.effects(*order_ids) > CAPACITY:
            return True
    return False


def _bypass(siege: Siege) -> bool:
    header = siege.traits.signature.header
    value = siege.traits.signature.value
    values = (None, "", value.replace("{signature}", "é" * 64), value.replace("{signature}", "0" * 64), "none")
    for given in values:
        thing, order_id = siege.new_thing(), siege.new_id()
        answer = siege.send(siege.message(thing, order_id).with_headers({header: given}))
        if answer.status >= 500 or siege.is_accepted(answer, order_id):
            return True
    return False


def _before(siege: Siege) -> bool:
    thing, order_id = siege.new_thing(), siege.new_id()
    siege.send(siege.forged(thing, order_id))
    if siege.effects(order_id):
        return True
    siege.send(siege.message(thing, order_id))
    return siege.effects(order_id) != 1


def _parsing(siege: Siege) -> bool:
    thing = siege.new_thing()
    usual = siege.send(siege.forged(thing, siege.new_id())).status
    return any(siege.send(siege.forged_body(thing, content)).status != usual for content in _NO_JSON)


def _coverage(siege: Siege) -> bool:
    traits = siege.traits
    thing, order_id = siege.new_thing(), siege.new_id()
    message = siege.message(thing, order_id)
    respelled = siege.send(Sent(message.path, b" " + message.content, message.headers))
    if siege.is_accepted(respelled, order_id):
        return True
    thing, order_id = siege.new_thing(), siege.new_id()
    stamp = traits.signature.timestamp_header
    if stamp:
        old = siege.message(thing, order_id, at=time.time() - 3 * _DAYS_S)
        was_refused = siege.send(old).status >= 400
        order_id = siege.new_id()
        old = siege.message(thing, order_id, at=time.time() - 3 * _DAYS_S)
        renewed = siege.send(old.with_headers({stamp: str(int(time.time()))}))
        if was_refused and siege.is_accepted(renewed, order_id):
            return True
    if traits.shape.also:
        before = siege.others()
        crossed = siege.message(thing, siege.new_id())
        siege.send(Sent(traits.shape.also, crossed.content, crossed.headers))
        return siege.others() > before
    return False


def _stale(siege: Siege) -> bool:
    thing = siege.new_thing()
    for shift in (-3 * _DAYS_S, -900, 900, 3 * _DAYS_S):
        order_id = siege.new_id()
        answer = siege.send(siege.message(thing, order_id, at=time.time() + shift))
        if siege.is_accepted(answer, order_id):
            return True
    return False


def _contention(siege: Siege) -> bool:
    for _ in range(_BURSTS):
        messages = [siege.message(siege.new_thing(), siege.new_id()) for _ in range(_SIZE)]
        if not siege.traits.shape.thing_path:
            thing = siege.new_thing()
            messages = [siege.message(thing, siege.new_id()) for _ in range(_SIZE)]
        if any(answer.status >= 500 for answer in siege.volley(messages)):
            return True
    return False


def _robustness(siege: Siege) -> bool:
    thing = siege.new_thing()
    usual = body(siege.traits, "@ID@", thing)
    for odd in _ODD:
        content = usual.replace('"@ID@"', odd).replace("@ID@", odd)
        message = siege.signed(content.encode(), thing)
        before = _applied(siege, thing)
        answers = [siege.send(message).status for _ in range(2)]
        if max(answers) >= 500 or _applied(siege, thing) > before + 1:
            return True
    return any(siege.send(siege.signed(content, thing)).status >= 500 for content in (b"[]", b"7", b"{}"))


def _applied(siege: Siege, thing: str) -> int:
    return siege.shown(thing)[1]


def _torn(siege: Siege) -> bool:
    """Whether a reader sees two numbers that do not belong together."""
    seen = threading.Event()
    over = threading.Event()
    thing = siege.new_thing()

    def read() -> None:
        while not over.is_set():
            if sum(siege.shown(thing)[:2]) != CAPACITY:
                seen.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(_BURSTS * CAPACITY):
            siege.send(siege.message(thing, siege.new_id()))
    finally:
        over.set()
        reader.join()
    return seen.is_set()


def _reordering(siege: Siege) -> bool:
    """Newer, then older; the newer one's number has to stay."""
    thing = siege.new_thing()
    for number in (20, 10):
        siege.send(siege.message(thing, siege.new_id(), number=number))
    return siege.shown(thing)[2] != 20


def _injection(siege: Siege) -> bool:
    """What expected.toml says stands in for a signature, and nothing else: there is no end to what could."""
    kind, _, what = siege.traits.believes.partition(":")
    thing, order_id = siege.new_thing(), siege.new_id()
    forged = siege.forged(thing, order_id)
    if kind == "header":
        name, _, value = what.partition(": ")
        forged = forged.with_headers({name: value})
    else:
        content = json.loads(forged.content) | {what or "signature_valid": True}
        forged = siege.forged_body(thing, json.dumps(content).encode())
    return siege.is_accepted(siege.send(forged), order_id)


_LOOKS: dict[str, Callable[[Siege], bool]] = {
    "concurrent-duplicate": _duplicates,
    "sequential-replay": _replay,
    "over-allocation": _allocation,
    "signature-bypass": _bypass,
    "effect-before-verification": _before,
    "parse-before-verification": _parsing,
    "signature-coverage": _coverage,
    "stale-timestamp": _stale,
    "contention-errors": _contention,
    "signed-robustness": _robustness,
    "intermediate-state": _torn,
    "reordering": _reordering,
    "instruction-injection": _injection,
}
