"""What is true of a generated service, from how it was made. Rule: read off the traits, never off a scan.

A window that nobody can miss makes a race VIOLATED. One that is as wide as the machine makes it is `either`: both
answers are right, and the reason says why. _verify.py asks the running service.
"""

from lab._expected import EITHER, Truth
from lab.generated._signature import IGNORED, PAST_ONLY, UNSIGNED, WIDE
from lab.generated._traits import Traits

VIOLATED, CLEAN, NOT_ASKED = "VIOLATED", "NOT_OBSERVED", "NOT_APPLICABLE"
_RACING = ("look-then-write", "lock-per-process", "claim-after-effect")
_NATURAL = "The window is as wide as the statements take on this machine, and may or may not be hit"

_NO_AWAIT = "Between look and write there is no await, and one event loop runs one task at a time."


def truths(traits: Traits) -> dict[str, Truth]:
    """The truth for every check."""
    found = (
        _duplicates(traits),
        _replay(traits),
        _allocation(traits),
        _bypass(traits),
        _before(traits),
        _parsing(traits),
        _coverage(traits),
        _stale(traits),
        _contention(traits),
        _robustness(traits),
        _torn(traits),
        _reordering(traits),
        _injection(traits),
        Truth("comparison-timing", NOT_ASKED, why="Asked only with --opt-in comparison-timing."),
    )
    return {truth.check: truth for truth in found}


def _race(traits: Traits) -> str:
    """The verdict of a race through the window between look and write."""
    if traits.front == "asyncio" and traits.place != "between":
        return CLEAN
    return VIOLATED if traits.is_forced else EITHER


def _duplicates(traits: Traits) -> Truth:
    identical, why = CLEAN, "Look, write and remember are one step that no copy fits into."
    if traits.defence in _RACING:
        identical = _race(traits)
        why = f"A copy that looks during the {traits.window_ms:g} ms before the message is remembered is applied too."
        if identical != VIOLATED:
            why = _NO_AWAIT if identical == CLEAN else f"{_NATURAL}: a copy that looks within it is applied too."
    elif traits.defence == "forgets":
        identical, why = VIOLATED, "Nothing remembers a message."
    elif traits.defence == "stock-race":
        why = "The claim looks and remembers in one statement; only the stock is looked at apart."
    resigned = identical
    if not traits.signature.timestamp and not traits.signature.nonce_header:
        resigned = NOT_ASKED
    elif traits.defence == "keyed-on-signature" and traits.signature.changes_when_signed_again:
        resigned, why = VIOLATED, "A message is known by its signature: signed afresh, it is another one."
    verdict = VIOLATED if VIOLATED in {identical, resigned} else EITHER if EITHER in {identical, resigned} else CLEAN
    return Truth(
        "concurrent-duplicate",
        verdict,
        "none" if verdict == CLEAN else "high",
        {"identical": identical, "resigned": resigned, "same_nonce": NOT_ASKED},
        why,
    )


def _replay(traits: Traits) -> Truth:
    if traits.defence == "forgets":
        return Truth("sequential-replay", VIOLATED, "high", why="Nothing remembers a message.")
    if traits.defence == "keyed-on-signature" and traits.ignores_case:
        why = "A message is known by the text of its signature, which verifies in both cases."
        return Truth("sequential-replay", VIOLATED, "high", why=why)
    return Truth("sequential-replay", CLEAN, why="What has been applied is remembered, and found by what comes later.")


def _allocation(traits: Traits) -> Truth:
    check = "over-allocation"
    if traits.kind == "credit":
        return Truth(check, NOT_ASKED, why="The number goes up without a limit.")
    looks = traits.defence in {"look-then-write", "lock-per-process", "forgets"} and not traits.is_stock_atomic
    if looks or traits.defence == "stock-race":
        verdict = _race(traits)
        why = f"What is left is looked at {traits.window_ms:g} ms before it is taken, and not looked at again."
        if verdict == CLEAN:
            return Truth(check, CLEAN, why=_NO_AWAIT)
        return Truth(check, verdict, "high", why=why if verdict == VIOLATED else f"{_NATURAL}.")
    return Truth(check, CLEAN, why="What is left is looked at and taken in one step.")


def _bypass(traits: Traits) -> Truth:
    check = "signature-bypass"
    if traits.accepts_unsigned:
        return Truth(check, VIOLATED, "critical", why="A message without the header is believed.")
    if traits.comparison == "text":
        why = "hmac.compare_digest raises TypeError for text that is not ASCII, and nobody catches it: 500."
        return Truth(check, VIOLATED, "medium", why=why)
    return Truth(check, CLEAN, why="What is not exactly a valid signature is a 401.")


def _before(traits: Traits) -> Truth:
    check = "effect-before-verification"
    if traits.defence == "effect-before-verification":
        return Truth(check, VIOLATED, "high", why="The effect comes first; whoever is refused has had it.")
    if traits.defence == "claim-before-verification":
        why = "The id is claimed before the signature is looked at: a forgery uses it up."
        return Truth(check, VIOLATED, "medium", why=why)
    return Truth(check, CLEAN, why="Nothing is looked up or written before the signature has been verified.")


def _parsing(traits: Traits) -> Truth:
    check = "parse-before-verification"
    if traits.parsing != "raw":
        return Truth(check, VIOLATED, "low", why="What is no JSON is a 400 before the signature is looked at.")
    return Truth(check, CLEAN, why="Whatever the body is, a forgery is a 401.")


def _coverage(traits: Traits) -> Truth:
    check, signature = "signature-coverage", traits.signature
    holes = []
    if signature.timestamp == UNSIGNED:
        holes.append("The timestamp is looked at and not signed: an old message is made new by another header.")
    if traits.shape.also and not signature.signs_route:
        holes.append("A message for one route is accepted by the other, under the same secret.")
    severity = "high" if holes else "medium"
    if traits.parsing == "reserialised":
        holes.append("The signature covers what the service writes, not the bytes that came.")
    if holes:
        return Truth(check, VIOLATED, severity, why=" ".join(holes))
    return Truth(check, CLEAN, why="The raw body is covered, and whatever else the service goes by.")


def _stale(traits: Traits) -> Truth:
    check = "stale-timestamp"
    match traits.signature.timestamp:
        case "":
            return Truth(check, NOT_ASKED, why="The scheme has no timestamp.")
        case word if word == IGNORED:
            return Truth(check, VIOLATED, "medium", why="The timestamp is signed, and nobody looks at it.")
        case word if word == PAST_ONLY:
            return Truth(check, VIOLATED, "medium", why="However far ahead a timestamp is, it is not too old.")
        case word if word == WIDE:
            why = f"Timestamps may be {traits.signature.tolerance_s} s old."
            return Truth(check, VIOLATED, "low", why=why)
        case _:
            return Truth(check, CLEAN, why=f"Timestamps may be {traits.signature.tolerance_s} s from now.")


def _contention(traits: Traits) -> Truth:
    check = "contention-errors"
    if traits.defence == "deferred":
        why = "Two transactions that have read and want to write: SQLite refuses one of them, and nobody tries again."
        return Truth(check, VIOLATED, "medium", why=why)
    if traits.patience_s == 0:
        why = f"The write lock is held for {traits.window_ms:g} ms, and SQLite is told not to wait for it."
        return Truth(check, VIOLATED, "medium", why=why)
    return Truth(check, CLEAN, why="Whoever has to wait is given the time.")


def _robustness(traits: Traits) -> Truth:
    check = "signed-robustness"
    if traits.strict:
        return Truth(check, CLEAN, why="What is no usable id is a 400 that changes nothing.")
    failing = "A body without the members is an uncaught exception: 500."
    if traits.defence == "forgets":
        return Truth(check, VIOLATED, "high", why=f"Nothing remembers a message, with an id or without. {failing}")
    in_database = traits.storage in {"sqlite", "postgres"} and not traits.shape.id_is_number
    if in_database and traits.defence != "keyed-on-signature":
        why = f"An id that is null equals no other, in a look and in a unique column alike: applied again. {failing}"
        return Truth(check, VIOLATED, "high", why=why)
    return Truth(check, VIOLATED, "low", why=failing)


def _torn(traits: Traits) -> Truth:
    check = "intermediate-state"
    if not traits.shows_both:
        return Truth(check, NOT_ASKED, why="No two numbers of one answer are promised to belong together.")
    if traits.is_torn:
        why = f"What is left is written {traits.window_ms:g} ms before what is taken, and readers see between."
        return Truth(check, VIOLATED, "medium", why=why)
    return Truth(check, CLEAN, why="Both numbers are written by one statement.")


def _reordering(traits: Traits) -> Truth:
    check = "reordering"
    if not traits.order:
        return Truth(check, NOT_ASKED, why="Messages are not numbered.")
    if traits.order == "last":
        return Truth(check, VIOLATED, "high", why="The number of the last message is kept, whichever it is.")
    return Truth(check, CLEAN, why="A message's number is kept if it is higher, by one statement.")


def _injection(traits: Traits) -> Truth:
    check = "instruction-injection"
    if traits.believes:
        why = f"A {traits.believes.replace(':', ' ', 1)} stands in for a signature."
        return Truth(check, VIOLATED, "critical", why=why)
    return Truth(check, CLEAN, why="Nothing in a message takes part in the decision but its signature.")
