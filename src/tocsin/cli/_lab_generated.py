"""`tocsin lab generate` and `tocsin lab verify`: services from a seed, and what a brute force sees of their truth."""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab._services import Service  # not in the wheel


def add_generated_to(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", port: Callable[[str], int]
) -> None:
    """Add both subcommands of `lab`; `port` understands a port."""
    generate = commands.add_parser("generate", help="write a service that nobody has looked at, and start it")
    generate.add_argument("seed", metavar="SEED", type=_seed, help="a whole number: the same one, the same service")
    generate.add_argument(
        "--into", type=Path, metavar="FOLDER", help="where it is written; default: a folder that goes when it stops"
    )
    generate.add_argument("--port", type=port, metavar="N", help="default: the port in its plan; 0: any free one")
    generate.add_argument("--no-start", dest="start", action="store_false", help="only write it; needs --into")
    verify = commands.add_parser("verify", help="ask a service by brute force whether its expected.toml is true")
    verify.add_argument(
        "name", metavar="NAME", help="a seed, a folder that `generate` wrote, a service of the lab, or SERVICE/ROUTE"
    )


@contextlib.contextmanager
def written(seed: int, folder: Path | None) -> "Iterator[Service]":
    """The service of a seed in that folder, or in one that is removed at the end.

    Raises:
        LabError: the folder has other files in it.
    """
    from lab.generated import generate  # noqa: PLC0415  not in the wheel

    if folder is not None:
        yield generate(seed, folder.absolute())
        return
    with tempfile.TemporaryDirectory(prefix=f"tocsin-generated-{seed}-") as temporary:
        yield generate(seed, Path(temporary))


def verify(name: str) -> int:
    """Start the service and hold its expected.toml against what threads and plain HTTP see: 0 if it stands, else 1.

    Raises:
        LabError: no such service, or it does not start.
    """
    from lab._verify import verified  # noqa: PLC0415  not in the wheel

    wrong = 0
    for confirmation in verified(name):
        wrong += not confirmation.is_right
        seen = f"seen {confirmation.seen}" if confirmation.seen else f"a brute force cannot tell: {confirmation.why}"
        mark = ("right" if confirmation.is_right else "WRONG") if confirmation.seen else "  -  "
        print(f"{mark}  {confirmation.check}: expected {confirmation.expected}, {seen}", flush=True)
    print("expected.toml stands." if not wrong else f"expected.toml is wrong about {wrong} of them.")
    return 1 if wrong else 0


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"seed {text!r}: wanted a whole number such as 17")
    return int(text)
