"""From a developer's declaration to an Operation. PURE.

Rule: what would let one message take effect twice, or be taken for another, is refused when the service starts. Where a
default could be wrong either way, the developer has to say.
"""

from collections.abc import Container
from dataclasses import dataclass

from tocsin.guard._answer import LEAST_FAILURE, HeaderFilter, Seal
from tocsin.guard._errors import GuardError
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._keys import BodyDigest, KeyRule
from tocsin.guard._operation import Operation
from tocsin.guard._retention import checked_answer_days, checked_claim_days, default_claim_days
from tocsin.guard._sequence import Sequence
from tocsin.signing import JsonPointer, KeyRing, MessageId, Scheme, check_keys

# A provider sends again whatever was not a success: a 404 for an order that does not exist yet must not be replayed to
# it for days.
WEBHOOK_STATUSES = frozenset(range(200, 400))
# A client reads its 4xx. Less those that tell it to try the same thing again: request timeout, locked, too early, too
# many requests.
API_STATUSES = frozenset(range(200, 500)) - {408, 423, 425, 429}

_LAST_STATUS = 599


@dataclass(frozen=True, slots=True)
class Options:
    """What may be said for a whole guard and again for one operation; None: not said."""

    remember: Container[int] | None = None
    fingerprint: Fingerprint | None = None
    answer_days: float | None = None
    claim_days: float | None = None
    sequence: Sequence | None = None

    def over(self, wider: "Options") -> "Options":
        """These options, and for what they leave open the wider ones."""
        return Options(
            wider.remember if self.remember is None else self.remember,
            wider.fingerprint if self.fingerprint is None else self.fingerprint,
            wider.answer_days if self.answer_days is None else self.answer_days,
            wider.claim_days if self.claim_days is None else self.claim_days,
            wider.sequence if self.sequence is None else self.sequence,
        )


def check_scheme(scheme: Scheme, keys: KeyRing, *, public_origin: str, unsigned_body: bool) -> None:
    """Whether a guard can stand on this scheme at all.

    Raises:
        GuardError: it leaves the body unsigned, or signs the URL and nobody says which.
        SchemeError: the key ring cannot serve it.
    """
    check_keys(scheme, keys)
    if not scheme.covers("body") and not unsigned_body:
        raise GuardError(
            f"the scheme {scheme.name!r} does not sign the body: anybody could put another one under a captured "
            "signature; wanted a scheme that does, or unsigned_body=True"
        )
    if scheme.needs_public_origin and not public_origin:
        raise GuardError(
            f"the scheme {scheme.name!r} signs the public URL, which no request says reliably; wanted public_origin, "
            'such as "https://api.example.com"'
        )


def key_rule(scheme: Scheme, key: JsonPointer | BodyDigest | None) -> KeyRule:
    """What makes two requests of a scheme the same operation.

    Raises:
        GuardError: nothing says, or it would be read from what is not signed.
    """
    if key is None:
        if scheme.message_id is None:
            raise GuardError(
                f"the scheme {scheme.name!r} signs no message id, so the guard cannot tell a retry from a new message; "
                'wanted key=json_pointer("/...") to an id in the body, or key=body_digest(days=...) to take equal '
                "bodies for one message"
            )
        return scheme.message_id
    if not scheme.covers("body"):
        raise GuardError(f"key: the scheme {scheme.name!r} does not sign the body; wanted a signed part")
    return key


def declare(
    name: str,
    *,
    scheme: Scheme,
    keys: KeyRing,
    rule: KeyRule,
    options: Options,
    keep: HeaderFilter | None,
    seal: Seal | None,
) -> Operation:
    """The operation that a developer has declared, with the defaults filled in.

    Raises:
        GuardError: an option is refused.
    """
    remember = _default_statuses(rule, scheme) if options.remember is None else options.remember
    failures = [status for status in range(LEAST_FAILURE, _LAST_STATUS + 1) if status in remember]
    if failures:
        raise GuardError(
            f"remember holds {failures[0]}: a handler that failed is rolled back, and nothing is left to remember; "
            "wanted statuses below 500"
        )
    return Operation(
        name=name,
        scheme=scheme,
        keys=keys,
        rule=rule,
        compared=_default_fingerprint(rule) if options.fingerprint is None else Fingerprint(options.fingerprint),
        remember=remember,
        answer_days=checked_answer_days(options.answer_days),
        claim_days=_claim_days(rule, scheme, options.claim_days),
        keep=keep,
        seal=seal,
        sequence=options.sequence,
    )


def separates_routes(scheme: Scheme) -> bool:
    """Whether a message that is signed for one route fails on another."""
    return scheme.covers("path")


def _claim_days(rule: KeyRule, scheme: Scheme, said: float | None) -> float:
    # A digest's days say what is a repeat and what is a new message, not only how long something is kept.
    if said is None or isinstance(rule, BodyDigest):
        return default_claim_days(rule, scheme)
    return checked_claim_days(said, scheme)


def _is_clients_own(rule: MessageId | None) -> bool:
    """Whether the id is the header in which clients of an API name their keys (the IETF draft's)."""
    return rule is not None and rule.header is not None and rule.header.lower() == "idempotency-key"


def _default_statuses(rule: KeyRule, scheme: Scheme) -> Container[int]:
    if _is_clients_own(scheme.message_id):
        return API_STATUSES
    # Whoever names its own message ids, or is known to send again by itself, is a provider of webhooks.
    is_webhook = not isinstance(rule, JsonPointer) or scheme.retry_horizon_s is not None
    return WEBHOOK_STATUSES if is_webhook else API_STATUSES


def _default_fingerprint(rule: KeyRule) -> Fingerprint:
    if isinstance(rule, JsonPointer) or (isinstance(rule, MessageId) and _is_clients_own(rule)):
        return Fingerprint.REQUEST
    # A provider may change incidental fields between attempts; and the digest of a body compares the body anyway.
    return Fingerprint.NONE
