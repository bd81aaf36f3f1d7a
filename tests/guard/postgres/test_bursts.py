"""Identical requests that reach the store at once, with nothing before it that would let them wait in a process."""

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.guard.postgres.cluster import Database

BURST = Path(__file__).with_name("services") / "burst.py"
GRANTED = "granted"


def burst(kinds: list[str], count: int, database: Database) -> Counter[str]:
    """So many requests from each of the processes; what they were told."""
    told: Counter[str] = Counter()
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(BURST), kind, str(count), database.conninfo()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for kind in kinds
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            told.update(json.loads(process.communicate()[0]))
    return told


@pytest.mark.parametrize("kinds", [["threads"], ["tasks"], ["threads", "tasks"]], ids="+".join)
@pytest.mark.parametrize("level", ["read committed", "serializable"])
def test_of_64_identical_requests_at_once_one_is_granted_and_all_others_get_its_answer(
    kinds: list[str], level: str, database: Database
) -> None:
    """In one process, and in two."""
    database.query(f"ALTER DATABASE \"{database.name}\" SET default_transaction_isolation = '{level}'")
    told = burst(kinds, 64 // len(kinds), database)
    assert told.pop(GRANTED) == 1
    assert list(told.values()) == [63]
    assert (database.orders, database.claims) == (["17"], 1)
