"""The papers of a generated service: plan.toml, service.toml and expected.toml."""

import json
import textwrap
from collections.abc import Mapping

from lab._expected import Truth
from lab.generated._traits import Traits

# As long as the plans of the lab give.
_SECONDS = 44
_EFFECTS = 5
_PORT = 8199


def member(path: tuple[str, ...], value: str, *, beside: str = "") -> str:
    """A JSON object (or a Python one) that has a value at a path, and perhaps another member beside it."""
    *outer, name = path
    text = f'{{"{name}": {value}{f", {beside}" if beside else ""}}}'
    for each in reversed(outer):
        text = f'{{"{each}": {text}}}'
    return text


def route(things: str) -> str:
    """What a thing is called, from the route where it is made."""
    return things.rpartition("/")[2].removesuffix("s")


def pointer(path: tuple[str, ...]) -> str:
    """The JSON pointer (RFC 6901) to a member; its names have nothing to escape."""
    return "".join(f"/{name}" for name in path)


def body(traits: Traits, order_id: object, thing: str, *, number: object = 1) -> str:
    """The body of a message; `order_id`, `thing` and `number` may be placeholders of a plan."""
    shape = traits.shape
    found: dict[str, object] = {}
    _put(found, shape.id_path, "@ID@")
    if shape.thing_path:
        _put(found, shape.thing_path, thing)
    found |= dict(shape.extra)
    if traits.order:
        found[shape.number] = "@NUMBER@"
    text = json.dumps(found, separators=None if shape.spaced else (",", ":"))
    text = text.replace('"@NUMBER@"', str(number))
    return text.replace('"@ID@"', str(order_id) if shape.id_is_number else f'"{order_id}"')


def operation_path(traits: Traits, thing: str) -> str:
    """Where a message about a thing goes."""
    return traits.shape.operation.replace("{thing}", thing)


def plan(traits: Traits) -> str:
    """How to scan it."""
    shape = traits.shape
    down = traits.kind == "stock"
    fresh = '"counter"' if shape.id_is_number else '"uuid4"'
    shown = f"{shape.things}/{{{{thing}}}}"
    change = f"per_effect = {-traits.amount if down else traits.amount}\nsettle_ms = 0"
    parts = [
        f'[target]\nbase_url = "http://127.0.0.1:{_PORT}"\n',
        _request(traits),
        f"[variables]\nmessage = {{ fresh = {fresh} }}\n"
        + ('number = { fresh = "counter" }\n' if traits.order else ""),
        '[identity]\nvariables = ["message"]\n',
        traits.signature.toml(),
        f'[[setup]]\nrequest = "POST {shape.things}"\nextract = {{ thing = "{pointer(shape.made_path)}" }}\n',
        f'[[state]]\nrequest = "GET {shown}"\npointer = "{pointer(shape.count_path)}"\n{change}\n',
    ]
    if down:
        parts.append(f'[limits]\neffects = {_EFFECTS}\nper = ["thing"]\nfloor = 0\n')
    if traits.shows_both:
        pair = f'"{pointer(shape.count_path)}", "{pointer((*shape.count_path[:-1], shape.taken))}"'
        parts.append(f'[[invariant]]\nrequest = "GET {shown}"\nsum_of = [{pair}]\nequals = {_EFFECTS}\n')
    if traits.order:
        applied = pointer((*shape.count_path[:-1], shape.applied))
        shows = f'{{ request = "GET {shown}", pointer = "{applied}" }}'
        parts.append(f'[sequence]\nvariable = "number"\napplied = {shows}\n')
    if shape.also:
        state = '{ request = "GET /__others", pointer = "/count", settle_ms = 0 }'
        parts.append(f'[[also]]\nrequest = "POST {shape.also}"\nstate = {state}\n')
    parts.append(f'[reset]\nrequest = "POST {shape.reset}"\n')
    parts.append(f"[budget]\nrequests = 20000\neffects = 20000\nseconds = {_SECONDS}\n")
    return "\n".join(parts)


def _request(traits: Traits) -> str:
    path, content = operation_path(traits, "{{thing}}"), body(traits, "{{message}}", "{{thing}}", number="{{number}}")
    lines = ["[request]", 'method = "POST"', f'path = "{path}"', 'headers = { Content-Type = "application/json" }']
    lines += [f"body = '{content}'", 'success = ["2xx"]']
    return "\n".join(lines) + "\n"


def service(traits: Traits) -> str:
    """How it is run."""
    modules, install = _NEEDS[traits.front]
    if traits.storage == "postgres":
        modules, install = [*modules, "psycopg"], f"{install} 'psycopg[binary]>=3.2'"
    lines = [
        f'description = "Seed {traits.seed}: {describe(traits)}"',
        f"port = {_PORT}",
        f"command = {json.dumps(_command(traits))}",
        'ready = "/__others"',
        "",
        "[needs]",
        f"modules = {json.dumps(modules)}",
        *(["postgres = true"] if traits.storage == "postgres" else []),
        f'install = "{install}"',
    ]
    return "\n".join(lines) + "\n"


def describe(traits: Traits) -> str:
    """It in a line."""
    server = f"{traits.front}, {traits.workers} process{'es' if traits.workers > 1 else ''}"
    window = f"{traits.window_ms:g} ms {traits.place}" if traits.window_ms else "no window but its own"
    return f"{traits.defence} on {traits.storage}, {server}, {window}"


def expected(traits: Traits, truths: Mapping[str, Truth]) -> str:
    """What is true of it, as the other services say it."""
    parts = [f"# What is true of the service of seed {traits.seed}, by how it was made."]
    for check, truth in truths.items():
        lines = [f"[{check}]", f'verdict = "{truth.verdict}"']
        lines += [f'severity = "{truth.severity}"'] if truth.severity != "none" else []
        if truth.variants:
            said = ", ".join(f'{name} = "{verdict}"' for name, verdict in truth.variants.items())
            lines.append(f"variants = {{ {said} }}")
        why = textwrap.fill(truth.why, 116, break_on_hyphens=False)
        lines.append(f'why = """\n{why}"""' if "\n" in why or len(why) > 100 else f"why = {json.dumps(truth.why)}")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


_NEEDS = {
    "flask": (["flask", "gunicorn"], "pip install 'flask>=3.0' 'gunicorn>=25.1'"),
    "wsgi": (["gunicorn"], "pip install 'gunicorn>=25.1'"),
    "starlette": (["starlette", "uvicorn"], "pip install 'starlette>=0.40' 'uvicorn>=0.38'"),
    "asyncio": (["starlette", "uvicorn"], "pip install 'starlette>=0.40' 'uvicorn>=0.38'"),
}


def _command(traits: Traits) -> list[str]:
    if traits.front in {"starlette", "asyncio"}:
        words = "{python} -m uvicorn --host 127.0.0.1 --port {port} --timeout-graceful-shutdown 2 --log-level warning"
        return [*words.split(), "--no-access-log", "--no-proxy-headers", "app:app"]
    words = "{python} -m gunicorn --bind 127.0.0.1:{port} --worker-class gthread --threads 16 --graceful-timeout 2"
    # Loaded before the fork, so that one process makes the tables; the guard wants to be loaded in each.
    preload = [] if traits.is_guarded else ["--preload"]
    tail = ["--log-level", "warning", "--no-control-socket", "app:app"]
    return [*words.split(), "--workers", str(traits.workers), *preload, *tail]


def _put(found: dict[str, object], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        inner = found.setdefault(name, {})
        assert isinstance(inner, dict)
        found = inner
    found[path[-1]] = value
