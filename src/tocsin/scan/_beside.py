"""The files that a plan names. Edge: the file system.

Rule: a plan is untrusted, and what it names is sent to a service. So it names files that lie beside it, and no others.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from tocsin.scan._errors import PlanError
from tocsin.scan._plan import Lines, Plan, Query

_MOST_BYTES = 10 * 1024 * 1024


def beside(folder: Path) -> Callable[[str], bytes]:
    """What reads the files of a folder by the names that a plan has for them. Raises PlanError."""
    root = folder.resolve()

    def read(name: str) -> bytes:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise PlanError(f"the plan names the file {name}: wanted one in its own folder")
        try:
            with path.open("rb") as file:
                octets = file.read(_MOST_BYTES + 1)
        except OSError as error:
            raise PlanError(f"the plan names the file {name}: {error.strerror}") from None
        if len(octets) > _MOST_BYTES:
            raise PlanError(f"the plan names the file {name}: it is longer than {_MOST_BYTES} bytes")
        return octets

    return read


def named_files(plan: Plan) -> Iterator[tuple[str, str]]:
    """Each file that a plan names, as what it is, and as the plan calls it: relative to the plan's folder."""
    if plan.captured_file:
        yield "the captured request", plan.captured_file
    if plan.connection.ca_file:
        yield "[target] ca_file", plan.connection.ca_file
    for table in (plan.signing, *plan.actors):
        match table.get("secret"):
            case {"file": str() as name}:
                yield "the file of a secret", name
    for state in plan.all_states():
        match state.source:
            case Lines(path=name):
                yield "what a [[state]] reads", name
            case Query(database=database) if database.startswith("sqlite:"):
                yield "what a [[state]] reads", database.removeprefix("sqlite:")
