"""Holds the PURE modules to full branch coverage. Their list is the import contract's, so the two cannot differ.

python -m tools.pure_coverage
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def patterns() -> tuple[list[str], list[str]]:
    """The files of the modules that the contract "pure" names, of a package all of it; and of those it excepts."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    pure = next(contract for contract in contracts if contract.get("id") == "pure")
    paths = [Path("src", *module.split(".")) for module in pure["source_modules"]]
    excepted = {exception.partition(" -> ")[0].replace(".", "/") for exception in pure["ignore_imports"]}
    return [f"{path}/*" if (ROOT / path).is_dir() else f"{path}.py" for path in paths], [
        f"src/{one}" for one in excepted
    ]


def main() -> int:
    include, omit = (",".join(some) for some in patterns())
    command = [sys.executable, "-m", "coverage", "report", "--fail-under=100", f"--include={include}", f"--omit={omit}"]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
