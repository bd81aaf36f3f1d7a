"""At most one effect for each signed request: signature, claim, the handler's writes and the answer in one commit."""

from tocsin.guard._answer import HeaderFilter, Seal
from tocsin.guard._declare import API_STATUSES, WEBHOOK_STATUSES
from tocsin.guard._errors import (
    CommitUnknown,
    GuardError,
    KeyInUse,
    StoreError,
    StoreUnavailable,
    TransactionBroken,
    TransactionConflict,
    TransactionMisuse,
)
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._frameworks import RouteOptions
from tocsin.guard._guard import Guard
from tocsin.guard._keys import BodyDigest, body_digest, claim_key
from tocsin.guard._retention import FOREVER
from tocsin.guard._sequence import sequence, signed_timestamp
from tocsin.guard._signed import Signed
from tocsin.guard._store import Transaction
from tocsin.signing import json_pointer

__all__ = [
    "API_STATUSES",
    "FOREVER",
    "WEBHOOK_STATUSES",
    "BodyDigest",
    "CommitUnknown",
    "Fingerprint",
    "Guard",
    "GuardError",
    "HeaderFilter",
    "KeyInUse",
    "RouteOptions",
    "Seal",
    "Signed",
    "StoreError",
    "StoreUnavailable",
    "Transaction",
    "TransactionBroken",
    "TransactionConflict",
    "TransactionMisuse",
    "body_digest",
    "claim_key",
    "json_pointer",
    "sequence",
    "signed_timestamp",
]
