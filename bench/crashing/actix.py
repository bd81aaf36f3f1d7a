"""The Actix service that dies, built: lab/actix/services/src/bin/crashing.rs, the only program with crash points."""

import subprocess
import sys
from pathlib import Path

from lab._services import LAB, find

# The workspace is the lab's, and so is what it needs.
NEEDS = "actix-guarded"
FEATURES = ("--profile", "lab", "--package", "lab-actix", "--features", "crash-points")
BUILT = LAB.parent / "build" / "lab" / "actix"


def missing_rust() -> str:
    """What is needed to build and run it and not there, with the command that installs it, or ""."""
    return find(NEEDS).missing()


def built() -> Path:
    """The program. Raises CalledProcessError; what the compiler says goes to standard error."""
    command = ["cargo", "build", *FEATURES, "--bin", "crashing", "--target-dir", str(BUILT)]
    subprocess.run(command, cwd=LAB / "actix", stdout=sys.stderr, check=True)
    return BUILT / "lab" / "crashing"
