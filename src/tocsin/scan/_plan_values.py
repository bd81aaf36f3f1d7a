"""The values in a plan file: variables, what makes an operation, limits, budget. PURE."""

import re
from collections.abc import Mapping

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import DELIVERY_ID, Budget, Limits, RequestTemplate, Variable
from tocsin.scan._plan_requests import check_name
from tocsin.scan._tables import Table, nearest
from tocsin.signing import Scheme

_STATUS = re.compile(r"[1-5](xx|\d\d)", re.ASCII)
# Declared for everybody: what a request most often needs fresh.
_BUILT_IN_FRESH = {"uuid": "uuid4", "nonce": "hex16", DELIVERY_ID: "uuid4"}
_FRESH_KINDS = ("uuid4", "hex16", "counter", "list", "template")
_KINDS_WITH = {"value": ("value", "template"), "values": ("list",), "start": ("counter",)}
_APPLIED = "applied+1"
_ACTOR_KEYS = ("key_id", "secret", "secret_encoding", "secret_prefix")
# Effects without [reset] stay in somebody's database; with it they are undone (checks.md, Rails).
_EFFECTS_WITH_RESET, _EFFECTS_WITHOUT = 20_000, 500


def parse_limits(values: object) -> Limits:
    """The [limits] section."""
    table = Table(values, "[limits]", {"effects", "per", "floor"})
    effects = table.whole("effects", least=1) if "effects" in table else None
    floor = table.any("floor")
    if floor is not None and (not isinstance(floor, int) or isinstance(floor, bool)):
        raise table.wanted("floor", "a whole number")
    if effects is None and floor is None:
        raise PlanError("[limits] lacks both: wanted effects = N or floor = N")
    return Limits(effects, table.texts("per"), floor)


def parse_budget(values: object, *, has_reset: bool) -> tuple[Budget, tuple[str, ...]]:
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


def parse_actor(values: object, where: str) -> Mapping[str, object]:
    """One [[actor]]: the same scheme, another key."""
    table = Table(values, where, _ACTOR_KEYS)
    if "secret" not in table:
        raise PlanError(f'{where} lacks "secret": wanted {{ env = "NAME" }} or {{ file = "PATH" }}')
    return check_secret(table, where)


def check_secret(table: Table, where: str) -> Mapping[str, object]:
    """The keys that name a secret, understood as far as they can be without opening anything."""
    if not isinstance(table.any("secret"), Mapping):
        # Not shown: it is probably the secret itself.
        raise PlanError(f'{where} secret is no table: wanted {{ env = "NAME" }} or {{ file = "PATH" }}')
    Table(table.any("secret"), f"{where} secret", {"env", "file", "value"})
    for key in ("secret_encoding", "secret_prefix", "key_id"):
        table.text(key, "")
    return {key: table.any(key) for key in _ACTOR_KEYS if key in table}


def parse_success(table: Table) -> tuple[str, ...]:
    """Which statuses say that the request was accepted."""
    wanted = table.texts("success", ("2xx",))
    if not wanted:
        raise table.wanted("success", 'statuses such as "2xx" or "201"')
    for status in wanted:
        if not _STATUS.fullmatch(status):
            raise table.wanted("success", 'statuses such as "2xx" or "201"')
    return wanted


def parse_variables(values: object) -> dict[str, Variable]:
    """The [variables] section, and what is there without it."""
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise PlanError("[variables] must be a table")
    found = {name: Variable(name, kind) for name, kind in _BUILT_IN_FRESH.items()}
    for name, declared in values.items():
        check_name(name, "[variables]")
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
    after_applied = table.any("start") == _APPLIED
    start = table.whole("start") if "start" in table and not after_applied else None
    return Variable(
        name,
        kind,
        text=table.text("value", ""),
        values=table.texts("values"),
        start=start,
        after_applied=after_applied,
    )


def parse_identity(
    values: object, request: RequestTemplate, scheme: Scheme, variables: Mapping[str, Variable], limits: Limits | None
) -> tuple[str, ...]:
    """The variables that make two requests the same operation."""
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
