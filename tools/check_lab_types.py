"""Checks the types of each lab service alone, because every one of them is a program called app.py.

python -m tools.check_lab_types
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    services = sorted(ROOT.glob("lab/*/app.py"))
    codes = [
        subprocess.run([sys.executable, "-m", "mypy", str(service)], cwd=ROOT, check=False).returncode
        for service in services
    ]
    return max(codes, default=0)


if __name__ == "__main__":
    sys.exit(main())
