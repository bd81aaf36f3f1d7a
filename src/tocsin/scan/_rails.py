"""Where a scan may go, and how much it may change. Decided by the command line alone.

Rule: a plan is untrusted code. Every origin in it is loopback or named by its own --authorized-for, and that is decided
from the text of the URL: not a byte is sent before, not even to a name server.
"""

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from tocsin.scan._errors import EffectsNotAccepted, RailError
from tocsin.scan._plan import Plan
from tocsin.wire import Address, RequestError

# Written out, because from Python 3.13 on the standard library also calls ::ffff:127.0.0.1 loopback.
_LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def authorise(plan: Plan, authorized_for: Collection[str], *, accept_effects: int | None) -> Plan:
    """The plan, with the budget that the command line grants. Raises RailError.

    Args:
        plan: understood, and nothing sent.
        authorized_for: hosts from the command line, each "host" or "host:port".
        accept_effects: how many state changes the user accepts where nothing resets them, or None if not asked.
    """
    for origin in origins(plan).values():
        _allow(origin, authorized_for)
        if not is_loopback(origin) and "value" in _secret_source(plan):
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
    """Every origin that a plan's requests name; base_url's is called ""."""
    named = {request.origin: request.origin for _, request in plan.requests() if request.origin}
    return {"": plan.base_url} | named


def addresses(plan: Plan) -> Mapping[str, Address]:
    """Resolve every origin, once for all: a name that changes its mind moves nothing.

    Raises:
        DeliveryError: a name has no address.
        RailError: "localhost" is another machine here, or a URL is not one of an origin. Nothing was sent.
    """
    return {name: _resolved(url) for name, url in origins(plan).items()}


def _resolved(url: str) -> Address:
    try:
        address = Address.resolve(url)
    except RequestError as error:
        raise RailError(f"{url}: {error}") from None
    if is_loopback(url) and not address.is_loopback:
        raise RailError(f"{url} is {address.ip} on this machine, which is not loopback: wanted its address as the host")
    return address


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


def _secret_source(plan: Plan) -> Mapping[str, object]:
    secret = plan.signing.get("secret")
    return secret if isinstance(secret, Mapping) else {}
