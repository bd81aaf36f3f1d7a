"""Checks the types of each lab service alone, because every one of them is a program whose main module is app.py.

python -m tools.check_lab_types
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    services = sorted(found.parent for found in ROOT.glob("lab/*/app.py"))
    return max((check(service) for service in services), default=0)


def check(service: Path) -> int:
    """Every module of a service, which import each other as they do where it runs: in its folder."""
    command = [sys.executable, "-m", "mypy", *map(str, sorted(service.glob("*.py")))]
    # A folder that can be a package is imported from the root, as lab.NAME.
    here = {} if service.name.isidentifier() else {"MYPYPATH": str(service)}
    return subprocess.run(command, cwd=ROOT, env=os.environ | here, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
