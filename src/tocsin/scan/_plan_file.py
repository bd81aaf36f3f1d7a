"""From a plan file to a Plan that has been understood whole. PURE.

Rule: a plan is untrusted. Reading it sends nothing, opens nothing and grants nothing; what it may reach is decided by
the command line alone (_rails.py). The format is documented in docs/plan.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tocsin.scan._captured import Files, captured_file, parse_captured
from tocsin.scan._errors import PlanError
from tocsin.scan._plan import DELIVERY_ID, SINK_URL, Plan, RequestTemplate, Sink, Source
from tocsin.scan._plan_requests import (
    REQUEST_KEYS,
    parse_line,
    parse_mix,
    parse_request,
    parse_setup,
    split_origin,
)
from tocsin.scan._plan_states import parse_also, parse_invariant, parse_sequence, parse_state
from tocsin.scan._plan_target import CONNECTION_KEYS, parse_connection
from tocsin.scan._plan_values import (
    check_secret,
    parse_actor,
    parse_budget,
    parse_identity,
    parse_limits,
    parse_success,
    parse_variables,
)
from tocsin.scan._tables import Table, nearest
from tocsin.scan._template import INSTANT_NAMES, Template
from tocsin.scan._time import with_time_to_settle
from tocsin.signing import Scheme, SchemeError, preset, scheme_from_table
from tocsin.toml import TomlError, parse_toml

T = TypeVar("T")

_TOP = frozenset(
    {
        "target",
        "request",
        "captured",
        "variables",
        "identity",
        "signing",
        "setup",
        "state",
        "limits",
        "invariant",
        "sequence",
        "also",
        "mix",
        "actor",
        "teardown",
        "reset",
        "budget",
    }
)
# What only somebody with a secret can make use of.
_NEEDS_SECRET = ("identity", "sequence", "also", "mix", "actor", "variables", "setup", "teardown")
# Declared where nothing is signed by us: no request is ever signed with it.
_NO_SCHEME = "hex-sha256-body"


def plan_from_toml(text: str, source: str, *, base_url: str | None = None, files: Files | None = None) -> Plan:
    """Understand a plan file. Raises PlanError, which names the place, the value refused and the value wanted.

    Args:
        text: the file's contents.
        source: how to call it in reports.
        base_url: from the command line, in place of the plan's.
        files: reads what [captured] names (see `beside`).
    """
    try:
        document = parse_toml(text)
    except TomlError as error:
        raise PlanError(f"not TOML: {error}") from None
    return plan_from_tables(document, source, base_url=base_url, files=files)


def plan_from_tables(
    document: Mapping[str, Any], source: str, *, base_url: str | None = None, files: Files | None = None
) -> Plan:
    """Understand a plan that is already parsed; else as plan_from_toml."""
    top = Table(document, "the plan", _TOP)
    if "captured" in top:
        _check_captured(top)
    for section in ("target",) if "captured" in top else ("target", "request", "signing"):
        if section not in top:
            raise PlanError(f"the plan lacks [{section}]: wanted [target], [request] and [signing]")
    place = Table(top.any("target"), "[target]", {"base_url", "nodes", *CONNECTION_KEYS})
    target = _target(place, base_url)
    connection, warnings = parse_connection(place, target)
    captured = parse_captured(top.any("captured"), files, target) if "captured" in top else None
    if captured is None:
        scheme, signing = _signing(top.any("signing"))
        operation = Table(top.any("request"), "[request]", {"method", "path", "headers", "body", "success"})
        request = _operation(operation, target, scheme)
    else:
        scheme, signing = preset(_NO_SCHEME), {}
        operation = Table(top.any("request") or {}, "[request]", {"success"})
        # For reports: what is sent is `captured` itself.
        request = RequestTemplate(captured.method, Template(captured.target.replace("{{", "{ {")))
    variables = parse_variables(top.any("variables"))
    limits = parse_limits(top.any("limits")) if "limits" in top else None
    reset = parse_line(Table(top.any("reset"), "[reset]", REQUEST_KEYS), target) if "reset" in top else None
    budget, notes = parse_budget(top.any("budget"), has_reset=reset is not None)
    plan = Plan(
        source=source,
        base_url=target,
        request=request,
        success=parse_success(operation),
        variables=variables,
        identity=parse_identity(top.any("identity"), request, scheme, variables, limits),
        scheme=scheme,
        signing=signing,
        setup=_each(top, "setup", lambda table, where: parse_setup(table, where, target)),
        state=_each(top, "state", lambda table, where: parse_state(table, where, target)),
        limits=limits,
        reset=reset,
        budget=budget,
        notes=(*warnings, *notes),
        also=_each(top, "also", lambda table, where: parse_also(table, where, target, request)),
        invariants=_each(top, "invariant", lambda table, where: parse_invariant(table, where, target)),
        sequence=parse_sequence(top.any("sequence"), target, variables, request.names) if "sequence" in top else None,
        mix=_each(top, "mix", lambda table, where: parse_mix(table, where, target, request)),
        actors=_each(top, "actor", parse_actor),
        teardown=_each(top, "teardown", lambda table, where: parse_line(Table(table, where, REQUEST_KEYS), target)),
        connection=connection,
        captured=captured,
        captured_file=captured_file(top.any("captured")) if captured else "",
        nodes=_nodes(place, target),
    )
    _check_names(plan)
    return plan if "budget" in top and "seconds" in top.any("budget") else with_time_to_settle(plan)


def _check_captured(top: Table) -> None:
    """Whoever has a secret has no need of a captured request, and whoever has none makes no others."""
    if "signing" in top:
        raise PlanError("the plan has [signing] and [captured]: wanted one of them")
    for section in _NEEDS_SECRET:
        if section in top:
            raise PlanError(f"[{section}] makes requests of its own: wanted [signing] with a secret, not [captured]")


def _target(table: Table, base_url: str | None) -> str:
    url = table.text("base_url") if base_url is None else base_url
    origin, rest = split_origin(url, "base_url", "http://host:port")
    if rest.strip("/"):
        raise PlanError(f"base_url {url!r}: wanted an origin without a path; put the path into [request] path")
    return origin


def _nodes(table: Table, target: str) -> tuple[str, ...]:
    """Several instances of one service; all speak as base_url does."""
    found = []
    for url in table.texts("nodes"):
        origin, rest = split_origin(url, "[target] nodes", "origins such as http://host:port")
        if rest.strip("/") or origin.partition("://")[0] != target.partition("://")[0]:
            raise table.wanted("nodes", f"origins without a path, with {target.partition('://')[0]} as base_url has")
        found.append(origin)
    return tuple(found)


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
    check_secret(Table(values, "[signing]", values), "[signing]")
    return scheme, values


def _operation(table: Table, base_url: str, scheme: Scheme) -> RequestTemplate:
    """The scanned request. The scheme's id_header holds an id per message, the plan's or a fresh one."""
    request = parse_request(table.text("method", "POST"), table.text("path"), table, base_url, sign=True)
    if request.origin:
        raise table.wanted("path", "a path that starts with /: what is scanned is at base_url")
    header = scheme.id_header
    if header is None or any(name.lower() == header.lower() for name, _ in request.headers):
        return request
    return replace(request, headers=(*request.headers, (header, Template(f"{{{{{DELIVERY_ID}}}}}"))))


def _each(top: Table, name: str, parse: Callable[[object, str], T]) -> tuple[T, ...]:
    """What stands in a list of tables, each understood."""
    values = [] if top.any(name) is None else top.any(name)
    if not isinstance(values, list):
        raise PlanError(f"[[{name}]] must be a list of tables, written [[{name}]]")
    return tuple(parse(table, f"[[{name}]] {place}") for place, table in enumerate(values, start=1))


def _check_names(plan: Plan) -> None:
    """Every variable that is mentioned must come from somewhere, and be there by then."""
    sinks = {SINK_URL} if any(isinstance(state.source, Sink) for state in plan.all_states()) else set()
    declared = set(plan.variables) | INSTANT_NAMES | sinks
    known = set(declared)
    for setup in plan.setup:
        _check_known(setup.request, known, "[[setup]]")
        known |= set(setup.extract)
    for where, request in plan.requests():
        # A reset comes before and after all set-ups.
        _check_known(request, declared if request is plan.reset else known, where)
    for state in plan.all_states():
        _check_known(state.source, known, "[[state]]")
    played = plan.drawn - INSTANT_NAMES - sinks
    for name in plan.limits.per if plan.limits else ():
        if name not in played:
            raise PlanError(f'[limits] per names "{name}", which is in no request of a trial{nearest(name, played)}')
    for name, variable in plan.variables.items():
        if variable.after_applied and (plan.sequence is None or plan.sequence.variable != name):
            raise PlanError(f'[variables] {name} start = "applied+1": wanted [sequence] variable = "{name}"')
    if plan.identity and not any(name in plan.extracted or _is_fresh(plan, name) for name in plan.identity):
        raise PlanError(f"[identity] {', '.join(plan.identity)}: nothing of it is fresh, so all requests would be one")


def _check_known(request: Source, known: set[str], where: str) -> None:
    for name in sorted(request.names - known):
        raise PlanError(f"{where} {request} mentions {{{{{name}}}}}, which nothing defines{nearest(name, known)}")


def _is_fresh(plan: Plan, name: str) -> bool:
    return name in plan.variables and plan.variables[name].fresh
