"""A plan in the making: what is known, and what has to be asked. PURE."""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tocsin.inputs._errors import InputError
from tocsin.inputs._signature import Signing
from tocsin.inputs._toml import comment, key, string
from tocsin.inputs._variables import Declared


@dataclass(frozen=True, slots=True)
class Asked:
    """A request beside the operation, as a plan writes it.

    Args:
        line: "GET /items/{{item}}".
        headers: of it.
        body: of it.
        sign: whether it is signed like the operation.
    """

    line: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    sign: bool = False

    def lines(self) -> Iterator[str]:
        """Its keys, one a line."""
        yield f"request = {string(self.line)}"
        if self.headers:
            yield f"headers = {{ {', '.join(f'{key(name)} = {string(value)}' for name, value in self.headers)} }}"
        if self.body:
            yield f"body = {string(self.body)}"
        if self.sign:
            yield "sign = true"


@dataclass(frozen=True, slots=True)
class Read:
    """Where an effect may show.

    Args:
        request: that reads it.
        pointer: to the number or list, RFC 6901.
        is_list: whether the length of a list is meant.
        per_effect: by how much one effect changes it; None where that is not known, and `falls` is a guess.
        falls: whether its name is one of something that is used up.
        weight: how much speaks for it.
    """

    request: Asked
    pointer: str
    is_list: bool = False
    per_effect: str | None = None
    falls: bool = False
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """A request that makes what the operation acts on, and the variables that its answer fills."""

    request: Asked
    extract: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sketch:
    """All that a document tells about one signed operation.

    Args:
        source: how to call the document: "session.har, entry 3".
        base_url: the origin; "" where the document does not say.
        method: of the operation.
        target: of the operation, with placeholders.
        headers: of the operation, with placeholders.
        left_out: what was not taken over, a sentence each.
        body: of the operation, with placeholders.
        asks: what is to be asked about the body, or "".
        signing: how it is signed.
        variables: that the templates mention.
        setup: what makes the things that the operation acts on.
        makers: requests that may do so, where nobody has seen them do it.
        reads: where an effect may show, the most likely first.
    """

    source: str
    base_url: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: str
    signing: Signing
    variables: tuple[Declared, ...]
    left_out: tuple[str, ...] = ()
    asks: str = ""
    setup: tuple[Made, ...] = ()
    makers: tuple[str, ...] = ()
    reads: tuple[Read, ...] = field(default=())


_HEAD = """\
# Tocsin's plan for {operation}, made of {source}.
# Every line with TODO asks for what the source does not say. `tocsin plan check` lists those that are left, and says
# what a scan would do; docs/plan.md has all keys."""
_NO_BASE = "http://127.0.0.1:8000"
_NO_STATE = """\
# TODO: where does an effect show? Without it, no check can count effects. A number, or the length of a list:
# [[state]]
# request = "GET /..."
# pointer = "/count"
# per_effect = 1                      # by how much one effect changes it"""
_NO_SETUP = """\
# TODO: does a trial need something of its own to act on (a new item, account, coupon)? Then make it here:
# [[setup]]
# request = "POST /..."
# body = '{}'
# extract = { thing_id = "/id" }      # a variable, from the answer"""
_LIMITS = """\
# TODO: is there a limit (stock, balance, uses of a coupon)? over-allocation asks whether it holds:
# [limits]
# effects = 5                         # no more effects than this may ever happen to one value of
# per = ["{per}"]"""
_RESET = """\
# TODO: is there a request that brings the state back? Without it, a scan wants --accept-effects N:
# [reset]
# request = "POST /..."
"""


def plan_text(sketch: Sketch, *, secret_env: str | None = None) -> str:
    """The plan as TOML, with comments.

    Args:
        sketch: what is known.
        secret_env: the environment variable that holds the secret, where the user has said so.

    Raises:
        InputError: a text of the source cannot stand in TOML.
    """
    _check(sketch)
    blocks = [
        _head(sketch),
        _target(sketch),
        _request(sketch),
        _variables(sketch),
        _signing(sketch, secret_env),
        _setup(sketch),
        _states(sketch),
        _LIMITS.replace("{per}", _per(sketch)),
        _RESET,
    ]
    return "\n\n".join(block for block in blocks if block)


def _check(sketch: Sketch) -> None:
    """What no plan can hold is refused with the source's name. Raises InputError."""
    if not _METHOD.fullmatch(sketch.method):
        raise InputError(f"{sketch.source}: its method is {sketch.method[:20]!r}: wanted one such as POST")
    if sketch.base_url and not is_origin(sketch.base_url):
        shown = sketch.base_url.rpartition("@")[2][:60]
        raise InputError(f"{sketch.source}: its host is {shown!r}: wanted an origin such as https://host:port")
    if not sketch.target.startswith("/"):
        raise InputError(f"{sketch.source}: its target is no path: wanted one that begins with /")


def is_origin(url: str) -> bool:
    """Whether a plan can have it as its base_url: scheme, host and perhaps port, and nothing more."""
    found = _ORIGIN.fullmatch(url)
    try:
        ipaddress.IPv6Address(found["ipv6"] or "::1" if found else "")
    except ValueError:
        return False
    return found is not None and 0 < int((found["port"] or ":80")[1:]) < 2**16


_METHOD = re.compile(r"[A-Za-z]{1,20}", re.ASCII)
_H3 = "\n# protocol = \"h3\"  # HTTP/3 over UDP (pip install 'tocsin[http3]'); without this, the server chooses by ALPN"
_ORIGIN = re.compile(r"https?://(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|[A-Za-z0-9._-]+)(?P<port>:[0-9]{1,5})?", re.ASCII)


def _head(sketch: Sketch) -> str:
    operation, source = (comment(text)[2:] for text in (f"{sketch.method} {sketch.target}", sketch.source))
    return _HEAD.replace("{operation}", operation).replace("{source}", source)


def _target(sketch: Sketch) -> str:
    asks = "" if sketch.base_url else "  # TODO: where does the service run?"
    # HTTP/3 is never chosen by itself, and whoever does not know that it can be asked for does not ask.
    over_quic = _H3 if sketch.base_url.startswith("https:") else ""
    return f"[target]\nbase_url = {string(sketch.base_url or _NO_BASE)}{asks}{over_quic}"


def _request(sketch: Sketch) -> str:
    lines = ["[request]", f"method = {string(sketch.method)}", f"path = {string(sketch.target)}"]
    if sketch.asks:
        lines.append(comment(sketch.asks))
    if sketch.body:
        lines.append(f"body = {string(sketch.body)}")
    if sketch.headers or sketch.left_out:
        lines += ["", "[request.headers]"]
    lines += [f"{key(name)} = {string(value)}" for name, value in sketch.headers]
    return "\n".join([*lines, *map(comment, sketch.left_out)])


def _variables(sketch: Sketch) -> str:
    if not sketch.variables:
        return ""
    lines = [f"{one.name} = {one.toml}  {comment(one.note)}" for one in sketch.variables]
    return "\n".join(["[variables]", *lines])


def _signing(sketch: Sketch, secret_env: str | None) -> str:
    secret = f"secret = {{ env = {string(secret_env or 'TOCSIN_SECRET')} }}"
    if secret_env is None:
        secret += '  # TODO: the environment variable that holds it, or { file = "secret.txt" }'
    return "\n".join(["[signing]", *sketch.signing.lines, secret])


def _setup(sketch: Sketch) -> str:
    if not sketch.setup:
        seen = [comment(f"  the document has {maker}") for maker in sketch.makers]
        return "\n".join([*_NO_SETUP.splitlines(), *seen])
    blocks = []
    for made in sketch.setup:
        extract = ", ".join(f"{name} = {string(pointer)}" for name, pointer in made.extract)
        lines = ["[[setup]]  # before each trial", *made.request.lines(), f"extract = {{ {extract} }}"]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _states(sketch: Sketch) -> str:
    if not sketch.reads:
        return _NO_STATE
    best, *others = sketch.reads
    lines = ["[[state]]", *best.request.lines()]
    if best.pointer:
        lines.append(f"pointer = {string(best.pointer)}")
    if best.is_list:
        lines.append("count = true")
    if best.per_effect is not None:
        lines.append(f"per_effect = {best.per_effect}  # as the source shows it")
    else:
        guess = "-1" if best.falls else "1"
        lines.append(f"per_effect = {guess}  # TODO: by how much does one effect change it?")
    lines.append("# settle_ms = 40  # how much later than the answer an effect may arrive; 0 where it never does")
    if others:
        lines.append("# Or, instead or beside it:")
    for read in others[:_OTHERS]:
        count = ", the length of the list" if read.is_list else ""
        lines.append(comment(f"  {read.request.line}  at {read.pointer or 'the top'}{count}"))
    return "\n".join(lines)


_OTHERS = 4


def _per(sketch: Sketch) -> str:
    """What a limit is most likely one of: what a set-up makes."""
    made = [name for one in sketch.setup for name, _ in one.extract]
    things = [one.name for one in sketch.variables if one.kind.value == "thing"]
    return next(iter([*made, *things]), "thing_id")
