"""The lines of code that guard the scanned operation. PURE."""

import json
from collections.abc import Iterator

from tocsin.scan._plan import Plan


def guard_call(plan: Plan) -> str:
    """How tocsin.guard is put around the operation, for Flask, with the names of the plan."""
    path = plan.request.target.text.partition("?")[0]
    route, arguments = _route(path)
    pointer = next(_pointers(plan), None)
    key = f'key=json_pointer("{pointer}")' if pointer else ""
    return "\n".join(
        (
            f'guard = Guard(preset("{plan.scheme.name}"), keys, SQLiteStore("app.db"))',
            "",
            f'@app.{plan.request.method.lower()}("{route}")',
            f"@guard.flask({key})",
            f"def handler({', '.join(('signed', 'tx', *arguments))}):",
            "    ...  # every write through tx: one commit with the claim",
        )
    )


def _route(path: str) -> tuple[str, list[str]]:
    """A plan's path in Flask's spelling, and the names of its arguments."""
    arguments: list[str] = []
    parts = []
    for part in path.split("/"):
        if part.startswith("{{") and part.endswith("}}"):
            arguments.append(part.strip("{} "))
            parts.append(f"<{arguments[-1]}>")
        else:
            parts.append(part)
    return "/".join(parts), arguments


def _pointers(plan: Plan) -> Iterator[str]:
    """Where the identity's variables stand in a JSON body."""
    try:
        body = json.loads(plan.request.body.text)
    except ValueError:
        return
    for name in plan.identity:
        yield from _found(body, f"{{{{{name}}}}}", "")


def _found(value: object, wanted: str, pointer: str) -> Iterator[str]:
    if value == wanted:
        yield pointer
    elif isinstance(value, dict):
        for name, member in value.items():
            escaped = name.replace("~", "~0").replace("/", "~1")
            yield from _found(member, wanted, f"{pointer}/{escaped}")
