"""What failed in the last run of the tests, if it is little enough to be run again: python -m tools.failed.

Thousands of tests speak with real servers, on a machine that may be busy. As in CPython's own runs (regrtest --rerun),
what failed is run once more, by itself, and is named; many failures are no accident and are not tried again.
"""

import json
import sys
from pathlib import Path

_FAILED = Path(".pytest_cache/v/cache/lastfailed")
_MOST = 3


def again(failed: list[str]) -> str | None:
    """Why these tests are not to be run again; None: they are."""
    if not failed:
        return "no test has failed, so there is nothing to run again"
    if len(failed) > _MOST:
        return f"{len(failed)} tests have failed; at most {_MOST} are run again"
    return None


def main() -> int:
    """Name them. 0: run them again."""
    failed: list[str] = list(json.loads(_FAILED.read_text())) if _FAILED.exists() else []
    refused = again(failed)
    print(refused or "\n".join(["failed at first, and run once more:", *failed]))
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
