"""One request as it was recorded, with its answer where there is one. PURE."""

import re
from dataclasses import dataclass, field

from tocsin.inputs._errors import InputError
from tocsin.inputs._secrets import is_secret_segment
from tocsin.inputs._signature import looks_signed
from tocsin.signing import Json, PointerError, parse_json

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_VALUE = re.compile(r"[\t -~\x80-\xff]*")


def is_sendable(name: str, value: str) -> bool:
    """Whether a header can stand in a request (RFC 9110 section 5)."""
    return _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what was answered.

    Args:
        method: "POST".
        origin: "https://api.example.com"; "" where the source does not say.
        target: the origin-form request target: "/order?x=1".
        headers: in order, as they were sent; they may hold secrets.
        body: as it was sent.
        status: of the answer, or None.
        answer: the answer's body.
    """

    method: str
    origin: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False, default=b"")
    status: int | None = None
    answer: bytes = field(repr=False, default=b"")

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def is_accepted(self) -> bool:
        """Whether it was answered 2xx (RFC 9110 section 15.3)."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004  RFC 9110

    def answered(self) -> Json:
        """The answer as JSON; None where it is not accepted or no JSON."""
        try:
            return parse_json(self.answer) if self.is_accepted else None
        except PointerError:
            return None

    def __str__(self) -> str:
        # Without the query: keys stand there too often. Some hooks have theirs in the path.
        parts = ("..." if is_secret_segment(part) else part for part in self.path.split("/"))
        return f"{self.method} {'/'.join(parts)}"


def chosen(exchanges: list[Exchange], entry: int | None, file: str) -> int:
    """Which entry is the operation: the one that is asked for, or the only one that can change something.

    Raises:
        InputError: there is no such entry, or several could be meant; they are listed.
    """
    if entry is not None:
        if not 0 <= entry < len(exchanges):
            raise InputError(f"{file}: --entry {entry}: it has {len(exchanges)} entries, counted from 0")
        return entry
    changing = [place for place, one in enumerate(exchanges) if one.method not in SAFE_METHODS]
    signed = [place for place in changing if looks_signed(name for name, _ in exchanges[place].headers)]
    candidates = signed or changing
    if len(candidates) == 1:
        return candidates[0]
    if not changing:
        raise InputError(f"{file}: none of its {len(exchanges)} requests changes anything: wanted a POST, or --entry N")
    what = "signed requests" if signed else "requests that can change something"
    raise InputError(listing(file, what, {at: str(exchanges[at]) for at in candidates}))


_LISTED = 60


def listing(file: str, what: str, candidates: dict[int, str]) -> str:
    """A message that asks which of several is meant."""
    lines = [f"  {place}: {shown[:100]}" for place, shown in candidates.items()]
    more = [f"  and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "\n".join([f"{file}: {len(lines)} {what}: wanted --entry N", *lines[:_LISTED], *more])
