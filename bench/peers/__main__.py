"""Today's idempotency libraries and this guard through the same cases, side by side.

python -m bench.peers [NAME ...]

Makes build/peers-venv from bench/peers/constraints.txt, serves the same endpoint behind each library, set up as its own
documentation says, and writes what came of every case to bench/results/peers.json. Exit code 1 if a case of ours is not
right. Libraries that keep their records in Redis need a redis-server and are left out without one.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from bench._host import facts
from bench.peers.cases import CASES, Outcome
from bench.peers.running import HERE, OUR_PYTHON, ROOT, Library, Redis, Service

RESULTS = ROOT / "bench" / "results" / "peers.json"
CONSTRAINTS = HERE / "constraints.txt"
VENV = ROOT / "build" / "peers-venv"
_PYTHON = VENV / "bin" / "python"


def _peer(name: str, *, needs_redis: bool = False, is_for_functions: bool = False) -> Library:
    key = name.replace("-", "_")
    return Library(name, _PYTHON, "service", key, needs_redis=needs_redis, is_for_functions=is_for_functions)


LIBRARIES = (
    Library("tocsin on FastAPI", OUR_PYTHON, "ours", "tocsin on FastAPI", is_signed=True),
    Library("tocsin on Flask", OUR_PYTHON, "ours", "tocsin on Flask", is_signed=True, is_wsgi=True),
    _peer("fastapi-idempotency"),
    _peer("fastapi-idempotency-key"),
    _peer("fastidempotent"),
    _peer("idemkit", needs_redis=True),
    _peer("ichido", needs_redis=True),
    _peer("asgi-idempotency-header", needs_redis=True),
    _peer("aws-lambda-powertools", needs_redis=True, is_for_functions=True),
    _peer("exactly-once", is_for_functions=True),
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="today's idempotency libraries and this guard, side by side")
    parser.add_argument("names", nargs="*", help="only these libraries; nothing is written then")
    names = parser.parse_args(argv).names
    chosen = [library for library in LIBRARIES if not names or library.name in names]
    _make_environment()
    began = time.monotonic()
    results = dict(_results(chosen))
    seconds = round(time.monotonic() - began, 1)
    if not names:
        document = {"host": facts() | {"seconds": seconds}, "versions": _versions(), "results": results}
        RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{seconds} s")
    ours = [result for name, result in results.items() if name.startswith("tocsin")]
    return int(any(not case["is_right"] for result in ours for case in result.values()))


def _results(chosen: Sequence[Library]) -> Iterator[tuple[str, dict[str, dict[str, object]]]]:
    with ExitStack() as stack:
        program = shutil.which("redis-server")
        redis = stack.enter_context(Redis(program)) if program else ""
        for library in chosen:
            if library.needs_redis and not redis:
                print(f"{library.name}: left out; apt-get install redis-server")
                continue
            result = {}
            for name, outcome in _outcomes(library, redis):
                result[name] = {"words": outcome.words, "is_right": outcome.is_right}
                print(f"{library.name:<26}{'  ' if outcome.is_right else '! '}{name:<56}{outcome.words}", flush=True)
            yield library.name, {case.name: result[case.name] for case in CASES if case.name in result}


def _outcomes(library: Library, redis: str) -> Iterator[tuple[str, Outcome]]:
    for workers, lease_s in dict.fromkeys((case.workers, case.lease_s) for case in CASES):
        with (
            tempfile.TemporaryDirectory(prefix="tocsin-peers-") as data,
            Service(library, Path(data), workers, redis, lease_s) as service,
        ):
            for case in CASES:
                is_meant = not (case.is_http and library.is_for_functions)
                if is_meant and (case.workers, case.lease_s) == (workers, lease_s):
                    yield case.name, case.run(service)


def _make_environment() -> None:
    """Once for each state of the constraints."""
    stamp = VENV / "constraints.txt"
    wanted = CONSTRAINTS.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    pip = [str(_PYTHON), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--constraint"]
    # The one that comes with Python does not know dependency groups.
    subprocess.run([*pip, str(ROOT / "constraints.txt"), "--upgrade", "pip"], check=True)
    subprocess.run([*pip, str(CONSTRAINTS), "--group", f"{ROOT / 'pyproject.toml'}:peers"], check=True)
    stamp.write_text(wanted)


def _versions() -> dict[str, str]:
    pinned = dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    found = {library.name: pinned.get(library.name, "") for library in LIBRARIES}
    return {name: number or version("tocsin") for name, number in found.items()}


if __name__ == "__main__":
    sys.exit(main())
