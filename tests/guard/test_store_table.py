"""The table in docs/guard-stores.md is true, cell by cell."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guard.redis.server import missing
from tests.guard.store_table import DESKS, ROWS, Desk, OnRedis, Row


@pytest.fixture(params=DESKS, ids=lambda desk: desk.__name__)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if issubclass(request.param, OnRedis) and missing():
        pytest.skip(missing())
    made: Desk = request.param(tmp_path)
    yield made
    if isinstance(made, OnRedis):
        made.server.__exit__()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.name))
def test_so_many_effects_there_are_and_that_is_what_the_sender_is_told(desk: Desk, row: Row) -> None:
    cell = row.cells[DESKS.index(type(desk))]
    if cell is None:
        pytest.skip("there is nothing here to which that could happen")
    told = row.brought_about(desk)
    assert (desk.effects, told) == cell
