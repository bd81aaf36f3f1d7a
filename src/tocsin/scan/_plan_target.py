"""From [target] to how the service is spoken to. PURE."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, get_args

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import Connection, Plan
from tocsin.scan._tables import Table
from tocsin.wire import Protocol

CONNECTION_KEYS: Final = frozenset({"protocol", "ca_file", "insecure"})
_PROTOCOLS: Final[Mapping[str, Protocol]] = {protocol: protocol for protocol in get_args(Protocol)}
_INSECURE: Final = "[target] insecure = true: no certificate is verified, so whoever answers may be anybody"
_SCHEMES: Final = {"h2": "https", "h2c": "http", "h3": "https"}


def parse_connection(table: Table, base_url: str) -> tuple[Connection, tuple[str, ...]]:
    """The keys of [target] that say how it is spoken to, and what the report has to say of them. Raises PlanError.

    Args:
        table: [target].
        base_url: what is scanned: the plan's or the command line's.
    """
    protocol = _PROTOCOLS.get(table.text("protocol", "auto"))
    if protocol is None:
        raise table.wanted("protocol", '"auto", "http/1.1", "h2", "h2c" or "h3"')
    _check_scheme(f'[target] protocol = "{protocol}"', protocol, base_url)
    ca_file, insecure = table.text("ca_file", ""), table.flag("insecure", default=False)
    if ca_file and insecure:
        raise PlanError("[target] ca_file and insecure: wanted one, for with insecure no certificate is verified")
    return Connection(protocol, ca_file, insecure), (_INSECURE,) if insecure else ()


def speaking(plan: Plan, protocol: str) -> Plan:
    """The plan with the command line's --protocol in place of its own.

    Raises:
        PlanError: there is no such protocol, or it does not go with the plan's base_url.
    """
    known = _PROTOCOLS.get(protocol)
    if known is None:
        raise PlanError(f"--protocol {protocol}: wanted one of {', '.join(_PROTOCOLS)}")
    _check_scheme(f"--protocol {protocol}", known, plan.base_url)
    return replace(plan, connection=replace(plan.connection, protocol=known))


def _check_scheme(asked: str, protocol: Protocol, base_url: str) -> None:
    scheme = base_url.partition(":")[0]
    if _SCHEMES.get(protocol, scheme) != scheme:
        raise PlanError(f"{asked} with {base_url}: wanted a base_url of {_SCHEMES[protocol]}")
