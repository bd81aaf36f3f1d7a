"""From a plan file to a Plan that has been understood whole. PURE.

Rule: a plan is untrusted. Reading it sends nothing, opens nothing and grants nothing; what it may reach is decided by
the command line alone (_rails.py). The format is documented in docs/plan.md.
"""

import ipaddress
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import DELIVERY_ID, Also, Budget, Limits, Plan, RequestTemplate, Setup, State, Variable
from tocsin.scan._tables import Table, nearest
from tocsin.scan._template import INSTANT_NAMES, Template
from tocsin.signing import Scheme, SchemeError, json_pointer, scheme_from_table

_TOP = {
    "target",
    "request",
    "variables",
    "identity",
    "signing",
    "setup",
    "state",
    "limits",
    "also",
    "reset",
    "budget",
}
_LATER = {"captured": "scanning without a secret, from a captured request"}
_REQUEST_KEYS = {"request", "headers", "body", "sign"}
_STATE_KEYS = _REQUEST_KEYS | {"name", "pointer", "count", "absent", "per_effect", "settle_ms"}
# Sections of the format whose checks are not built yet: read over, and said so, because every other check still holds.
# Their keys are looked at all the same: a typo does not wait until they count.
_READ_OVER = {
    "invariant": ("intermediate-state", _REQUEST_KEYS | {"sum_of", "equals"}),
    "sequence": ("reordering", {"variable", "applied"}),
    "mix": ("bursts of different requests", _REQUEST_KEYS | {"offset_us"}),
    "actor": ("several senders", {"key_id", "secret", "secret_encoding", "secret_prefix"}),
}
_READ_OVER_WITHIN = {"applied": _STATE_KEYS, "secret": {"env", "file", "value"}}
# An origin is written out, host and all: no variable, no user name, nothing that another reader takes for another host.
_ORIGIN = re.compile(r"(?i:https?://(?:\[(?P<ipv6>[0-9a-f:.]+)\]|[a-z0-9._-]+))(?P<port>:[0-9]{1,5})?", re.ASCII)
_MAX_PORT = 65_535
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Made for every request that is sent: a plan's own would contradict the bytes, or name another host.
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_STATUS = re.compile(r"[1-5](xx|\d\d)", re.ASCII)
# Declared for everybody: what a request most often needs fresh.
_BUILT_IN_FRESH = {"uuid": "uuid4", "nonce": "hex16", DELIVERY_ID: "uuid4"}
_FRESH_KINDS = ("uuid4", "hex16", "counter", "list", "template")
_KINDS_WITH = {"value": ("value", "template"), "values": ("list",), "start": ("counter",)}
# Effects without [reset] stay in somebody's database; with it they are undone (checks.md, Rails).
_EFFECTS_WITH_RESET, _EFFECTS_WITHOUT = 20_000, 500


def plan_from_toml(text: str, source: str, *, base_url: str | None = None) -> Plan:
    """Understand a plan file. Raises PlanError, which names the place, the value refused and the value wanted.

    Args:
        text: the file's contents.
        source: how to call it in reports.
        base_url: from the command line, in place of the plan's.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PlanError(f"not TOML: {error}") from None
    return plan_from_tables(document, source, base_url=base_url)


def plan_from_tables(document: Mapping[str, Any], source: str, *, base_url: str | None = None) -> Plan:
    """Understand a plan that is already parsed; else as plan_from_toml."""
    top = Table(document, "the plan", _TOP | set(_READ_OVER), _LATER)
    for section in ("target", "request", "signing"):
        if section not in top:
            raise PlanError(f"the plan lacks [{section}]: wanted [target], [request] and [signing]")
    target = _target(top.any("target"), base_url)
    scheme, signing = _signing(top.any("signing"))
    operation = Table(top.any("request"), "[request]", {"method", "path", "headers", "body", "success"})
    request = _operation(operation, target, scheme)
    setups = tuple(
        _setup(table, f"[[setup]] {place}", target) for place, table in enumerate(_tables(top, "setup"), start=1)
    )
    states = tuple(
        _state(table, f"[[state]] {place}", target) for place, table in enumerate(_tables(top, "state"), start=1)
    )
    others = tuple(
        _also(table, f"[[also]] {place}", target, request) for place, table in enumerate(_tables(top, "also"), start=1)
    )
    variables = _variables(top.any("variables"))
    reset = None
    if "reset" in top:
        table = Table(top.any("reset"), "[reset]", _REQUEST_KEYS)
        reset = _line_request(table, target)
    limits = _limits(top.any("limits")) if "limits" in top else None
    budget, notes = _budget(top.any("budget"), has_reset=reset is not None)
    plan = Plan(
        source=source,
        base_url=target,
        request=request,
        success=_success(operation),
        variables=variables,
        identity=_identity(top.any("identity"), request, scheme, variables, limits),
        scheme=scheme,
        signing=signing,
        setup=setups,
        state=states,
        limits=limits,
        reset=reset,
        budget=budget,
        notes=notes + tuple(_read_over(top)),
        also=others,
    )
    _check_names(plan)
    return plan


def _read_over(top: Table) -> Iterator[str]:
    """A note for every section that is read over; the keys in it are checked."""
    for section, (what, keys) in _READ_OVER.items():
        if section not in top:
            continue
        given = top.any(section)
        for values in given if isinstance(given, list) else [given]:
            table = Table(values, f"[{section}]", keys)
            for key, within in _READ_OVER_WITHIN.items():
                if key in table:
                    Table(table.any(key), f"[{section}] {key}", within)
        yield f"[{section}] is read over: {what} is not built yet"


def _target(values: object, base_url: str | None) -> str:
    later = {
        "nodes": "members of a burst take turns over several nodes",
        "ca_file": "bursts over https",
        "insecure": "bursts over https",
    }
    table = Table(values, "[target]", {"base_url", "protocol"}, later)
    protocol = table.text("protocol", "auto")
    if protocol in {"h2", "h2c", "h3"}:
        raise PlanError(f'[target] protocol = "{protocol}": not yet: this version delivers bursts over HTTP/1.1')
    if protocol not in {"auto", "http/1.1"}:
        raise table.wanted("protocol", '"auto", "http/1.1", "h2", "h2c" or "h3"')
    url = table.text("base_url") if base_url is None else base_url
    origin, rest = _split_origin(url, "base_url", "http://host:port")
    if rest.strip("/"):
        raise PlanError(f"base_url {url!r}: wanted an origin without a path; put the path into [request] path")
    return origin


def _split_origin(url: str, where: str, wanted: str) -> tuple[str, str]:
    """The origin that a URL begins with, in lower case, and what follows it."""
    found = _ORIGIN.match(url)
    rest = url[found.end() :] if found else ""
    if found is None or not _is_origin(found) or rest[:1] not in {"", "/", "?"}:
        # What stands before an @ is often a password.
        shown = "" if "@" in url else f" {url!r}"
        raise PlanError(f"{where}{shown}: wanted {wanted}")
    return found[0].lower(), rest


def _is_origin(found: re.Match[str]) -> bool:
    """Whether the numbers in it are an address and a port."""
    try:
        ipaddress.IPv6Address(found["ipv6"] or "::1")
    except ValueError:
        return False
    return 0 < int((found["port"] or ":80")[1:]) <= _MAX_PORT


def _signing(values: object) -> tuple[Scheme, Mapping[str, object]]:
    if not isinstance(values, Mapping):
        raise PlanError("[signing] must be a table")
    try:
        # SHA-1 is refused where one protects a service; a scanner does not choose what the service verifies.
        scheme = scheme_from_table(values, allow_sha1=True)
    except SchemeError as error:
        raise PlanError(f"[signing] {error}") from None
    if scheme.signature_pointer is not None:
        raise PlanError(f"[signing] {scheme.name}: not yet: its signature stands in the body")
    if "secret" not in values:
        raise PlanError('[signing] lacks "secret": wanted { env = "NAME" } or { file = "PATH" }')
    if not isinstance(values["secret"], Mapping):
        # Not shown: it is probably the secret itself.
        raise PlanError('[signing] secret is no table: wanted { env = "NAME" } or { file = "PATH" }')
    Table(values["secret"], "[signing] secret", {"env", "file", "value"})
    for key in ("secret_encoding", "secret_prefix", "key_id"):
        Table(values, "[signing]", values).text(key, "")
    return scheme, values


def _operation(table: Table, base_url: str, scheme: Scheme) -> RequestTemplate:
    """The scanned request. The scheme's id_header holds an id per message, the plan's or a fresh one."""
    request = _request(table.text("method", "POST"), table.text("path"), table, base_url, sign=True)
    if request.origin:
        raise table.wanted("path", "a path that starts with /: what is scanned is at base_url")
    header = scheme.id_header
    if header is None or any(name.lower() == header.lower() for name, _ in request.headers):
        return request
    return replace(request, headers=(*request.headers, (header, Template(f"{{{{{DELIVERY_ID}}}}}"))))


def _request(method: str, path: str, table: Table, base_url: str, *, sign: bool) -> RequestTemplate:
    if not _TOKEN.fullmatch(method):
        raise PlanError(f"{table.where} method {method!r}: wanted an HTTP method such as POST")
    origin = ""
    if not path.startswith("/"):
        wanted = "a path that starts with /, or a URL such as http://host:port/path"
        origin, rest = _split_origin(path, f"{table.where} path", wanted)
        path = rest if rest.startswith("/") else f"/{rest}"
    headers = table.mapping("headers")
    for name in headers:
        if name.lower() in _FRAMING:
            raise PlanError(f"{table.where} headers {name}: it is made for every request; leave it out")
    return RequestTemplate(
        method=method,
        target=Template(path),
        headers=tuple((name, Template(value)) for name, value in headers.items()),
        body=Template(table.text("body", "")),
        sign=sign,
        origin="" if origin == base_url else origin,
    )


def _line_request(table: Table, base_url: str) -> RequestTemplate:
    line = table.text("request")
    method, _, path = line.partition(" ")
    if not path:
        raise table.wanted("request", '"METHOD /path"')
    return _request(method, path.strip(), table, base_url, sign=table.flag("sign", default=False))


def _setup(values: object, where: str, base_url: str) -> Setup:
    table = Table(values, where, _REQUEST_KEYS | {"extract"})
    extract = table.mapping("extract")
    for name, pointer in extract.items():
        _check_name(name, f"{where} extract")
        _check_pointer(pointer, f"{where} extract {name}")
    return Setup(_line_request(table, base_url), extract)


def _check_pointer(pointer: str, where: str) -> None:
    try:
        json_pointer(pointer)
    except SchemeError as error:
        raise PlanError(f"{where}: {error}") from None


def _check_name(name: str, where: str) -> None:
    if not _VARIABLE.fullmatch(name):
        raise PlanError(f"{where} {name!r}: wanted a name of letters, digits and _, for it stands in {{{{...}}}}")
    if name in INSTANT_NAMES:
        raise PlanError(f"{where} {name}: it is always there, the signed instant, and cannot be declared")


def _state(values: object, where: str, base_url: str) -> State:
    table = Table(values, where, _STATE_KEYS)
    absent = table.any("absent")
    if absent is not None and (not isinstance(absent, int) or isinstance(absent, bool)):
        raise table.wanted("absent", "a whole number")
    per_effect = Decimal(str(table.number("per_effect", 1)))
    if per_effect == 0:
        raise table.wanted("per_effect", "by how much one effect changes the number: not 0")
    pointer = table.text("pointer", "")
    if pointer:
        _check_pointer(pointer, where)
    request = _line_request(table, base_url)
    return State(
        name=table.text("name", str(request)),
        request=request,
        pointer=pointer,
        count=table.flag("count", default=False),
        absent=absent,
        per_effect=per_effect,
        settle_ms=table.whole("settle_ms", 40),
    )


def _also(values: object, where: str, base_url: str, operation: RequestTemplate) -> Also:
    """What it leaves out, headers or body, is as in the operation's own request."""
    table = Table(values, where, _REQUEST_KEYS | {"state"})
    if not table.flag("sign", default=True):
        raise table.wanted("sign", "true: it is a route that accepts the same key")
    request = replace(_line_request(table, base_url), sign=True)
    if "headers" not in table:
        request = replace(request, headers=operation.headers)
    if "body" not in table:
        request = replace(request, body=operation.body)
    return Also(request, (_state(table.any("state"), f"{where} state", base_url),) if "state" in table else ())


def _limits(values: object) -> Limits:
    table = Table(values, "[limits]", {"effects", "per", "floor"})
    effects = table.whole("effects", least=1) if "effects" in table else None
    floor = table.any("floor")
    if floor is not None and (not isinstance(floor, int) or isinstance(floor, bool)):
        raise table.wanted("floor", "a whole number")
    if effects is None and floor is None:
        raise PlanError("[limits] lacks both: wanted effects = N or floor = N")
    return Limits(effects, table.texts("per"), floor)


def _budget(values: object, *, has_reset: bool) -> tuple[Budget, tuple[str, ...]]:
    """The budget, and a note where a plan asks for more effects than a plan can grant."""
    table = Table({} if values is None else values, "[budget]", {"requests", "effects", "seconds"})
    requests = table.whole("requests", 20_000, least=1)
    effects = table.whole("effects", _EFFECTS_WITH_RESET if has_reset else _EFFECTS_WITHOUT, least=1)
    seconds = float(table.number("seconds", 60))
    if seconds <= 0:
        raise table.wanted("seconds", "more than 0")
    if has_reset or effects <= _EFFECTS_WITHOUT:
        return Budget(requests, effects, seconds), ()
    note = f"[budget] effects = {effects}: without [reset], only --accept-effects grants more than {_EFFECTS_WITHOUT}"
    return Budget(requests, _EFFECTS_WITHOUT, seconds), (note,)


def _success(table: Table) -> tuple[str, ...]:
    wanted = table.texts("success", ("2xx",))
    if not wanted:
        raise table.wanted("success", 'statuses such as "2xx" or "201"')
    for status in wanted:
        if not _STATUS.fullmatch(status):
            raise table.wanted("success", 'statuses such as "2xx" or "201"')
    return wanted


def _variables(values: object) -> dict[str, Variable]:
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise PlanError("[variables] must be a table")
    found = {name: Variable(name, kind) for name, kind in _BUILT_IN_FRESH.items()}
    for name, declared in values.items():
        _check_name(name, "[variables]")
        found[name] = _variable(name, declared)
    return found


def _variable(name: str, declared: object) -> Variable:
    where = f"[variables] {name}"
    table = Table(declared, where, {"value", "fresh", "values", "start"})
    kind = table.text("fresh", "value")
    if "fresh" in table and kind not in _FRESH_KINDS:
        raise PlanError(f'{where} fresh = "{kind}"{nearest(kind, _FRESH_KINDS)}')
    for key, kinds in _KINDS_WITH.items():
        if key in table and kind not in kinds:
            raise PlanError(f"{where} {key} goes with {' and '.join(kinds)}, not with {kind}")
    if kind == "value":
        return Variable(name, "value", text=table.text("value"))
    if kind == "template" and "{{n}}" not in table.text("value", ""):
        raise PlanError(f'{where} fresh = "template": wanted a value with {{{{n}}}} in it')
    if kind == "list" and not table.texts("values"):
        raise PlanError(f'{where} fresh = "list" lacks "values": wanted a list of strings')
    if table.any("start") == "applied+1":
        raise PlanError(f'{where} start = "applied+1": not yet: it needs [sequence]')
    start = table.whole("start") if "start" in table else None
    return Variable(name, kind, text=table.text("value", ""), values=table.texts("values"), start=start)


def _identity(
    values: object, request: RequestTemplate, scheme: Scheme, variables: Mapping[str, Variable], limits: Limits | None
) -> tuple[str, ...]:
    used = request.names | ({"nonce"} if scheme.has_nonce else frozenset())
    if values is not None:
        names = Table(values, "[identity]", {"variables"}).texts("variables")
        for name in names:
            if name not in used:
                raise PlanError(f'[identity] "{name}" is not in the request{nearest(name, used)}')
        return names
    fresh = sorted(name for name in used if name in variables and variables[name].fresh)
    per = limits.per if limits else ()
    business = tuple(name for name in fresh if name not in {"nonce", DELIVERY_ID} and name not in per)
    # An id per delivery is new where a sender sends the same operation again: only where nothing else is fresh.
    return business or tuple(name for name in ("nonce", DELIVERY_ID) if name in fresh)[:1]


def _tables(top: Table, name: str) -> list[object]:
    value = top.any(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise PlanError(f"[[{name}]] must be a list of tables, written [[{name}]]")
    return value


def _check_names(plan: Plan) -> None:
    """Every variable that is mentioned must come from somewhere, and be there by then."""
    declared = set(plan.variables) | INSTANT_NAMES
    known = set(declared)
    for setup in plan.setup:
        _check_known(setup.request, known, "[[setup]]")
        known |= set(setup.extract)
    for where, request in plan.requests():
        # A reset comes before and after all set-ups.
        _check_known(request, declared if request is plan.reset else known, where)
    played = plan.used.union(*(state.request.names for state in plan.state)) - INSTANT_NAMES
    for name in plan.limits.per if plan.limits else ():
        if name not in played:
            raise PlanError(f'[limits] per names "{name}", which is in no request of a trial{nearest(name, played)}')
    if plan.identity and not any(name in plan.extracted or _is_fresh(plan, name) for name in plan.identity):
        raise PlanError(f"[identity] {', '.join(plan.identity)}: nothing of it is fresh, so all requests would be one")


def _check_known(request: RequestTemplate, known: set[str], where: str) -> None:
    for name in sorted(request.names - known):
        raise PlanError(f"{where} {request} mentions {{{{{name}}}}}, which nothing defines{nearest(name, known)}")


def _is_fresh(plan: Plan, name: str) -> bool:
    return name in plan.variables and plan.variables[name].fresh
