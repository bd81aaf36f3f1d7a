"""The lines of code that guard the scanned operation. PURE."""

import json
from collections.abc import Iterator
from dataclasses import replace

from tocsin.scan._plan import Plan
from tocsin.scan._template import Template
from tocsin.signing import PRESETS

# The methods that Flask has a decorator of their own for.
_DECORATED = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
# Stands for the first variable in a JSON body, with quotes around it or without; no plan holds such a number by chance.
_FIRST_MARK = 10**17


def guard_call(plan: Plan) -> str:
    """How tocsin.guard is put around the operation, for Flask, with the names of the plan."""
    route, arguments = _route(Template(plan.request.target.text.partition("?")[0]))
    method = plan.request.method
    decorator = f'{method.lower()}("{route}")' if method in _DECORATED else f'route("{route}", methods=["{method}"])'
    return "\n".join(
        (
            f'guard = Guard({_scheme(plan)}, keys, SQLiteStore("app.db"))',
            "",
            f"@app.{decorator}",
            f"@guard.flask({_key(plan)})",
            f"def handler({', '.join(('signed', 'tx', *arguments))}):",
            "    ...  # every write through tx: one commit with the claim",
        )
    )


def _scheme(plan: Plan) -> str:
    """A preset by its name; what the plan declares itself has to be declared in the service too."""
    known = PRESETS.get(plan.scheme.name)
    if known is not None and plan.scheme == replace(known, allow_sha1=plan.scheme.allow_sha1):
        return f'preset("{plan.scheme.name}")'
    return "Scheme(...)"


def _route(path: Template) -> tuple[str, list[str]]:
    """A plan's path in Flask's spelling, and the names of its arguments in order."""
    route = path.render({name: f"<{name}>" for name in path.names})
    return route, sorted(path.names, key=lambda name: route.index(f"<{name}>"))


def _key(plan: Plan) -> str:
    """What makes two requests the same operation: the identity in the body, else what the scheme has, else the body."""
    pointer = next(_pointers(plan), None)
    if pointer is not None:
        return f'key=json_pointer("{pointer}")'
    return "" if plan.scheme.message_id else "key=body_digest(days=3)"


def _pointers(plan: Plan) -> Iterator[str]:
    """Where the identity's variables stand in a JSON body."""
    marks = {name: str(_FIRST_MARK + place) for place, name in enumerate(sorted(plan.request.body.names))}
    try:
        body = json.loads(plan.request.body.render(marks))
    except ValueError:
        return
    for name in plan.identity:
        if name in marks:
            yield from _found(body, marks[name], "")


def _found(value: object, wanted: str, pointer: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield from _found(member, wanted, f"{pointer}/{escaped}")
    elif str(value) == wanted:
        yield pointer
