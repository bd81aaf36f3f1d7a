"""The table of answers in docs/guard.md is true, row by row, on a real file."""

import pytest

from tests.guard.answer_table import SITUATIONS, MakeShop, Situation
from tests.guard.shop import Shop, write_order


def rows(shop: Shop) -> tuple[int, int]:
    return shop.claims, len(shop.orders)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: str(situation.name))
def test_the_answer_and_what_is_written_are_what_the_table_says(situation: Situation, make_shop: MakeShop) -> None:
    sent = situation.brought_about(make_shop)
    before = rows(sent.shop)
    try:
        answer = sent.send()
        after = rows(sent.shop)
    finally:
        sent.finish()
    assert answer.status_code == situation.status
    assert ("Retry-After" in answer.headers) == situation.is_retryable == ("Retry-After" in situation.answer)
    assert (after[0] - before[0], after[1] - before[1]) == situation.written.rows


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: str(situation.name))
def test_a_status_that_the_table_names_is_the_one_that_is_sent(situation: Situation) -> None:
    """The words come from one column, the check from the other."""
    named = situation.answer[:3]
    assert not named.isdigit() or int(named) == situation.status


@pytest.mark.parametrize(
    "situation",
    [one for one in SITUATIONS if "a retry runs" in one.answer],
    ids=lambda situation: str(situation.name),
)
def test_where_all_is_rolled_back_a_retry_runs(situation: Situation, make_shop: MakeShop) -> None:
    sent = situation.brought_about(make_shop)
    sent.send()
    sent.shop.handler = write_order
    assert sent.send().status_code == 200
    assert sent.shop.orders == ["17"]
