"""From recorded requests, one of which is the operation, to a sketch of a plan. PURE.

Rule: what stands beside the operation in a recording says what it acts on (a request that was answered with a value
that the operation sends) and where its effect shows (a read whose number differs before and after).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal

from tocsin.inputs._body import template_body, template_query
from tocsin.inputs._exchange import SAFE_METHODS, Exchange, is_sendable
from tocsin.inputs._numbers import falls, is_list, is_number, leaves, weight
from tocsin.inputs._secrets import is_secret, is_secret_segment
from tocsin.inputs._signature import Signing, suggested
from tocsin.inputs._sketch import Asked, Made, Read, Sketch
from tocsin.inputs._target import operation_noun, template_target, wire_target
from tocsin.inputs._values import Kind
from tocsin.inputs._variables import Variables
from tocsin.inputs._words import vocabulary

# Made anew for every request that is sent.
_FRAMING = vocabulary("host content-length connection transfer-encoding keep-alive te trailer upgrade")
# What a browser or a library says of itself. Answers must be readable, so no coding of theirs is asked for.
_NOISE = vocabulary(
    "accept-encoding accept-language user-agent origin referer dnt cache-control pragma priority "
    "upgrade-insecure-requests if-none-match if-modified-since"
)
_NOISE_PREFIXES = ("sec-", ":", "x-forwarded-", "traceparent", "tracestate")
_IN_PATH, _BEFORE_AND_AFTER = 4, 8


def sketch_of(exchanges: Sequence[Exchange], chosen: int, source: str, *, signing: Signing | None = None) -> Sketch:
    """What a recording tells about one of its requests.

    Args:
        exchanges: in the order in which they were made.
        chosen: which of them is the operation.
        source: how to call it.
        signing: the scheme, where the user has named it.
    """
    operation = exchanges[chosen]
    sendable = tuple(header for header in operation.headers if is_sendable(*header))
    operation = replace(operation, headers=sendable)
    signing = signing or suggested(dict(operation.headers))
    variables = Variables(operation_noun(operation.path))
    for name, value in operation.headers:
        if _is_left_out(name, value):
            variables.hide(value)
    body, asks = template_body(operation.body, _content_type(operation), variables)
    target = template_target(operation.target, variables)
    headers, left_out = _headers(operation, signing, variables)
    own = [one for one in exchanges if one.origin == operation.origin]
    setup = tuple(_setups(exchanges[:chosen], operation, signing, variables))
    reads = tuple(sorted(_reads(own, operation, variables), key=lambda read: -read.weight))
    variables.undeclared(iter([target, body, *(value for _, value in headers)]))
    return Sketch(
        source=source,
        base_url=operation.origin,
        method=operation.method,
        target=target,
        headers=headers,
        body=body,
        signing=signing,
        variables=tuple(variables),
        left_out=left_out,
        asks=asks,
        setup=setup,
        reads=reads,
    )


def _content_type(exchange: Exchange) -> str:
    return next((value for name, value in exchange.headers if name.lower() == "content-type"), "")


def _headers(
    exchange: Exchange, signing: Signing, variables: Variables
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The headers that a plan keeps, and a sentence for each that it does not and that may be missed."""
    kept: dict[str, str] = {}
    left_out = []
    for name, value in exchange.headers:
        known = name.lower()
        if known in _FRAMING | _NOISE or known.startswith(_NOISE_PREFIXES):
            continue
        if known in signing.written:
            left_out.append(f"{name} is made anew for every request")
        elif _is_left_out(name, value):
            left_out.append(f"TODO: {name} is left out, for it may be a secret; does the service need it?")
        elif known in {other.lower() for other in kept}:
            left_out.append(f"TODO: {name} was there twice; a plan has a header once")
        else:
            kept[name] = value if known in _AS_IT_IS else (variables.placeholder(name, value) or value)
    return tuple(kept.items()), tuple(left_out)


def _is_left_out(name: str, value: str) -> bool:
    """Whether a header may hold a credential."""
    return name.lower() in {"cookie", "authorization", "proxy-authorization"} or is_secret(name, value)


_AS_IT_IS = frozenset({"content-type", "accept"})


def _setups(before: Sequence[Exchange], operation: Exchange, signing: Signing, variables: Variables) -> Iterator[Made]:
    """Requests that were answered with what the operation names, and had not named it themselves."""
    for exchange in before:
        is_other = exchange.origin == operation.origin and not _is_like(exchange, operation)
        if not is_other or exchange.method in SAFE_METHODS or not exchange.method.isalpha():
            continue
        things = {one.original: one.name for one in variables if one.kind is Kind.THING}
        sent = exchange.target.encode() + exchange.body
        extract = {
            things[str(value)]: pointer
            for pointer, _, value in leaves(exchange.answered())
            if str(value) in things and str(value).encode() not in sent and not is_list(value)
        }
        if not extract:
            continue
        for name in extract:
            variables.drop(name)
        yield Made(_asked(exchange, signing, variables), tuple(extract.items()))


def _asked(exchange: Exchange, signing: Signing, variables: Variables) -> Asked:
    """A recorded request as a plan writes it beside the operation."""
    body, _ = template_body(exchange.body, _content_type(exchange), variables)
    kind = _content_type(exchange)
    headers = (("Content-Type", kind),) if kind and body and is_sendable("Content-Type", kind) else ()
    is_signed = bool(signing.written & {name.lower() for name, _ in exchange.headers})
    return Asked(f"{exchange.method} {template_target(exchange.target, variables)}", headers, body, is_signed)


def _is_like(one: Exchange, other: Exchange) -> bool:
    """Whether two are requests of one operation: the same method and path."""
    return (one.method, one.path) == (other.method, other.path)


def _reads(own: Sequence[Exchange], operation: Exchange, variables: Variables) -> Iterator[Read]:
    """Numbers in what was read of the same service, each once."""
    seen: set[tuple[str, str]] = set()
    effects = _per_effect(own, operation)
    for exchange in own:
        if exchange.method != "GET" or any(is_secret_segment(part) for part in exchange.path.split("/")):
            continue
        line = f"GET {_read_target(exchange.target, variables)}"
        near = _IN_PATH * bool(variables.mentioned(line))
        for pointer, name, value in leaves(exchange.answered()):
            if not (is_number(value) or is_list(value)) or (exchange.target, pointer) in seen:
                continue
            seen.add((exchange.target, pointer))
            per_effect = effects.get((exchange.target, pointer))
            speaks = weight(name, is_list=is_list(value)) + near + _BEFORE_AND_AFTER * (per_effect is not None)
            if speaks:
                yield Read(Asked(line), pointer, is_list(value), per_effect, falls(name), speaks)


def _read_target(target: str, variables: Variables) -> str:
    """Only what is known already is replaced: what nothing else mentions, a read cannot be told."""
    path, mark, query = wire_target(target).partition("?")
    parts = [variables.known(part) or part for part in path.split("/")]
    if not mark or is_query_secret(query):
        return "/".join(parts)
    return "/".join(parts) + mark + variables.within(query)


def is_query_secret(query: str) -> bool:
    """Whether a query may hold a credential: then the read is suggested without it."""
    found = Variables()
    template_query(query, found)
    return any(one.kind is Kind.SECRET for one in found)


def _per_effect(own: Sequence[Exchange], operation: Exchange) -> dict[tuple[str, str], str | None]:
    """By how much one operation has changed a number, by the target and pointer where it was read before and after.

    None where it changed by no whole number; each answer is looked at once, for a session may be long.
    """
    found: dict[tuple[str, str], str | None] = {}
    # By target and pointer: what was read last before the operation, and how many there had been by then.
    before: dict[str, dict[str, tuple[Decimal, int]]] = {}
    operations = 0
    for exchange in own:
        if _is_like(exchange, operation) and exchange.is_accepted:
            operations += 1
        elif exchange.method == "GET":
            read = _numbers_in(exchange)
            known = before.get(exchange.target, {})
            kept = {pointer: first for pointer, first in known.items() if first[1] < operations}
            for pointer, (number, made) in kept.items():
                place, after = (exchange.target, pointer), read.get(pointer, number)
                if after != number and place not in found:
                    step = (after - number) / (operations - made)
                    found[place] = f"{step:f}" if step == step.to_integral_value() else None
            before[exchange.target] = {pointer: (number, operations) for pointer, number in read.items()} | kept
    return found


def _numbers_in(exchange: Exchange) -> dict[str, Decimal]:
    """The numbers of an answer, and the lengths of its lists, by pointer."""
    found = {}
    for pointer, _, value in leaves(exchange.answered()):
        if is_number(value):
            found[pointer] = Decimal(str(value))
        elif is_list(value) and isinstance(value, Sequence):
            found[pointer] = Decimal(len(value))
    return found
