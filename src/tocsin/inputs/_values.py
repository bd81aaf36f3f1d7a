"""What a value in somebody's request is: a secret, an instant, an id of the operation, a name of something else. PURE.

Rule: judged by its name and its shape, and in doubt it is a secret. A plan is committed and shown to others; a value
that is wrongly left out costs its author one line, one that is wrongly kept costs the key.
"""

import re
from enum import Enum
from typing import Final


def vocabulary(words_of_it: str) -> frozenset[str]:
    """A set of words."""
    return frozenset(words_of_it.split())


_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SECRET_WORDS: Final = vocabulary(
    "password passwd passphrase pwd secret token authorization auth bearer cookie session sid signature sig hmac "
    "apikey credential credentials jwt csrf xsrf pin cvv cvc otp pan ssn signed sign"
)
_SECRET_PAIRS: Final = (
    ("api", "key"), ("access", "key"), ("private", "key"), ("secret", "key"), ("auth", "key"), ("card", "number"),
)  # fmt: skip
_INSTANT_WORDS: Final = vocabulary("timestamp time ts at date datetime created sent now issued")
_NOT_NOW: Final = vocabulary("expires expire expiry until due birth start end valid from to")
_ID_WORDS: Final = vocabulary("id uuid guid key ref reference number no nonce")
# What one operation makes anew; anything else that is named by an id was there before.
_OPERATION_WORDS: Final = vocabulary(
    "order payment event transaction transfer request message delivery idempotency charge invoice booking operation "
    "redemption refund correlation trace nonce webhook reservation purchase client external"
)
_THING_WORDS: Final = vocabulary("item sku product account wallet coupon code customer user voucher seat resource")
_COUNTER_WORDS: Final = vocabulary("seq sequence version revision")

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_HEX16: Final = re.compile(r"[0-9a-f]{16}")
_JWT: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.?[\w-]*")
# Long and without a blank: no word, but something that a machine has drawn.
_CREDENTIAL: Final = re.compile(
    r"(?i:bearer|basic|digest|token|hawk) \S|(sk|pk|rk|ghp|gho|whsec|shpat|glpat)[_-]\w{6}|xox[a-z]-|AKIA[A-Z0-9]{12}"
    r"|[0-9]{15,19}\Z"
)
_DRAWN: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_.:~-]{24,}")
_ISO: Final = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-6][0-9])?([.,][0-9]+)?(Z|[+-][0-9:]{4,6})?"
)
_SECONDS: Final = re.compile(r"1[0-9]{9}")
_MILLISECONDS: Final = re.compile(r"1[0-9]{12}")


class Kind(Enum):
    """What a value is for a plan."""

    SECRET = "secret"  # noqa: S105  a kind, not a secret
    INSTANT = "instant"
    FRESH = "fresh"
    THING = "thing"
    PLAIN = "plain"


def words(name: str) -> frozenset[str]:
    """The words of a name, in lower case: of "orderId", "order_id" and "X-Order-Id" the same."""
    return frozenset(word.lower() for word in _WORD.findall(name))


def singular(noun: str) -> str:
    """Of a path's segment: "orders" is about an order."""
    if noun.endswith("ies"):
        return f"{noun[:-3]}y"
    return noun.removesuffix("s")


def classify(name: str, text: str, *, about: str = "") -> Kind:
    """What a value is.

    Args:
        name: of the member, header or parameter.
        text: the value.
        about: what the operation makes, in one word: its id is a fresh one.
    """
    named = words(name)
    if is_secret(name, text):
        return Kind.SECRET
    if instant_variable(name, text):
        return Kind.INSTANT
    is_id = bool(named & _ID_WORDS)
    if named & _COUNTER_WORDS and text.isdecimal():
        return Kind.FRESH
    if is_id and (named & (_OPERATION_WORDS | {about}) or named <= _ID_WORDS):
        return Kind.FRESH
    if is_id or named & _THING_WORDS or _UUID.fullmatch(text):
        return Kind.THING
    return Kind.PLAIN


def is_secret(name: str, text: str) -> bool:
    """Whether a value may be a credential or a signature, by its name or by its looks."""
    named = words(name)
    if named & _SECRET_WORDS or any(named.issuperset(pair) for pair in _SECRET_PAIRS) or _JWT.search(text):
        return True
    if _CREDENTIAL.match(text):
        return True
    # An id may be long and drawn as well; a key, unless it is one of idempotency, is not for others.
    is_id = named & (_ID_WORDS - {"key"}) or "idempotency" in named
    if is_id or _UUID.fullmatch(text) or _ISO.fullmatch(text):
        return False
    return bool(_DRAWN.fullmatch(text))


def instant_variable(name: str, text: str) -> str:
    """The variable of a plan that spells the instant as this value does, or "" where it is no instant of sending."""
    named = words(name)
    if not named & _INSTANT_WORDS or named & _NOT_NOW:
        return ""
    spellings = {"timestamp": _SECONDS, "timestamp_ms": _MILLISECONDS, "timestamp_iso": _ISO}
    return next((variable for variable, shape in spellings.items() if shape.fullmatch(text)), "")


def fresh_like(name: str, text: str) -> str:
    """How a plan declares a fresh variable that looks as this value does, in TOML."""
    if _UUID.fullmatch(text):
        return '{ fresh = "uuid4" }'
    if _HEX16.fullmatch(text):
        return '{ fresh = "hex16" }'
    if text.isdecimal():
        return '{ fresh = "counter" }'
    prefix = re.match(r"[A-Za-z]*[-_.:]|[A-Za-z]{1,8}(?=[0-9])|", text)
    assert prefix is not None, "it matches the empty text"
    before = prefix[0] or f"{singular(re.sub(r'[^a-z]', '', name.lower()))[:12] or 'id'}-"
    return f'{{ fresh = "template", value = "{before}{{{{n}}}}" }}'
