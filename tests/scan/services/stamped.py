"""Desks whose signature covers a timestamp, and a nonce where there is one."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from tests.scan.services.desk import SECRET, Asked, Desk
from tests.scan.services.racy import Unlocked

STAMPED = {"preset": "stripe"}
NONCED = {
    "preset": None,
    "content": "{timestamp}.{nonce}.{body}",
    "header": "X-Signature",
    "value": "v1={signature}",
    "timestamp_header": "X-Time",
    "nonce_header": "X-Nonce",
}
NONCE_UNSIGNED = {"preset": None, "content": "{body}", "header": "X-Signature", "nonce_header": "X-Nonce"}


def hex_hmac(content: bytes) -> str:
    return hmac.new(SECRET.encode(), content, hashlib.sha256).hexdigest()


class Stamped(Desk):
    """Signed as Stripe does; tolerates 300 s."""

    tolerance_s = 300.0

    def is_signed(self, asked: Asked) -> bool:
        items = dict(
            item.partition("=")[::2] for value in asked.values("Stripe-Signature") for item in value.split(",")
        )
        stamp = items.get("t", "")
        expected = hex_hmac(stamp.encode("latin-1") + b"." + asked.body)
        if not hmac.compare_digest(expected.encode(), items.get("v1", "").encode("latin-1")):
            return False
        return abs(time.time() - int(stamp)) <= self.tolerance_s


class Nonced(Desk):
    """Timestamp and nonce in headers of their own, both signed. An order and a nonce are taken once."""

    def __init__(self, *, stock: int = 5) -> None:
        super().__init__(stock=stock)
        self.nonces: set[str] = set()

    def is_signed(self, asked: Asked) -> bool:
        stamp, nonce = ("".join(asked.values(name)) for name in ("X-Time", "X-Nonce"))
        expected = hex_hmac(f"{stamp}.{nonce}.".encode("latin-1") + asked.body)
        return hmac.compare_digest(f"v1={expected}".encode(), asked.signature.encode("latin-1"))

    def is_new(self, order: Mapping[str, Any], asked: Asked) -> bool:
        nonce = "".join(asked.values("X-Nonce"))
        is_new = nonce not in self.nonces and super().is_new(order, asked)
        self.nonces.add(nonce)
        return is_new


class RemembersTheSignature(Stamped):
    """Takes the same bytes for the same message, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def is_new(self, _order: Mapping[str, Any], asked: Asked) -> bool:
        [signature] = asked.values("Stripe-Signature")
        is_new = signature not in self.seen
        self.seen.add(signature)
        return is_new


class LooksForTheNonce(Unlocked, Nonced):
    """An order is taken once under a lock; whether its nonce is used is looked up, and written down later."""

    def is_new(self, order: Mapping[str, Any], asked: Asked) -> bool:
        nonce = "".join(asked.values("X-Nonce"))
        with self.lock:
            is_new = nonce not in self.nonces and order["order_id"] not in self.orders
            self.orders[order["order_id"]] += 1
        self.window.meet()
        self.nonces.add(nonce)
        return is_new

    def before_taking(self) -> None:
        """The window lies further up."""
