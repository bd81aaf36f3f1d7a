"""What a generated service does with a signed request, as source text: its defence, its window, and its order of steps.

@A@ is "async " in services on an event loop, and @W@ "await ".
"""

from lab.generated._traits import Traits


def apply_source(traits: Traits) -> str:
    """What a verified message does."""
    pause = "@W@pause()"
    before = f"    {pause}\n" if traits.place == "before" else ""
    between = f"        {pause}\n" if traits.place == "between" else ""
    after = f"    {pause}\n" if traits.place == "after" else ""
    body = _BODIES[traits.defence]
    if "@TAKE@" in body:
        body = body.replace("@LOOK@", "" if traits.is_stock_atomic else _LOOK)
        body = body.replace("@TAKE@", _TAKE_IF_LEFT if traits.is_stock_atomic else _TAKE)
    if not body:
        return _answers(traits)
    if traits.order:
        body = body.replace(_TAKE, f"{_TAKE}{_NUMBER}").replace(_TAKE_IF_LEFT, f"{_TAKE_IF_LEFT}{_NUMBER}")
    body = body.replace("@BETWEEN@", between)
    lock = "LOCK = threading.Lock()\n\n\n" if traits.defence == "lock-per-process" else ""
    return (
        f"{_answers(traits)}\n\n{lock}@A@def apply(order_id, thing, key, number):\n"
        f'    """Do what a message says, if it is the first of its kind and there is something left."""\n'
        f"{before}{body}{after}    return DONE\n"
    )


def _answers(traits: Traits) -> str:
    return (
        f'DONE = {traits.done}, {{"status": "done"}}\n'
        f'DUPLICATE = {traits.duplicate}, {{"status": "duplicate"}}\n'
        f'REFUSED = {traits.refused}, {{"error": "nothing left"}}\n'
    )


_LOOK = "        if not s.has_left(thing):\n            return REFUSED\n"
_TAKE = "        s.take(thing, order_id)\n"
_TAKE_IF_LEFT = "        if not s.take_if_left(thing, order_id):\n            return REFUSED\n"
_NUMBER = "        s.number(thing, number)\n"
_CLAIM = "        if not s.claim(key):\n            return DUPLICATE\n"
_IS_DONE = "        if s.is_done(key):\n            return DUPLICATE\n"
_IN_TURN = f"{_IS_DONE}@LOOK@@BETWEEN@        s.mark(key)\n@TAKE@"
_BODIES = {
    "locked": f"    @A@with store.locked() as s:\n{_IN_TURN}",
    "keyed-on-signature": f"    @A@with store.locked() as s:\n{_IN_TURN}",
    "deferred": f"    with store.transaction() as s:\n{_IN_TURN}",
    "look-then-write": f"    @A@with store.open() as s:\n{_IN_TURN}",
    "lock-per-process": f"    with LOCK, store.open() as s:\n{_IN_TURN}",
    "atomic": f"    with store.transaction() as s:\n{_CLAIM}@BETWEEN@{_TAKE_IF_LEFT}",
    "claim-after-effect": f"    @A@with store.open() as s:\n{_IS_DONE}{_TAKE_IF_LEFT}@BETWEEN@        s.mark(key)\n",
    "forgets": "    @A@with store.open() as s:\n@LOOK@@BETWEEN@@TAKE@",
    "stock-race": f"    @A@with store.open() as s:\n{_CLAIM}{_LOOK}@BETWEEN@{_TAKE}",
    # The claim was taken before the signature was looked at.
    "claim-before-verification": f"    @A@with store.open() as s:\n@BETWEEN@{_TAKE_IF_LEFT}",
    # All is done before the signature is looked at, see _BEFORE.
    "effect-before-verification": "",
}


def operation_source(traits: Traits) -> str:
    """From a request to what it does."""
    shape, strict = traits.shape, traits.strict
    key = "str(order_id)" if shape.id_is_number else "order_id"
    lines = ["@A@def operation(method, path, thing_in_path, header, body):", '    """A signed request."""']
    if traits.parsing != "raw":
        lines += ["    if read(body) is None:", '        return 400, {"error": "no JSON"}']
    if traits.defence in _BEFORE:
        lines += ["    found = read(body)", f"    order_id = {member_of(shape.id_path, strict=True)}"]
        lines += [f"    thing = {_thing(traits)}", f"    if {_usable(traits)}:"]
        first = _BEFORE[traits.defence].replace("@KEY@", key)
        lines += ["        @A@with store.locked() as s:", *first.splitlines()]
    lines += ["    signature = verified(method, path, header, body)", "    if signature is None:"]
    lines += ['        return 401, {"error": "bad signature"}']
    lines += ["    found = read(body)" if strict else "    found = json.loads(body)"]
    lines += [f"    order_id = {member_of(shape.id_path, strict=strict)}", f"    thing = {_thing(traits)}"]
    if strict:
        lines += [f"    if not ({_usable(traits)}):"]
        lines += ['        return 400, {"error": "wanted an id and what it is about"}']
    lines += [f"    number = {_number(traits)}"]
    if traits.order and strict:
        lines += ["    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**62:"]
        lines += ['        return 400, {"error": "wanted a number"}']
    if traits.defence == "keyed-on-signature":
        key = "signature"
    if _BODIES[traits.defence]:
        lines += [f"    return @W@apply(order_id, thing, {key}, number)"]
    return "\n".join(lines) + "\n"


_BEFORE = {
    "claim-before-verification": """\
            if not s.claim(@KEY@):
                return DUPLICATE""",
    # Whoever is refused has had the effect all the same.
    "effect-before-verification": """\
            if s.is_done(@KEY@):
                return DUPLICATE
            @W@pause()
            if not s.take_if_left(thing, order_id):
                return REFUSED
            if verified(method, path, header, body) is None:
                return 401, {"error": "bad signature"}
            s.mark(@KEY@)
        return DONE""",
}


def _number(traits: Traits) -> str:
    return member_of((traits.shape.number,), strict=traits.strict) if traits.order else "0"


def _thing(traits: Traits) -> str:
    path = traits.shape.thing_path
    return member_of(path, strict=traits.strict) if path else "thing_in_path"


def _usable(traits: Traits) -> str:
    return f"{USABLE[traits.shape.id_is_number]} and isinstance(thing, str) and thing.isascii()"


USABLE = {
    False: "isinstance(order_id, str) and 0 < len(order_id) <= 128 and order_id.isascii() and order_id.isprintable()",
    True: "isinstance(order_id, int) and not isinstance(order_id, bool) and 0 <= order_id < 2**53",
}


def member_of(path: tuple[str, ...], *, strict: bool) -> str:
    if strict:
        names = ", ".join(f'"{name}"' for name in path)
        return f"at(found, {names})"
    return "found" + "".join(f'["{name}"]' for name in path)
