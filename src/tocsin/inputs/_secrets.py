"""Whether a value in somebody's request is a secret. PURE.

Rule: judged by its name and its shape, and in doubt it is one. A plan is committed and shown to others; a value that is
wrongly left out costs its author one line, one that is wrongly kept costs the key.
"""

import re
from typing import Final
from urllib.parse import unquote, unquote_plus

from tocsin.inputs._words import ID_WORDS, OPERATION_WORDS, run_together, vocabulary, words

_WORDS: Final = vocabulary(
    "password passwd passphrase passcode pass pwd pw secret token authorization authentication auth oauth bearer "
    "cookie session sid signature sig hmac apikey credential credentials jwt csrf xsrf pin cvv cvc otp pan ssn signed "
    "sign"
)
_PAIRS: Final = (("card", "number"), ("security", "code"), ("access", "code"), ("verification", "code"))
# Within longer names, and where their words run together: userpassword, authtoken, PHPSESSID. No shorter ones, or
# passengers, authors and the tokenizer would be secrets.
_WITHIN: Final = re.compile(
    r"password|passwd|passphrase|passcode|secret(?!ar)|token(?!i[sz]|s)|credential|authorization|authentication"
    r"|(api|access|private|secret|auth|sign|signing|encryption|master|vault|app|merchant)key|signature|sess(ion)?id"
    r"|securitycode|cardnumber|pincode"
)
# A key is one to something, but for those that tell one thing from another.
_NO_CREDENTIAL: Final = OPERATION_WORDS | vocabulary(
    "deduplication dedupe dedup primary foreign sort partition routing cache object id item sku product seat"
)

UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
ISO: Final = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9](:[0-6][0-9])?([.,][0-9]+)?(Z|[+-][0-9:]{4,6})?"
)
_BEGINNING: Final = re.compile(r"(?i:bearer|basic|digest|token|hawk) \S|[0-9]{15,19}\Z")
_ANYWHERE: Final = re.compile(
    r"(?i:\b(?:bearer|basic|token) [\w.+/=~-]{20})"
    r"|(?<![A-Za-z0-9])(?:(?:[spr]k|gh[opsur]|whsec|shp[a-z]{2}|glpat|github_pat)[_-]\w{6}|xox[a-z]-|AKIA[A-Z0-9]{12})"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
    r"|://[^/?#\s@]+@"
)
# What may be a card's number (ISO/IEC 7812: 13 to 19 digits), in groups as it is printed.
_CARD: Final = re.compile(r"(?<![\w.-])[2-6][0-9]{3}(?:[ -]?[0-9]{3,6}){2,4}(?![\w-])", re.ASCII)
_CARD_DIGITS: Final = range(13, 20)
# The parts of what is dotted: a JSON Web Token begins eyJ, for it begins with a JSON object (RFC 7519 section 3.1).
_DOTTED: Final = re.compile(r"(?<![\w-])[\w-]++(?=\.[\w-])")
# What a text within the text calls by a name: "...?token=1", "password: 1", and {"token" of JSON that is cut off.
_NAMED_WITHIN: Final = re.compile(
    r"(?:^|[?&;,\s({\"'\\])([A-Za-z][\w.-]*)(?:[\"'\\]*\s*=[^=&;\s]|[\"'\\]+\s*:|:\s)", re.ASCII
)
# Long and without a blank: no word, but something that a machine has drawn.
_DRAWN: Final = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/=_.:~-]{24,}")


def is_secret(name: str, text: str) -> bool:
    """Whether a value may be a credential or a signature, by its name or by its looks.

    Args:
        name: of the member, header or parameter.
        text: the value, perhaps percent-encoded.
    """
    if _is_named_so(name, text):
        return True
    named = words(name)
    # An id may be long and drawn as well; a key, unless it is one of idempotency, is not for others.
    is_id = bool(named & (ID_WORDS - {"key"})) or "idempotency" in named
    return any(_looks_so(spelled, is_id=is_id) for spelled in {text, unquote(text), unquote_plus(text)})


def is_secret_segment(segment: str) -> bool:
    """Whether a segment of a path, or one of its parameters (/pay;jsessionid=...), may be a secret."""
    parts = (part.rpartition("=") for part in segment.split(";"))
    return any(is_secret(unquote_plus(name), value) for name, _, value in parts)


def _is_named_so(name: str, text: str) -> bool:
    named = words(name)
    if named & _WORDS or any(named.issuperset(pair) for pair in _PAIRS):
        return True
    if "key" in named and named - {"key", "x"} and not named & _NO_CREDENTIAL:
        return True
    together = run_together(name)
    # Of tokens, a number is how many.
    return bool(_WITHIN.search(together)) or ("tokens" in together and not text.isdecimal())


def _looks_so(text: str, *, is_id: bool) -> bool:
    if _BEGINNING.match(text) or _ANYWHERE.search(text) or any("eyJ" in part[:-1] for part in _DOTTED.findall(text)):
        return True
    if any(_is_card(found) for found in _CARD.findall(text)):
        return True
    if any(_is_named_so(name, "") for name in _NAMED_WITHIN.findall(text)):
        return True
    return not (is_id or UUID.fullmatch(text) or ISO.fullmatch(text)) and bool(_DRAWN.fullmatch(text))


def _is_card(text: str) -> bool:
    """Whether digits are so many as a card's, with the check digit of Luhn (ISO/IEC 7812-1 annex B)."""
    digits = [int(mark) for mark in reversed(text) if mark.isdecimal()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return len(digits) in _CARD_DIGITS and (sum(digits[::2]) + sum(doubled)) % 10 == 0
