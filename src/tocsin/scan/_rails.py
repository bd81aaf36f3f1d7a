"""Where a scan may go, and how much it may change. Decided by the command line alone.

Rule: a plan is untrusted code. Every origin in it is loopback or named by its own --authorized-for, and that is decided
from the text of the URL: not a byte is sent before, not even to a name server.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tocsin.scan._errors import EffectsNotAccepted, RailError
from tocsin.scan._plan import Command, Lines, Plan, Query
from tocsin.wire import Address, Protocol, RequestError, Trust, chosen

_HERE: Final = Path()
_ASKED_WITHIN_S: Final = 5.0
_KINDS: Final = {Query: "sql", Command: "command", Lines: "file"}
# Written out, because from Python 3.13 on the standard library also calls ::ffff:127.0.0.1 loopback.
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def authorise(
    plan: Plan,
    authorized_for: Collection[str],
    *,
    accept_effects: int | None,
    allow_oracle: Collection[str] = (),
) -> Plan:
    """The plan, with the budget that the command line grants. Raises RailError.

    Args:
        plan: understood, and nothing sent.
        authorized_for: hosts from the command line, each "host" or "host:port".
        accept_effects: how many state changes the user accepts where nothing resets them, or None if not asked.
        allow_oracle: which kinds of oracle, beside those that only ask the service, may be used: "sql" and so on.
    """
    for host in authorized_for:
        if "/" in host:
            raise RailError(f"--authorized-for {host}: wanted HOST or HOST:PORT, not a URL")
    _allow_oracles(plan, authorized_for, allow_oracle)
    for origin in origins(plan).values():
        _allow(origin, authorized_for)
        if not is_loopback(origin) and any("value" in source for source in _secret_sources(plan)):
            raise RailError(
                "[signing] secret has a literal value, which is only for loopback targets: wanted env or file"
            )
    if plan.reset is None and accept_effects is None:
        raise EffectsNotAccepted(
            f"every accepted request changes the state of {plan.base_url} for good, for the plan has no [reset]: "
            "give one, or accept up to N changes with --accept-effects N"
        )
    if accept_effects is not None:
        return replace(plan, budget=replace(plan.budget, effects=accept_effects))
    return plan


def origins(plan: Plan) -> dict[str, str]:
    """Every origin that a plan names, in a request or as a node; base_url's is called ""."""
    named = {request.origin: request.origin for _, request in plan.requests() if request.origin}
    return {"": plan.base_url} | named | {node: node for node in plan.nodes}


def addresses(plan: Plan, *, folder: Path = _HERE) -> Mapping[str, Address]:
    """Resolve every origin, once for all: a name that changes its mind moves nothing.

    Over https the server is asked which protocol it speaks, where the plan leaves that to it.

    Args:
        plan: authorised.
        folder: where a relative [target] ca_file is looked for: the plan's.

    Raises:
        DeliveryError: a name has no address, or a server could not be asked.
        RailError: "localhost" is another machine here, a URL is not one of an origin, or the file of authorities cannot
            be read. No request was sent.
    """
    connection = plan.connection
    ca_file = str(folder / connection.ca_file) if connection.ca_file else ""
    trust = Trust(ca_file, connection.insecure)
    return {
        name: _resolved(url, trust, connection.protocol if name in {"", *plan.nodes} else "auto")
        for name, url in origins(plan).items()
    }


def _resolved(url: str, trust: Trust, protocol: Protocol) -> Address:
    try:
        address = Address.resolve(url)
        if is_loopback(url) and not address.is_loopback:
            raise RailError(
                f"{url} is {address.ip} on this machine, which is not loopback: wanted its address as the host"
            )
        return chosen(replace(address, trust=trust, protocol=protocol), timeout_s=_ASKED_WITHIN_S)
    except RequestError as error:
        raise RailError(f"{url}: {error}") from None


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine, judged without asking anybody: a loopback address or "localhost".

    An address counts as it is usually written: what resolvers make of 127.1 or 2130706433, they do not agree about.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in _LOOPBACK)


def _allow(origin: str, authorized_for: Collection[str]) -> None:
    parts = urlsplit(origin)
    if is_loopback(origin) or {parts.hostname, parts.netloc} & {host.lower() for host in authorized_for}:
        return
    raise RailError(
        f"{origin} is not localhost, 127.0.0.1 or [::1]: scanning it needs the owner's permission, and your word for "
        f"it: --authorized-for {parts.hostname}"
    )


def _allow_oracles(plan: Plan, authorized_for: Collection[str], allowed: Collection[str]) -> None:
    """What runs a plan's own text, or reads this machine, runs if the command line says so."""
    for state in plan.all_states():
        kind = _KINDS.get(type(state.source))
        if kind is not None and kind not in allowed:
            raise RailError(
                f"[[state]] {state.name} is read by {kind}, which does on this machine what the plan says: if you have "
                f"read it, allow that with --allow-oracle {kind}"
            )
        if isinstance(state.source, Query) and state.source.database.startswith("postgresql:"):
            _allow_database(state.source.database, authorized_for)


def _allow_database(database: str, authorized_for: Collection[str]) -> None:
    """A database is a host like any other. What could name a second one behind its back is refused."""
    parts = urlsplit(database)
    host = parts.hostname or ""
    if parts.query.replace("sslmode=require", "") or "," in parts.netloc or "%" in parts.netloc.rpartition("@")[2]:
        # Not shown: it may hold a password.
        raise RailError(
            "[[state]] database: wanted postgresql://user@host:port/name, with one host and no other options"
        )
    if host:
        _allow(f"http://[{host}]" if ":" in host else f"http://{host}", authorized_for)


def _secret_sources(plan: Plan) -> Iterator[Mapping[str, object]]:
    """Where each sender's secret comes from."""
    for table in (plan.signing, *plan.actors):
        source = table.get("secret")
        if isinstance(source, Mapping):
            yield source
