"""The words of a name. PURE."""

import re
from typing import Final

_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")


def vocabulary(words_of_it: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(words_of_it.split())


def words(name: str) -> frozenset[str]:
    """The words of a name, in lower case: of "orderId", "order_id" and "X-Order-Id" the same."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def run_together(name: str) -> str:
    """A name without what separates its words: "apikey" of "APIkey" and of "api_key"."""
    return re.sub("[^a-z0-9]", "", name.lower())


def singular(noun: str) -> str:
    """Of a path's segment: "orders" is about an order."""
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun.removesuffix("s")


ID_WORDS: Final = vocabulary("id uuid guid key ref reference number no nonce")
# What one operation makes anew; anything else that is named by an id was there before.
OPERATION_WORDS: Final = vocabulary(
    "order payment event transaction transfer request message delivery idempotency charge invoice booking operation "
    "redemption refund correlation trace nonce webhook reservation purchase client external"
)
THING_WORDS: Final = vocabulary("item sku product account wallet coupon code customer user voucher seat resource")
