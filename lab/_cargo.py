"""Rust's package manager: whether there is one that builds the lab's services."""

import re
import shutil
import subprocess

_VERSION = re.compile(r"cargo ([0-9]+)\.([0-9]+)")


def missing(oldest: str) -> str:
    """Why nothing can be built here, or "".

    Args:
        oldest: the oldest version that will do: "1.89".
    """
    program = shutil.which("cargo")
    if program is None:
        return "the program cargo"
    # rustup puts a cargo in PATH that asks which toolchain is meant, and there may be none for this user.
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = _VERSION.match(said.stdout)
    if said.returncode or found is None:
        why = next(iter(said.stderr.strip().splitlines()), "it does not say its version")
        return f"a cargo that works ({why})"
    if tuple(map(int, found.groups())) < tuple(map(int, oldest.split("."))):
        return f"cargo {oldest} or later, and this is {said.stdout.strip()}"
    return ""
