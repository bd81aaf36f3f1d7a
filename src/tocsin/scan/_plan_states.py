"""Where effects show, as a plan file says it: one kind of source a state. PURE.

Rule: a plan only names what is read. Whether a query, a command or a file may be read at all, the command line decides.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import (
    Also,
    Answers,
    Command,
    Invariant,
    Lines,
    Query,
    RequestTemplate,
    SequenceRule,
    Sink,
    Source,
    State,
    Variable,
)
from tocsin.scan._plan_requests import REQUEST_KEYS, check_pointer, parse_beside, parse_line
from tocsin.scan._tables import Table, nearest
from tocsin.scan._template import Template

_READING_KEYS = REQUEST_KEYS | {"name", "pointer", "count", "absent"}
_SOURCES = ("request", "sql", "command", "file", "sink", "answers")
_STATE_KEYS = _READING_KEYS | {"per_effect", "settle_ms", "database", "containing", "equals", *_SOURCES}
# An hour: a scan waits so long after every trial.
_LONGEST_SETTLE_MS = 3_600_000
# What goes with which source; everything else goes with all of them.
_ONLY_WITH = {
    "headers": ("request",),
    "body": ("request",),
    "sign": ("request",),
    "database": ("sql",),
    "containing": ("file",),
    "equals": ("sink",),
    "count": ("request", "file", "command"),
    "absent": ("request", "file"),
    "pointer": ("request", "file", "command", "sink"),
}
# Of this machine alone: a listener that others reach would be a service that nobody asked for.
_LISTENING = re.compile(r"(127\.0\.0\.1|localhost|\[::1\]):([0-9]{1,5})", re.ASCII)


def parse_state(values: object, where: str, base_url: str) -> State:
    """One [[state]]."""
    table = Table(values, where, _STATE_KEYS)
    given = [key for key in _SOURCES if key in table]
    if len(given) != 1:
        raise PlanError(f"{where}: wanted one of {', '.join(_SOURCES)}, not {' and '.join(given) or 'none of them'}")
    for key, sources in _ONLY_WITH.items():
        if key in table and given[0] not in sources:
            raise PlanError(f"{where} {key} goes with {' and '.join(sources)}, not with {given[0]}")
    per_effect = Decimal(str(table.number("per_effect", 1)))
    if per_effect == 0:
        raise table.wanted("per_effect", "by how much one effect changes the number: not 0")
    return _state(table, where, _source(given[0], table, base_url), per_effect, _settle_ms(table))


def _state(table: Table, where: str, source: Source, per_effect: Decimal, settle_ms: int) -> State:
    absent = table.any("absent")
    if absent is not None and (not isinstance(absent, int) or isinstance(absent, bool)):
        raise table.wanted("absent", "a whole number")
    pointer = table.text("pointer", "")
    if pointer:
        check_pointer(pointer, where)
    return State(
        name=table.text("name", str(source)),
        source=source,
        pointer=pointer,
        count=table.flag("count", default=False),
        absent=absent,
        per_effect=per_effect,
        settle_ms=settle_ms,
    )


def _settle_ms(table: Table) -> int:
    return table.whole("settle_ms", 40, most=_LONGEST_SETTLE_MS)


def _source(kind: str, table: Table, base_url: str) -> Source:
    match kind:
        case "sql":
            return Query(_database(table), Template(table.text("sql")))
        case "command":
            words = table.texts("command")
            if not words:
                raise table.wanted("command", 'a list of words: ["psql", "-c", "..."]; no shell reads it')
            return Command(tuple(map(Template, words)))
        case "file":
            containing = table.text("containing", "")
            return Lines(table.text("file"), Template(containing) if containing else None)
        case "sink":
            return _sink(table)
        case "answers":
            if not table.flag("answers", default=True):
                raise table.wanted("answers", "true, or no such key")
            return Answers()
        case _:
            return parse_line(table, base_url)


def _database(table: Table) -> str:
    database = table.text("database")
    if not database.startswith(("sqlite:", "postgresql:", "env:")):
        # Not shown: it may hold a password.
        raise PlanError(
            f'{table.where} database: wanted "sqlite:PATH", "postgresql://..." or "env:NAME" for one that is secret'
        )
    return database


def _sink(table: Table) -> Sink:
    address = table.text("sink")
    found = _LISTENING.fullmatch(address)
    if found is None or int(found[2]) > 65_535:  # noqa: PLR2004  the last port
        raise table.wanted("sink", 'an address of this machine: "127.0.0.1:PORT", 0 for any')
    if not table.text("pointer", ""):
        raise PlanError(f'{table.where} lacks "pointer": wanted where in a delivery "equals" stands')
    return Sink(address, Template(table.text("equals")))


def parse_also(values: object, where: str, base_url: str, operation: RequestTemplate) -> Also:
    """One [[also]]."""
    table = Table(values, where, REQUEST_KEYS | {"state"})
    request = parse_beside(table, base_url, operation)
    return Also(request, (parse_state(table.any("state"), f"{where} state", base_url),) if "state" in table else ())


def parse_invariant(values: object, where: str, base_url: str) -> Invariant:
    """One [[invariant]]."""
    table = Table(values, where, REQUEST_KEYS | {"sum_of", "equals"})
    pointers = table.texts("sum_of")
    if not pointers:
        raise table.wanted("sum_of", 'JSON pointers: ["/alice", "/bob"]')
    for pointer in pointers:
        check_pointer(pointer, f"{where} sum_of")
    if "equals" not in table:
        raise PlanError(f'{where} lacks "equals": wanted the number that the sum always is')
    return Invariant(parse_line(table, base_url), pointers, Decimal(str(table.number("equals"))))


def parse_sequence(
    values: object, base_url: str, variables: Mapping[str, Variable], used: frozenset[str]
) -> SequenceRule:
    """The [sequence] section: its variable counts upwards, or newer and older would mean nothing."""
    table = Table(values, "[sequence]", {"variable", "applied"})
    name = table.text("variable")
    if name not in used:
        raise PlanError(f'[sequence] variable "{name}" is not in the request{nearest(name, used)}')
    if name not in variables or variables[name].kind != "counter":
        raise table.wanted("variable", '{ fresh = "counter" } in [variables]: the numbers of messages go up')
    if "applied" not in table:
        raise PlanError('[sequence] lacks "applied": wanted { request = "GET /...", pointer = "/..." }')
    where = "[sequence] applied"
    applied = Table(table.any("applied"), where, _READING_KEYS | {"settle_ms"})
    return SequenceRule(name, _state(applied, where, parse_line(applied, base_url), Decimal(1), _settle_ms(applied)))
