"""A plan: all that the scanner knows about one signed operation. PURE.

Rule: a plan is untrusted. Reading it sends nothing, opens nothing and grants nothing; what it may reach is decided by
the command line alone (_rails.py). The format is documented in docs/plan.md.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tocsin.scan._errors import PlanError
from tocsin.scan._tables import Table, nearest
from tocsin.scan._template import INSTANT_NAMES, Template
from tocsin.signing import Scheme, SchemeError, scheme_from_table

_TOP = {"target", "request", "variables", "identity", "signing", "setup", "state", "limits", "reset", "budget"}
# Sections of the format whose checks are not built yet: read over, and said so, because every other check still holds.
_READ_OVER = {
    "invariant": "intermediate-state",
    "sequence": "reordering",
    "also": "signature-coverage",
    "mix": "bursts of different requests",
    "actor": "several senders",
}
_LATER = {"captured": "scanning without a secret, from a captured request"}
_REQUEST_KEYS = {"request", "headers", "body", "sign"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_STATUS = re.compile(r"[1-5](xx|\d\d)", re.ASCII)
# Declared for everybody: what a request most often needs fresh.
_BUILT_IN_FRESH = {"uuid": "uuid4", "nonce": "hex16"}
_FRESH_KINDS = ("uuid4", "hex16", "counter", "list", "template")
# Effects without [reset] stay in somebody's database; with it they are undone (checks.md, Rails).
_EFFECTS_WITH_RESET, _EFFECTS_WITHOUT = 20_000, 500


@dataclass(frozen=True, slots=True)
class Variable:
    """A name in the plan's templates. `kind` is "value", or how a fresh one is made."""

    name: str
    kind: str
    text: str = ""
    values: tuple[str, ...] = ()
    start: int | None = None

    @property
    def fresh(self) -> bool:
        """Whether a distinct request gets a new one."""
        return self.kind != "value"


_NO_BODY = Template("")


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with variables in it. `origin` is set where the plan names another one than base_url's."""

    method: str
    target: Template
    headers: tuple[tuple[str, Template], ...] = ()
    body: Template = _NO_BODY
    sign: bool = False
    origin: str = ""

    @property
    def names(self) -> frozenset[str]:
        """All variables that its texts mention."""
        return self.target.names.union(self.body.names, *(value.names for _, value in self.headers))

    def __str__(self) -> str:
        return f"{self.method} {self.origin}{self.target.text}"


@dataclass(frozen=True, slots=True)
class Setup:
    """A request before each trial, and the variables taken from its answer (name -> JSON pointer)."""

    request: RequestTemplate
    extract: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """Where an effect shows: a number at a pointer, or the length of a list there."""

    name: str
    request: RequestTemplate
    pointer: str
    count: bool
    absent: int | None
    per_effect: int
    settle_ms: int


@dataclass(frozen=True, slots=True)
class Limits:
    """No more than `effects` on one value of the `per` variables; the state never below `floor`."""

    effects: int | None
    per: tuple[str, ...]
    floor: int | None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a scan may use at most."""

    requests: int
    effects: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan that has been understood whole."""

    source: str
    base_url: str
    request: RequestTemplate
    success: tuple[str, ...]
    variables: Mapping[str, Variable]
    identity: tuple[str, ...]
    scheme: Scheme
    signing: Mapping[str, object] = field(repr=False)
    setup: tuple[Setup, ...]
    state: tuple[State, ...]
    limits: Limits | None
    reset: RequestTemplate | None
    budget: Budget
    notes: tuple[str, ...]

    @property
    def extracted(self) -> frozenset[str]:
        """Variables that set-up requests fill."""
        return frozenset(name for setup in self.setup for name in setup.extract)

    @property
    def used(self) -> frozenset[str]:
        """Variables that the operation's own request mentions, the nonce of the signature included."""
        return self.request.names | ({"nonce"} if self.scheme.has_nonce else frozenset())

    @property
    def settle_s(self) -> float:
        """How long after an answer an effect may still arrive."""
        return max((state.settle_ms for state in self.state), default=0) / 1000

    def requests(self) -> Iterator[tuple[str, RequestTemplate]]:
        """Every request that the plan can cause, with the place that names it."""
        yield "[request]", self.request
        yield from (("[[setup]]", setup.request) for setup in self.setup)
        yield from (("[[state]]", state.request) for state in self.state)
        if self.reset is not None:
            yield "[reset]", self.reset

    def is_success(self, status: int | None) -> bool:
        """Whether a status is one of `success`."""
        return status is not None and any(
            str(status) == wanted or (wanted.endswith("xx") and str(status)[0] == wanted[0]) for wanted in self.success
        )


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
    request = _request(operation.text("method", "POST"), operation.text("path"), operation, target, sign=True)
    setups = tuple(
        _setup(table, f"[[setup]] {place}", target) for place, table in enumerate(_tables(top, "setup"), start=1)
    )
    states = tuple(
        _state(table, f"[[state]] {place}", target) for place, table in enumerate(_tables(top, "state"), start=1)
    )
    variables = _variables(top.any("variables") or {})
    reset = None
    if "reset" in top:
        table = Table(top.any("reset"), "[reset]", _REQUEST_KEYS)
        reset = _line_request(table, target)
    limits = _limits(top.any("limits")) if "limits" in top else None
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
        budget=_budget(top.any("budget") or {}, has_reset=reset is not None),
        notes=tuple(
            f"[{section}] is read over: {what} is not built yet"
            for section, what in _READ_OVER.items()
            if section in top
        ),
    )
    _check_names(plan)
    return plan


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
    url = (base_url or table.text("base_url")).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise PlanError(f"base_url {url!r}: wanted http://host:port")
    if parts.path or parts.query or parts.fragment:
        raise PlanError(f"base_url {url!r}: wanted an origin without a path; put the path into [request] path")
    return url


def _signing(values: object) -> tuple[Scheme, Mapping[str, object]]:
    if not isinstance(values, Mapping):
        raise PlanError("[signing] must be a table")
    try:
        # SHA-1 is refused where one protects a service; a scanner does not choose what the service verifies.
        scheme = scheme_from_table(values, allow_sha1=True)
    except SchemeError as error:
        raise PlanError(f"[signing] {error}") from None
    if "secret" not in values:
        raise PlanError('[signing] lacks "secret": wanted { env = "NAME" } or { file = "PATH" }')
    return scheme, values


def _request(method: str, path: str, table: Table, base_url: str, *, sign: bool) -> RequestTemplate:
    if not _TOKEN.fullmatch(method):
        raise PlanError(f"{table.where} method {method!r}: wanted an HTTP method such as POST")
    origin = ""
    if not path.startswith("/"):
        parts = urlsplit(path)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PlanError(f"{table.where} path {path!r}: wanted a path that starts with / or an http URL")
        origin = f"{parts.scheme}://{parts.netloc}"
        path = path.removeprefix(origin) or "/"
    return RequestTemplate(
        method=method,
        target=Template(path),
        headers=tuple((name, Template(value)) for name, value in table.mapping("headers").items()),
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
    return Setup(_line_request(table, base_url), table.mapping("extract"))


def _state(values: object, where: str, base_url: str) -> State:
    table = Table(values, where, _REQUEST_KEYS | {"name", "pointer", "count", "absent", "per_effect", "settle_ms"})
    absent = table.any("absent")
    if absent is not None and (not isinstance(absent, int) or isinstance(absent, bool)):
        raise table.wanted("absent", "a whole number")
    per_effect = int(table.number("per_effect", 1))
    if per_effect == 0:
        raise table.wanted("per_effect", "by how much one effect changes the number: not 0")
    pointer = table.text("pointer", "")
    if pointer and not pointer.startswith("/"):
        raise table.wanted("pointer", 'a JSON pointer such as "/stock" (RFC 6901)')
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


def _limits(values: object) -> Limits:
    table = Table(values, "[limits]", {"effects", "per", "floor"})
    effects = table.whole("effects", least=1) if "effects" in table else None
    floor = table.any("floor")
    if floor is not None and (not isinstance(floor, int) or isinstance(floor, bool)):
        raise table.wanted("floor", "a whole number")
    if effects is None and floor is None:
        raise PlanError("[limits] lacks both: wanted effects = N or floor = N")
    return Limits(effects, table.texts("per"), floor)


def _budget(values: object, *, has_reset: bool) -> Budget:
    table = Table(values, "[budget]", {"requests", "effects", "seconds"})
    return Budget(
        requests=table.whole("requests", 20_000, least=1),
        effects=table.whole("effects", _EFFECTS_WITH_RESET if has_reset else _EFFECTS_WITHOUT, least=1),
        seconds=float(table.number("seconds", 60)),
    )


def _success(table: Table) -> tuple[str, ...]:
    wanted = table.texts("success", ("2xx",))
    for status in wanted:
        if not _STATUS.fullmatch(status):
            raise table.wanted("success", 'statuses such as "2xx" or "201"')
    return wanted


def _variables(values: object) -> dict[str, Variable]:
    if not isinstance(values, Mapping):
        raise PlanError("[variables] must be a table")
    found = {name: Variable(name, kind) for name, kind in _BUILT_IN_FRESH.items()}
    for name, declared in values.items():
        if name in INSTANT_NAMES:
            raise PlanError(f"[variables] {name}: it is always there, the signed instant, and cannot be declared")
        found[name] = _variable(name, declared)
    return found


def _variable(name: str, declared: object) -> Variable:
    where = f"[variables] {name}"
    table = Table(declared, where, {"value", "fresh", "values", "start"})
    if "fresh" not in table:
        return Variable(name, "value", text=table.text("value"))
    kind = table.text("fresh")
    if kind == "template" and "{{n}}" not in table.text("value", ""):
        raise PlanError(f'{where} fresh = "template": wanted a value with {{{{n}}}} in it')
    if kind != "template" and "value" in table:
        raise PlanError(f'{where} has fresh = "{kind}" and value: wanted one of them')
    if kind not in _FRESH_KINDS:
        raise PlanError(f'{where} fresh = "{kind}"{nearest(kind, _FRESH_KINDS)}')
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
    business = tuple(name for name in fresh if name != "nonce" and name not in per)
    return business or tuple(name for name in fresh if name == "nonce")


def _tables(top: Table, name: str) -> list[object]:
    value = top.any(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise PlanError(f"[[{name}]] must be a list of tables, written [[{name}]]")
    return value


def _check_names(plan: Plan) -> None:
    """Every variable that is mentioned must come from somewhere."""
    known = set(plan.variables) | plan.extracted | INSTANT_NAMES
    for where, request in plan.requests():
        for name in sorted(request.names - known):
            raise PlanError(f"{where} {request} mentions {{{{{name}}}}}, which nothing defines{nearest(name, known)}")
    for name in plan.limits.per if plan.limits else ():
        if name not in known:
            raise PlanError(f'[limits] per names "{name}", which nothing defines{nearest(name, known)}')
