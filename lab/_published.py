"""What the published remediations leave open, row by row, and how a scan's report shows each.

Only what can be seen from outside: that a duplicate gets another answer than the original, that the same order with
another amount is silently dropped, that a body is hashed whatever its size, is for the tests of the guard to show.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Evidence = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Hole:
    """One thing that a remediation leaves open.

    Args:
        remediation: which one: "F" for Flask, "A1" and "A2" for Actix, "V" for the vulnerable original.
        service: of the lab.
        what: in words.
        check: which has to show it.
        shows: whether its evidence does.
        fsync_ms: what every fsync has to take longer for it to be seen: network storage's, where a fast disk hides it.
    """

    remediation: str
    service: str
    what: str
    check: str
    shows: Callable[[Evidence], bool]
    fsync_ms: int = 0


def _probe(name: str, word: str) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.get("probes", {}).get(name) == word


def _part(name: str, word: str) -> Callable[[Evidence], bool]:
    return lambda evidence: evidence.get("parts", {}).get(name) == word


def _absent(*names: str) -> Callable[[Evidence], bool]:
    return lambda evidence: all(evidence.get("parts", {}).get(name) == "absent" for name in names)


def _applied_again(name: str) -> Callable[[Evidence], bool]:
    return lambda evidence: all(evidence.get("effects_of_both_sendings", {}).get(name, (0,)))


def _server_errors(*names: str) -> Callable[[Evidence], bool]:
    return lambda evidence: set(names) <= set(evidence.get("server_errors", ()))


def _crossed(evidence: Evidence) -> bool:
    return "accepted" in evidence.get("other_routes", {}).values()


def _any(_evidence: Evidence) -> bool:
    """The verdict alone says it."""
    return True


HOLES: tuple[Hole, ...] = (
    Hole("V", "flask-vulnerable", "the same order several times at once is applied several times",
         "concurrent-duplicate", _any),
    Hole("V", "flask-vulnerable", "distinct orders at once sell more than there is", "over-allocation", _any),
    Hole("F", "flask-published", "a non-ASCII character in X-Signature is a 500 for a stranger", "signature-bypass",
         _probe("non_ascii", "server_error")),
    Hole("F", "flask-published", "order_id null is applied every time", "signed-robustness",
         _applied_again("/order_id null")),
    Hole("F", "flask-published", "order_id missing or a list, or a body that is no object, is a 500",
         "signed-robustness", _server_errors("/order_id missing", "/order_id list", "body: a list")),
    Hole("F", "flask-published", 'under load, an uncaught "database is locked" is a 500', "contention-errors", _any,
         fsync_ms=100),
    Hole("F", "flask-published", "a message signed for one route is valid on the other that shares the secret",
         "signature-coverage", _crossed),
    Hole("F", "flask-published", "no timestamp is signed: a message is valid for ever", "signature-coverage",
         _absent("timestamp")),
    Hole("A1", "actix-transaction", "the same message at once reserves twice", "concurrent-duplicate", _any),
    Hole("A1", "actix-transaction", "the same message later reserves again", "sequential-replay", _any),
    Hole("A1", "actix-transaction", "malformed JSON is parsed before the signature", "parse-before-verification", _any),
    Hole("A1", "actix-transaction", "the signature covers JSON written again, not the bytes", "signature-coverage",
         _part("raw_body", "not covered")),
    Hole("A1", "actix-transaction", "no timestamp and no nonce is signed: a message is valid for ever",
         "signature-coverage", _absent("timestamp", "nonce")),
    Hole("A2", "actix-mutex", "the same message at once reserves twice", "concurrent-duplicate", _any),
    Hole("A2", "actix-mutex", "the same message later reserves again", "sequential-replay", _any),
    Hole("A2", "actix-mutex", "the signature covers JSON written again, not the bytes", "signature-coverage",
         _part("raw_body", "not covered")),
    Hole("A2", "actix-mutex", "a message for one item reserves another: the path is not signed", "signature-coverage",
         _crossed),
)  # fmt: skip


def is_shown(hole: Hole, finding: Mapping[str, Any]) -> bool:
    """Whether a report's finding says what the hole is: VIOLATED, with this in its evidence."""
    return finding["verdict"] == "VIOLATED" and hole.shows(finding["evidence"])
