"""A plan explained beyond its words: one composed request, the permissions it needs, what its oracles read.

Rule: the shown request is signed with secrets that are drawn for it and forgotten, so nobody's secret is in it; what
differs between two of them is the signature, which is masked all the same. A probe sends GETs and nothing else.
"""

import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tocsin.scan._compose import Composer, Draft
from tocsin.scan._errors import CannotTell
from tocsin.scan._fresh import FreshValues
from tocsin.scan._plan import SINK_URL, Command, Invariant, Lines, Plan, Query, RequestTemplate, State
from tocsin.scan._rails import is_loopback, origins
from tocsin.scan._senders import senders
from tocsin.scan.oracles import read_endpoint
from tocsin.signing import Secret
from tocsin.wire import Address, DeliveryError, exchange

_MASK = "..."
_TIMEOUT_S = 5.0
# Long enough for another client's write to show on a busy service.
_APART_S = 0.3
_ORACLES = {Query: "sql", Command: "command", Lines: "file"}
_DRAWN = re.compile(r"[A-Za-z0-9+/_-]*")


def example(plan: Plan) -> tuple[str, ...]:
    """The plan's request as one would be sent now, a line each, its signature masked.

    Args:
        plan: rehearsed. A captured one has no example: it is sent as it is.
    """
    if plan.captured is not None:
        return ()
    draft = _draft(plan)
    key_id = str(plan.signing["key_id"]) if "key_id" in plan.signing else None
    composers = [_composer(plan, Secret(secrets.token_bytes(32), key_id=key_id)) for _ in range(2)]
    at = time.time()
    message = composers[0].message(plan.request, draft, at=at)
    one, other = (composer.signature(message, draft, at=at) for composer in composers)
    signed = ((name, _masked(value, twin)) for (name, value), (_, twin) in zip(one, other, strict=True))
    headers = [f"{name}: {value}" for name, value in (*message.headers, *signed)]
    body = message.body.decode("utf-8", "replace")
    return (f"{message.method} {message.target} HTTP/1.1", *headers, *(["", body] if body else []))


def fresh_variables(plan: Plan) -> tuple[str, ...]:
    """Each variable of the plan's requests, and how it comes to its value."""
    signed = {"nonce"} if plan.scheme.has_nonce else set()
    named = signed.union(*(request.names for _, request in plan.requests()), *(one.names for one in plan.all_states()))
    lines = []
    for name in sorted(named):
        if name in plan.extracted:
            lines.append(f"{name}: from the answer to a [[setup]], new in each trial")
        elif name in plan.variables:
            variable = plan.variables[name]
            how = f"made anew for each distinct request ({variable.kind})" if variable.fresh else "always the same"
            lines.append(f"{name}: {how}")
        else:
            lines.append(f"{name}: {'where the sink listens' if name == SINK_URL else 'the instant that is signed'}")
    return tuple(lines)


def permissions(plan: Plan) -> tuple[str, ...]:
    """What a scan of this plan wants on its command line, a sentence each; none where it wants nothing."""
    found = [
        f"--authorized-for {re.sub(r'^https?://', '', origin)}: {origin} is not this machine, and its owner must agree"
        for origin in dict.fromkeys(origins(plan).values())
        if not is_loopback(origin)
    ]
    kinds = (_ORACLES.get(type(state.source)) for state in plan.all_states())
    found += [
        f"--allow-oracle {kind}: a [[state]] is read on this machine, as the plan says"
        for kind in dict.fromkeys(kinds)
        if kind is not None
    ]
    if plan.reset is None:
        found.append(f"--accept-effects N: without [reset], up to {plan.budget.effects} effects stay")
    return tuple(found)


def probing_secret(plan: Plan, folder: Path) -> Secret:
    """The plan's secret where a read is signed, else one that is drawn and forgotten. Raises SchemeError.

    Args:
        plan: authorised.
        folder: what a relative file name is relative to.
    """
    reads = [*(state.request for state in plan.all_states()), *(one.request for one in plan.invariants)]
    if any(read is not None and read.sign for read in reads):
        return senders(plan, folder)[0]
    return Secret(secrets.token_bytes(32))


@dataclass(frozen=True, slots=True)
class Probed:
    """What one oracle said. `is_told` is whether it could be read."""

    text: str
    is_told: bool


def probe(plan: Plan, secret: Secret, addresses: Mapping[str, Address]) -> Iterator[Probed]:
    """Read what the plan's GETs show while nothing is sent; each twice, a while apart.

    Args:
        plan: authorised.
        secret: signs the reads that the plan wants signed.
        addresses: of every origin.
    """
    composer = _composer(plan, secret, {name: address.authority for name, address in addresses.items()})
    draft = _draft(plan)
    for state in plan.all_states():
        if state.request is None:
            yield Probed(f"{state.name}: not read: it is not asked of the service", is_told=True)
            continue
        unfit = _unfit(plan, state.request)
        yield unfit or _twice(state, state.request, composer, draft, addresses)
    for invariant in plan.invariants:
        yield _unfit(plan, invariant.request) or _sum(invariant, composer, draft, addresses)


def _unfit(plan: Plan, request: RequestTemplate) -> Probed | None:
    """Why a read is not made now; None where it can be."""
    if request.method not in {"GET", "HEAD"}:
        return Probed(f"{request}: not read: it is no GET", is_told=False)
    made = sorted(request.names & (plan.extracted | {SINK_URL}))
    if made:
        shown = ", ".join(f"{{{{{name}}}}}" for name in made)
        return Probed(f"{request}: not read: {shown} is made by [[setup]], which changes state", is_told=True)
    return None


def _twice(
    state: State, request: RequestTemplate, composer: Composer, draft: Draft, addresses: Mapping[str, Address]
) -> Probed:
    try:
        first = _read(state, request, composer, draft, addresses)
        time.sleep(_APART_S)
        second = _read(state, request, composer, draft, addresses)
    except (CannotTell, DeliveryError) as error:
        return Probed(f"{state.name}: {error}", is_told=False)
    if first != second:
        said = f"{state.name}: {first:f}, then {second:f}: somebody else writes, so effects cannot be counted"
        return Probed(said, is_told=False)
    return Probed(f"{state.name}: {first:f}", is_told=True)


def _sum(invariant: Invariant, composer: Composer, draft: Draft, addresses: Mapping[str, Address]) -> Probed:
    states = [
        State(f"{invariant.request} {pointer}", invariant.request, pointer, count=False, absent=None,
              per_effect=Decimal(1), settle_ms=0)
        for pointer in invariant.sum_of
    ]  # fmt: skip
    try:
        found = sum((_read(one, invariant.request, composer, draft, addresses) for one in states), Decimal(0))
    except (CannotTell, DeliveryError) as error:
        return Probed(f"{invariant.request}: {error}", is_told=False)
    if found != invariant.equals:
        return Probed(f"{invariant.request}: the sum is {found:f}, not {invariant.equals:f}", is_told=False)
    return Probed(f"{invariant.request}: the sum is {found:f}, as it is to be", is_told=True)


def _read(
    state: State, request: RequestTemplate, composer: Composer, draft: Draft, addresses: Mapping[str, Address]
) -> Decimal:
    raw = composer.plain(request, draft, at=time.time())
    return read_endpoint(state, exchange(raw, addresses[request.origin], timeout_s=_TIMEOUT_S))


def _composer(plan: Plan, secret: Secret, hosts: Mapping[str, str] | None = None) -> Composer:
    composer = Composer(plan, secret, hosts or {})
    composer.always = {SINK_URL: f"{{{{{SINK_URL}}}}}"}
    return composer


def _draft(plan: Plan) -> Draft:
    """Values for every variable; what only a set-up could fill stays as the plan writes it."""
    fresh = FreshValues(plan.variables, recycle_lists=True)
    return Draft(fresh.make(plan.variables) | {name: f"{{{{{name}}}}}" for name in plan.extracted})


def _masked(value: str, twin: str) -> str:
    """A header's value without what depends on the secret, given the same under another secret."""
    if value == twin:
        return value
    begin = next(place for place, (one, other) in enumerate(zip(value, twin, strict=False)) if one != other)
    end = next(place for place, (one, other) in enumerate(zip(value[::-1], twin[::-1], strict=False)) if one != other)
    before, after = value[:begin], value[len(value) - end :]
    # Two signatures may begin or end alike by chance.
    begun = _DRAWN.match(before[::-1])
    ended = re.match(r"[A-Za-z0-9+/_-]*={0,2}", after)
    assert begun is not None, "it matches the empty text"
    assert ended is not None, "it matches the empty text"
    return before[: len(before) - begun.end()] + _MASK + after[ended.end() :]
