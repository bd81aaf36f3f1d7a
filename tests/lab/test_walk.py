"""Every service of the lab is started as a reader starts it, and no route of any is without its plan and its truth."""

import re
import signal
import socket
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from lab._expected import truths
from lab._services import LAB, Service, find, names, titles
from tests.cli.test_lab import in_foreground
from tocsin import scan

# How each language says that a path takes POST; what is told apart only by name stands for itself.
_POSTS = (
    r"""@(?:app|router)\.post\("([^"]+)\"""",  # Flask, FastAPI, Robyn
    r"""^    path\("([^"]+)", (?!read|creating)\w+\)""",  # Django
    r"""app\.post\("([^"]+)\"""",  # Express
    r"""HandleFunc\("POST ([^"]+)\"""",  # Go
    r"""\.route\("([^"]+)", post\(\)""",  # Actix
    r"""resource\("([^"]+)",""",  # Actix, guarded
)
_BLANK = re.compile(r"\{\{?\w+\}?\}|<\w+(?::\w+)?>|:\w+")


@dataclass(frozen=True, slots=True)
class Walked:
    """What became of `tocsin lab run NAME`, which was told to stop as soon as it had said how to scan the service.

    Args:
        listened: whether it said where, and answered there.
        plans: of the commands that it printed.
        returncode: its own.
        last: the last line that it printed.
        err: what it said on standard error.
        is_gone: whether nothing listens there any more.
    """

    listened: bool
    plans: list[str]
    returncode: int
    last: str
    err: str
    is_gone: bool


@pytest.fixture(scope="module")
def walk() -> Iterator[Mapping[str, "Future[Walked]"]]:
    """All of them, a few at a time: most of the time they wait."""
    with ThreadPoolExecutor(4) as some:
        yield {name: some.submit(walked, find(name)) for name in names() if not find(name).missing()}


@pytest.mark.parametrize("name", names())
def test_it_starts_says_where_and_how_to_scan_it_and_stops_at_ctrl_c(
    name: str, walk: Mapping[str, "Future[Walked]"]
) -> None:
    service = find(name)
    if missing := service.missing():
        pytest.skip(f"{name} needs {missing}")
    seen = walk[name].result()
    plans = [str(each.plan.relative_to(LAB.parent)) for each in (service, *service.others())]
    # A compiler says on standard error how far it is.
    err = "" if service.build and "Traceback" not in seen.err else seen.err
    assert replace(seen, err=err) == Walked(True, plans, 0, f"{name} is stopped.", "", True)


def walked(service: Service) -> Walked:
    with in_foreground("run", service.name, "--port", "0") as process:
        assert process.stdout is not None
        shown = ""
        # Not by `said`, whose buffer swallows what comes after the first command.
        while shown.count("tocsin scan ") <= len(service.others()) and (line := process.stdout.readline()):
            shown += line
        found = re.search(rf"{service.name} listens on http://127\.0\.0\.1:(\d+); Ctrl-C stops it", shown)
        port = int(found[1]) if found else 0
        listened = bool(port) and answers(port, service.ready)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    plans = re.findall(r"tocsin scan (\S+)", shown)
    with socket.socket() as probe:
        is_gone = probe.connect_ex(("127.0.0.1", port)) != 0
    return Walked(listened, plans, process.returncode, (out.splitlines() or [""])[-1], err, is_gone)


def answers(port: int, path: str) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status == 200


@pytest.mark.parametrize("name", names())
def test_every_path_that_takes_a_post_is_in_one_of_its_plans(name: str) -> None:
    service = find(name)
    found = {path for pattern in _POSTS for path in re.findall(pattern, source_of(service), re.MULTILINE)}
    assert len(found) > 1, "one operation, and the reset at least"
    named = {path for each in (service, *service.others()) for path in paths_of(each.plan)}
    # What only sets up may be left to the tests.
    assert {shape(path) for path in found} - {"/items", "/accounts", "/coupons"} <= named


def source_of(service: Service) -> str:
    """Its text, wherever that is."""
    command = " ".join(service.command)
    if module := re.search(r"lab\.(\w+)\.app", command):
        return (LAB / module[1] / "app.py").read_text()
    if program := re.search(r"build/lab/actix/lab/(\w+)", command):
        sources = LAB / "actix" / "services" / "src"
        return (sources / "bin" / f"{program[1]}.rs").read_text() + (sources / "desk.rs").read_text()
    return "\n".join(file.read_text() for ending in ("py", "js", "go") for file in service.folder.glob(f"*.{ending}"))


def paths_of(plan: Path) -> set[str]:
    """The paths that a plan sends a POST to."""
    said = tomllib.loads(plan.read_text())
    others = [*said.get("setup", ()), *said.get("also", ()), *said.get("mix", ()), said["reset"]]
    return {shape(said["request"]["path"]), *(shape(other["request"].split(" ")[1]) for other in others)}


def shape(path: str) -> str:
    """A path without the names of what changes in it."""
    return "/" + _BLANK.sub("*", path).lstrip("/")


@pytest.mark.parametrize("title", [title for title in titles() if "/" in title])
def test_the_truth_of_another_route_is_told_for_every_check(title: str) -> None:
    route = find(title)
    told = truths(route)
    assert set(told) == {check.id for check in scan.CHECKS}
    own = tomllib.loads((route.folder / f"expected-{route.route}.toml").read_text())
    # What is told again has to differ: the rest is in expected.toml already.
    assert {"concurrent-duplicate", "signed-robustness", "reordering"} <= set(own)
    for truth in told.values():
        assert (truth.verdict == "VIOLATED") == (truth.severity != "none")
        assert truth.why.strip()
    plan = tomllib.loads(route.plan.read_text())
    assert plan["target"]["base_url"] == f"http://127.0.0.1:{route.port}"
    assert plan["signing"]["secret"] == {"env": "LAB_SECRET"}
    assert ("limits" in plan) == (told["over-allocation"].verdict != "NOT_APPLICABLE")
    assert ("sequence" in plan) == (told["reordering"].verdict != "NOT_APPLICABLE")
    assert ("invariant" in plan) == (told["intermediate-state"].verdict != "NOT_APPLICABLE")
