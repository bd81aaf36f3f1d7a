"""What the lab holds: a service is a folder with service.toml, and adding one touches nothing else.

A service may have several signed routes. Its plan.toml scans the first; plan-ROUTE.toml scans another one, which is
called SERVICE/ROUTE wherever a service is named.
"""

import difflib
import importlib.util
import shutil
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from lab import _cargo, _postgres

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
        install: the command that installs what is needed.
        modules: Python modules that must be importable.
        programs: that must be in PATH.
        cargo: the oldest cargo that builds it, such as "1.89"; "": none is needed.
        build: run in the folder before each start, and quick where nothing has changed.
        postgres: whether it needs a PostgreSQL server, whose URL it reads from LAB_DATABASE.
        route: which of its signed routes is meant; "": the one of plan.toml.
    """

    name: str
    folder: Path
    description: str
    command: tuple[str, ...]
    ready: str
    port: int
    install: str
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    cargo: str = ""
    build: tuple[str, ...] = ()
    postgres: bool = False
    route: str = ""

    @property
    def title(self) -> str:
        """SERVICE, or SERVICE/ROUTE."""
        return f"{self.name}/{self.route}" if self.route else self.name

    @property
    def plan(self) -> Path:
        """What `tocsin scan` is given."""
        return self.folder / (f"plan-{self.route}.toml" if self.route else "plan.toml")

    def others(self) -> list["Service"]:
        """The same service, once for each of its other routes."""
        plans = sorted(self.folder.glob("plan-*.toml"))
        return [replace(self, route=plan.stem.removeprefix("plan-")) for plan in plans]

    def missing(self) -> str:
        """The first thing that is needed and not there, with the command that installs it, or ""."""
        module = next((module for module in self.modules if importlib.util.find_spec(module) is None), "")
        if module:
            return f"the Python module {module}: {self.install}"
        program = next((program for program in self.programs if shutil.which(program) is None), "")
        if program:
            return f"the program {program}: {self.install}"
        if self.cargo and (fault := _cargo.missing(self.cargo)):
            return f"{fault}: {self.install}"
        return _postgres.missing() if self.postgres else ""

    def command_line(self, *, python: str, port: int) -> list[str]:
        """The command with its blanks filled in."""
        return _filled(self.command, python=python, port=port)

    def build_line(self, *, python: str) -> list[str]:
        """The command that builds it, with its blanks filled in; empty where there is nothing to build."""
        return _filled(self.build, python=python)


def _filled(words: tuple[str, ...], **blanks: object) -> list[str]:
    return [word.format(**blanks) for word in words]


def names() -> list[str]:
    """Every service of the lab."""
    return sorted(found.parent.name for found in LAB.glob("*/service.toml"))


def titles() -> list[str]:
    """Every service of the lab, and every other route of each."""
    services = [load(LAB / name) for name in names()]
    return [one.title for service in services for one in (service, *service.others())]


def find(title: str) -> Service:
    """The service of that name, SERVICE or SERVICE/ROUTE.

    Raises:
        LabError: there is none; names the nearest.
    """
    known = titles()
    if title not in known:
        near = difflib.get_close_matches(title, known, n=1, cutoff=0.0)
        hint = f"did you mean {near[0]}?" if near else f"none has a service.toml in {LAB}"
        raise LabError(f"no service {title!r} in the lab; {hint} (`tocsin lab list` shows all)")
    name, _, route = title.partition("/")
    return replace(load(LAB / name), route=route)


def load(folder: Path, *, name: str = "") -> Service:
    """The service in a folder, of the lab or elsewhere; called as the folder is unless `name` says otherwise."""
    said = tomllib.loads((folder / "service.toml").read_text())
    return Service(
        name=name or folder.name,
        folder=folder,
        description=said["description"],
        command=tuple(said["command"]),
        ready=said["ready"],
        port=said["port"],
        install=said["needs"]["install"],
        modules=tuple(said["needs"].get("modules", ())),
        programs=tuple(said["needs"].get("programs", ())),
        cargo=said["needs"].get("cargo", ""),
        build=tuple(said.get("build", ())),
        postgres=said["needs"].get("postgres", False),
    )
