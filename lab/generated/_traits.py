"""What a seed decides about a service. Rule: the seed alone; neither the machine nor the day has a say.

About half of all services apply a message once, by tocsin.guard or by a defence made by hand; the others have one of
the ways in which services fail to. Every other flaw is drawn by itself, so that defended services have some too.
"""

import random
from dataclasses import dataclass

from lab.generated._signature import Signature, draw_signature

# Applied once, whatever happens at the same time.
SOUND = ("guard", "locked", "atomic", "deferred", "claim-before-verification", "effect-before-verification")
# One message can be applied twice, or one piece be sold twice.
UNSOUND = ("look-then-write", "lock-per-process", "claim-after-effect", "forgets", "stock-race", "keyed-on-signature")
# Below this a window is hit or not as the machine pleases. Others are forced: threads of one process meet in them.
FORCED_MS = 1.0
# Of two processes, each with a queue of its own before its lock: a window is met once both have begun on theirs.
FORCED_ACROSS_PROCESSES_MS = 3.0
WINDOWS_MS = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0)

# Where a message is applied in one place, which can look at its number too.
_ORDERED = ("guard", "locked", "atomic", "deferred", "look-then-write", "lock-per-process", "claim-after-effect")

_NOUNS = ("orders", "payments", "bookings", "claims", "tickets", "shipments", "transfers", "redemptions", "uploads")
_THINGS = ("item", "sku", "account", "seat", "wallet", "voucher", "lot", "shelf")
_IDS = ("id", "order_id", "reference", "eventId", "uid", "message_id", "txn")
_PREFIXES = ("", "/api", "/v1", "/api/v2", "/hooks", "/in", "/webhooks")
_WRAPPERS = ("data", "payload", "event", "attributes", "object")
_STOCK_NAMES = ("stock", "left", "available", "remaining", "free")
_CREDIT_NAMES = ("balance", "points", "total", "credit", "used")


@dataclass(frozen=True, slots=True)
class Shape:
    """Names, routes and JSON of a service.

    Args:
        operation: the signed route; holds {thing} if the thing is named by the path.
        also: another signed route, or "".
        things: where a thing is made; below it, one is read.
        reset: brings the state back.
        id_path: the members that lead to the message's id in its body.
        thing_path: likewise to the thing's id; () if it is in the route.
        made_path: likewise in the answer that makes a thing.
        count_path: likewise to the number that an effect changes, in the answer that shows a thing.
        taken: the member beside it that counts effects.
        number: the member of the body that orders messages, where they are ordered; `applied`: where it shows.
        extra: members of the body that mean nothing.
        id_is_number: ids are numbers; else texts.
        count_is_text: the number is a decimal string.
        spaced: the body has spaces after colons and commas.
    """

    operation: str
    also: str
    things: str
    reset: str
    id_path: tuple[str, ...]
    thing_path: tuple[str, ...]
    made_path: tuple[str, ...]
    count_path: tuple[str, ...]
    taken: str
    number: str
    applied: str
    extra: tuple[tuple[str, str | int], ...]
    id_is_number: bool
    count_is_text: bool
    spaced: bool


@dataclass(frozen=True, slots=True)
class Traits:
    """All that a seed decides.

    Args:
        kind: "stock" goes down and has a limit, "credit" goes up and has none.
        storage: "memory", "file", "sqlite" or "postgres".
        front: "flask" and "wsgi" under gunicorn, "starlette" (threads) and "asyncio" under uvicorn.
        workers: processes.
        defence: one of SOUND and UNSOUND.
        window_ms: how long the handler does something else, and `place` where: "before" it looks, "between" look and
            write, "after" the last write.
        busy: it computes meanwhile, else it waits.
        is_stock_atomic: the limit is kept by the statement that takes, whatever `defence` does.
        strict: an id that is none is a 400.
        parsing: "raw" verifies first, "parsed" parses first, "reserialised" verifies what it has parsed and written.
        comparison: of signatures: "bytes", or "text", which fails on what is not ASCII.
        accepts_unsigned: a message without the header is believed.
        ignores_case: of a hexadecimal signature.
        believes: "member:NAME" or "header:NAME: VALUE" stands in for a signature; "" nothing does.
        patience_s: how long SQLite waits for its lock.
        shows_both: a thing shows two numbers that belong together; is_torn: they are written one after the other.
        reset_forgets: the reset clears what is remembered of messages.
        order: messages are numbered, and a thing shows the number of the "newest", or of the "last"; "" they are not.
        amount: by how much an effect changes the number.
        done, duplicate, refused: statuses.
    """

    seed: int
    shape: Shape
    signature: Signature
    kind: str
    storage: str
    front: str
    workers: int
    defence: str
    window_ms: float
    place: str
    busy: bool
    is_stock_atomic: bool
    strict: bool
    parsing: str
    comparison: str
    accepts_unsigned: bool
    ignores_case: bool
    believes: str
    patience_s: float
    shows_both: bool
    is_torn: bool
    reset_forgets: bool
    order: str
    amount: int
    done: int
    duplicate: int
    refused: int

    @property
    def name(self) -> str:
        """What the service is called."""
        return f"generated-{self.seed}"

    @property
    def is_forced(self) -> bool:
        """Whether the window between look and write is one that nobody can miss."""
        least = FORCED_ACROSS_PROCESSES_MS if self.defence == "lock-per-process" else FORCED_MS
        return self.place == "between" and self.window_ms >= least

    @property
    def is_guarded(self) -> bool:
        """Whether tocsin.guard stands in front."""
        return self.defence == "guard"


def draw(seed: int) -> Traits:
    """The service of a seed: the same one, always."""
    dice = random.Random(f"tocsin lab generate {seed}")  # a text is hashed by SHA-512, a number is not
    sound = dice.random() < 0.5
    kind = dice.choice(("stock", "stock", "credit"))
    storage = dice.choice(("memory", "file", "sqlite", "sqlite", "sqlite", "postgres"))
    defence = _defence(dice, sound=sound, kind=kind, storage=storage)
    front, workers = _server(dice, defence, storage)
    window_ms, place = _window(dice, defence)
    signature = draw_signature(dice, is_sound=defence == "guard")
    looks_first = defence in {"guard", "claim-before-verification", "effect-before-verification"}
    strict = looks_first or dice.random() < 0.7
    # None where the guard verifies.
    flaws = _flaws(dice, defence) if defence != "guard" else {}
    parsing = flaws.get("parsing", "raw")
    torn_fits = kind == "stock" and storage in {"sqlite", "postgres"}
    shows_both = torn_fits and dice.random() < 0.6
    is_torn = shows_both and defence in {"look-then-write", "forgets", "stock-race"} and window_ms >= FORCED_MS
    queues = storage == "sqlite" and defence == "locked" and place == "between" and window_ms >= 2
    waits_nowhere = queues and dice.random() < 0.5
    order = dice.choice(("newest", "last")) if kind == "credit" and defence in _ORDERED and dice.random() < 0.6 else ""
    shape = _shape(dice, defence, parsing, shows_both=shows_both)
    return Traits(
        seed=seed,
        shape=shape,
        signature=signature,
        kind=kind,
        storage=storage,
        front=front,
        workers=workers,
        defence=defence,
        window_ms=window_ms,
        place=place,
        busy=front != "asyncio" and dice.random() < 0.3,
        is_stock_atomic=not is_torn and dice.random() < 0.4,
        strict=strict,
        parsing=parsing,
        comparison=flaws.get("comparison", "bytes"),
        accepts_unsigned="unsigned" in flaws,
        ignores_case=signature.encoding in {"hex", "HEX"} and defence != "guard" and dice.random() < 0.3,
        believes=flaws.get("believes", ""),
        patience_s=0.0 if waits_nowhere else 5.0,
        shows_both=shows_both,
        is_torn=is_torn,
        reset_forgets=dice.random() < 0.5,
        order=order,
        amount=1 if shows_both else dice.choice((1, 1, 2, 10, 250)),
        done=dice.choice((200, 200, 201, 202)),
        duplicate=dice.choice((200, 200, 208, 409)),
        refused=dice.choice((409, 422, 400, 410)),
    )


def _defence(dice: random.Random, *, sound: bool, kind: str, storage: str) -> str:
    databases = storage in {"sqlite", "postgres"}
    if sound:
        if dice.random() < 0.2:
            # What is taken before the verification runs out where there is a limit, and hides all else.
            return "effect-before-verification" if kind == "credit" else "claim-before-verification"
        fitting = ["locked"]
        fitting += ["guard", "guard", "atomic"] if databases else []
        fitting += ["deferred"] if storage == "sqlite" else []
    else:
        fitting = ["look-then-write", "look-then-write", "claim-after-effect", "forgets", "keyed-on-signature"]
        fitting += ["stock-race"] if kind == "stock" else []
        fitting += ["lock-per-process"] if storage != "memory" else []
    return dice.choice(fitting)


def _server(dice: random.Random, defence: str, storage: str) -> tuple[str, int]:
    """The front and how many processes: what is in memory is in one of them."""
    if defence == "guard":
        return "flask", dice.choice((1, 2))
    if defence == "lock-per-process":
        return dice.choice(("flask", "wsgi")), 2
    fronts = ["flask", "wsgi", "starlette"] + (["asyncio", "asyncio"] if storage == "memory" else [])
    front = dice.choice(fronts)
    return front, dice.choice((1, 2)) if front in {"flask", "wsgi"} and storage != "memory" else 1


def _window(dice: random.Random, defence: str) -> tuple[float, str]:
    if defence == "lock-per-process":
        return dice.choice((3.0, 5.0)), "between"
    if defence == "deferred":
        return dice.choice((2.0, 3.0, 5.0)), "between"
    if defence == "guard":
        return dice.choice(WINDOWS_MS), "between"
    return dice.choice(WINDOWS_MS), dice.choice(("between", "between", "between", "between", "before", "after"))


def _flaws(dice: random.Random, defence: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if dice.random() < 0.25:
        found["comparison"] = "text"
    # To whoever knows a message by its signature, all unsigned ones are one.
    has_signature = defence != "keyed-on-signature"
    if dice.random() < 0.12 and has_signature:
        found["unsigned"] = "yes"
    if dice.random() < 0.3:
        found["parsing"] = dice.choice(("parsed", "reserialised"))
    if dice.random() < 0.2 and has_signature:
        found["believes"] = dice.choice(
            (
                "member:signature_valid",
                "member:verified",
                "member:test_mode",
                "member:trusted",
                "header:X-Forwarded-For: 127.0.0.1",
                "header:X-Internal-Request: true",
                "header:X-Gateway-Verified: true",
            )
        )
    return found


def _shape(dice: random.Random, defence: str, parsing: str, *, shows_both: bool) -> Shape:
    prefix, noun, thing = dice.choice(_PREFIXES), dice.choice(_NOUNS), dice.choice(_THINGS)
    in_path = defence != "guard" and dice.random() < 0.25
    wrapper = (dice.choice(_WRAPPERS),) if dice.random() < 0.4 else ()
    extra: list[tuple[str, str | int]] = [("qty", 1), ("currency", "EUR"), ("kind", f"{noun[:-1]}.created"), ("v", 2)]
    kept = dice.sample(extra, dice.randrange(0, 4))
    view = (dice.choice(_WRAPPERS),) if dice.random() < 0.3 else ()
    return Shape(
        operation=f"{prefix}/{thing}s/{{thing}}/{noun}" if in_path else f"{prefix}/{noun}",
        also=f"{prefix}/{noun}-cancelled" if defence != "guard" and dice.random() < 0.35 else "",
        things=f"{dice.choice(('/admin', '/setup', prefix))}/{thing}s",
        reset=dice.choice(("/__reset", "/admin/reset", "/test/clear")),
        id_path=(*wrapper, dice.choice(_IDS)),
        thing_path=() if in_path else ((*wrapper, thing) if dice.random() < 0.7 else (thing,)),
        made_path=(*view, dice.choice((thing, "name", "key"))),
        count_path=(*view, dice.choice(_STOCK_NAMES + _CREDIT_NAMES)),
        taken=dice.choice(("taken", "sold", "done")),
        number=dice.choice(("seq", "version", "number", "revision")),
        applied=dice.choice(("applied", "last_seq", "as_of")),
        extra=tuple(kept),
        id_is_number=dice.random() < 0.25,
        count_is_text=not shows_both and dice.random() < 0.2,
        # Such a service takes what its own code sends: written again without spaces, others would not verify.
        spaced=parsing != "reserialised" and dice.random() < 0.3,
    )
