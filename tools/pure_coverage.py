"""Holds the PURE modules to full branch coverage. Their list is the import contract's, so the two cannot differ.

python -m tools.pure_coverage
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pure_files() -> list[str]:
    """The files of the modules that the contract "pure" names; of a package, all of it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    modules = next(contract["source_modules"] for contract in contracts if contract.get("id") == "pure")
    paths = [Path("src", *module.split(".")) for module in modules]
    return [f"{path}/*" if (ROOT / path).is_dir() else f"{path}.py" for path in paths]


def main() -> int:
    include = ",".join(pure_files())
    command = [sys.executable, "-m", "coverage", "report", "--fail-under=100", f"--include={include}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
