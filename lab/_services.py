"""What the lab holds: a service is a folder with service.toml, and adding one touches nothing else."""

import difflib
import importlib.util
import tomllib
from dataclasses import dataclass
from pathlib import Path

LAB = Path(__file__).parent


class LabError(Exception):
    """The lab cannot do what was asked; the message says what was refused and what is wanted."""


@dataclass(frozen=True, slots=True)
class Service:
    """One folder of the lab, as its service.toml declares it.

    Args:
        name: the folder's name.
        description: one line for people.
        command: how it is run, in its folder; {python} and {port} are filled in.
        ready: the path whose GET answers 200 once the service can work.
        port: where `tocsin lab run` starts it, and what base_url in its plan says.
        modules: Python modules that must be importable.
        install: the command that installs what is needed.
    """

    name: str
    folder: Path
    description: str
    command: tuple[str, ...]
    ready: str
    port: int
    modules: tuple[str, ...]
    install: str

    @property
    def plan(self) -> Path:
        """What `tocsin scan` is given."""
        return self.folder / "plan.toml"

    def missing(self) -> str:
        """The first module that is needed and not there, or ""."""
        return next((module for module in self.modules if importlib.util.find_spec(module) is None), "")

    def command_line(self, *, python: str, port: int) -> list[str]:
        """The command with its blanks filled in."""
        return [word.format(python=python, port=port) for word in self.command]


def names() -> list[str]:
    """Every service of the lab."""
    return sorted(found.parent.name for found in LAB.glob("*/service.toml"))


def find(name: str) -> Service:
    """The service of that name.

    Raises:
        LabError: there is none; names the nearest.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]}?" if near else f"none has a service.toml in {LAB}"
        raise LabError(f"no service {name!r} in the lab; {hint} (`tocsin lab list` shows all)")
    folder = LAB / name
    said = tomllib.loads((folder / "service.toml").read_text())
    return Service(
        name=name,
        folder=folder,
        description=said["description"],
        command=tuple(said["command"]),
        ready=said["ready"],
        port=said["port"],
        modules=tuple(said["needs"]["modules"]),
        install=said["needs"]["install"],
    )
