"""Kill -9 before each SQL statement of a guarded request, and after the last: the crash matrix of the SQLite store."""

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guard.shop import Shop
from tocsin.guard.stores.sqlite import SQLiteStore

MakeShop = Callable[..., Shop]


def dies_before(number: int, said: int) -> Callable[[sqlite3.Connection], None]:
    """Set-up of a connection: it tells each statement through a pipe, and kills its process before one of them.

    Args:
        number: which statement since BEGIN, counted from 0, is never begun.
        said: where it tells them.
    """
    count = -1

    def trace(statement: str) -> None:
        nonlocal count
        if statement.startswith("BEGIN") or count >= 0:
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            os.write(said, " ".join(statement.split())[:30].encode() + b"\n")

    return lambda connection: connection.set_trace_callback(trace)


def killed_before(number: int, path: Path, make_shop: MakeShop) -> list[str]:
    """Send an order in a process that dies before that statement; the statements that were begun."""
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            shop = make_shop(path=path, store=SQLiteStore(path, on_connect=dies_before(number, says)))
            shop.order()
        finally:
            os._exit(0)
    os.close(says)
    with os.fdopen(hears) as told:
        statements = told.read().splitlines()
    os.waitpid(child, 0)
    return statements


def crash_before_statement(number: int, path: Path, make_shop: MakeShop) -> list[str]:
    """The promise: whatever was left behind, sending again applies the order once, with one answer."""
    begun = killed_before(number, path, make_shop)
    shop = make_shop(path=path)
    answers = [shop.order() for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].data
    assert answers[0].data == answers[1].data
    assert shop.orders == ["17"]
    return begun


# BEGIN, claim, the handler's INSERT, answer, COMMIT; and the sixth, which is none, so that the process dies by itself.
@pytest.mark.parametrize("number", range(6))
def test_a_crash_before_any_statement_leaves_all_of_it_or_none_of_it(
    make_shop: MakeShop, tmp_path: Path, number: int
) -> None:
    begun = crash_before_statement(number, tmp_path / "crashed.db", make_shop)
    assert len(begun) == number if number < 5 else begun[-1].startswith("COMMIT")
