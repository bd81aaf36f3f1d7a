"""The Django store where SQLite has its own ways: what a COMMIT has done that failed."""

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.django.shop import DjangoShop
from tests.guard.test_sqlite_faults import error
from tocsin.guard.stores.django._sqlite import SQLite

on_sqlite = pytest.mark.parametrize("vendor", ["sqlite"])


class Cut:
    """A driver's connection whose COMMIT fails, having been done or not."""

    def __init__(self, raw: Any, code: int, *, lands: bool) -> None:
        self.raw = raw
        self.code = code
        self.lands = lands

    def execute(self, sql: str) -> None:
        if self.lands:
            self.raw.execute(sql)
        raise error(self.code)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Cuts the next COMMIT."""

    def cut_next(code: int, *, lands: bool) -> None:
        commit, left = SQLite.commit, [None]

        def cut(database: SQLite, raw: Any) -> Any:
            return commit(database, Cut(raw, code, lands=lands) if left and not left.pop() else raw)

        monkeypatch.setattr(SQLite, "commit", cut)

    return cut_next


@on_sqlite
@pytest.mark.parametrize("lands", [True, False])
def test_what_a_commit_has_done_that_met_an_input_output_error_is_found_out_by_taking_the_claim_again(
    shop: DjangoShop, cut: Callable[..., None], *, lands: bool
) -> None:
    """Not committed: the handler runs again. Committed: the stored answer is sent. One order either way."""
    cut(sqlite3.SQLITE_IOERR, lands=lands)
    answer = shop.order()
    assert (answer.status, answer.is_replay, shop.runs) == (201, lands, 1 if lands else 2)
    assert shop.site.orders == ["17"]
    assert shop.order().body == answer.body


@on_sqlite
def test_a_commit_that_found_the_disk_full_is_known_not_to_have_landed(
    shop: DjangoShop, cut: Callable[..., None]
) -> None:
    cut(sqlite3.SQLITE_FULL, lands=False)
    assert (shop.order().status, shop.runs, shop.site.orders) == (503, 1, [])
    assert (shop.order().status, shop.site.orders) == (201, ["17"])
