"""The flow where a store can tell more: transactions that conflict, keys in use elsewhere, looks that cost too much."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.guard.shop import Shop
from tests.guard.test_flow import GRANT, OK, STORED, Playbook, granted, message, operation, play, record
from tocsin.guard import _drivers, _problems
from tocsin.guard._answer import replay
from tocsin.guard._errors import CommitUnknown, KeyInUse, TransactionConflict
from tocsin.guard._flow import Ended, guarded
from tocsin.guard._log_events import Ending
from tocsin.guard._steps import Abandon, Conflicted, Join, Look, Pause, Returned, Run, Settle, Take
from tocsin.guard._store import Declares
from tocsin.guard.stores.sqlite import SQLiteStore
from tocsin.guard.stores.sqlite._unit import Unit

MakeShop = Callable[..., Shop]


def taken_again(book: Playbook, reply: object = GRANT) -> None:
    book.expect(Join, None)
    book.expect(Take, reply)


def test_a_handler_whose_transaction_conflicted_is_undone_and_runs_again_after_a_pause() -> None:
    book = granted()
    book.expect(Run, Conflicted())
    book.expect(Abandon)
    assert book.expect(Pause).attempt == 1
    taken_again(book)
    book.expect(Run, Returned(OK))
    book.expect(Settle)
    assert book.ended() == Ended(OK)


def test_a_conflict_at_commit_runs_it_again_too() -> None:
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, TransactionConflict("write skew"))
    book.expect(Pause)
    taken_again(book, record())
    assert book.ended() == Ended(replay(STORED, None), Ending.REPLAYED)


def test_a_handler_that_conflicts_every_time_is_503_after_six_runs() -> None:
    book = granted()
    for attempt in range(1, 6):
        book.expect(Run, Conflicted())
        book.expect(Abandon)
        assert book.expect(Pause).attempt == attempt
        taken_again(book)
    book.expect(Run, Conflicted())
    book.expect(Abandon)
    ended = book.ended()
    assert (ended.answer, ended.ending) == (_problems.UNAVAILABLE, Ending.CONFLICTED)
    assert "it ran 6 times" in ended.reason


def test_a_lost_commit_is_not_counted_as_a_conflict() -> None:
    book = granted()
    book.expect(Run, Conflicted())
    book.expect(Abandon)
    book.expect(Pause)
    taken_again(book)
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost"))
    taken_again(book)
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost again"))
    assert book.ended().answer == _problems.UNAVAILABLE


def test_a_key_that_another_process_is_still_applying_is_409() -> None:
    book = play()
    book.expect(Look, None)
    book.expect(Join, None)
    book.expect(Take, KeyInUse("waited"))
    ended = book.ended()
    assert (ended.answer, ended.ending) == (_problems.IN_PROGRESS, Ending.IN_PROGRESS)


def test_a_key_in_use_after_a_lost_commit_is_503_because_the_commit_may_be_its_own() -> None:
    book = granted()
    book.expect(Run, Returned(OK))
    book.expect(Settle, CommitUnknown("lost"))
    taken_again(book, KeyInUse("waited"))
    ended = book.ended()
    assert ended.answer == _problems.UNAVAILABLE
    assert "cannot be told in time" in ended.reason


def test_only_the_look_before_a_take_is_a_hint() -> None:
    """The one after a wait has to be made."""
    flow = guarded(operation(), message(), 1_790_000_000.0)
    assert next(flow).is_hint  # type: ignore[attr-defined]
    assert not Look(b"").is_hint


def test_a_driver_skips_the_hint_where_a_look_costs_as_much_as_a_take(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared = Declares(atomic=True, durable=True, cross_process=True, looks_first=False)
    monkeypatch.setattr(SQLiteStore, "declares", declared)
    monkeypatch.setattr(SQLiteStore, "look", lambda *_: pytest.fail("it was asked"))
    shop = make_shop()
    assert shop.order().data == shop.order().data
    assert shop.runs == 1


def test_a_driver_runs_a_handler_again_when_the_store_says_so(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the handler returned or raised; after pauses that are random and grow."""
    pauses: list[float] = []
    asked: list[BaseException | None] = []

    def conflicts(_: Unit, error: BaseException | None) -> bool:
        asked.append(error)
        return shop.runs < 3

    def order(*arguments: Any) -> Any:
        if shop.runs == 1:
            raise RuntimeError("conflict")
        return shop_order(*arguments)

    monkeypatch.setattr(Unit, "conflicts", conflicts)
    monkeypatch.setattr(_drivers, "sleep", pauses.append)
    shop = make_shop()
    shop_order, shop.handler = shop.handler, order
    assert shop.order().status_code == 200
    assert (shop.runs, shop.orders) == (3, ["17"])
    assert [type(error) for error in asked] == [RuntimeError, type(None), type(None)]
    assert [0 <= pause <= _drivers._FIRST_PAUSE_S * 2**number for number, pause in enumerate(pauses, 1)] == [True, True]


def test_whoever_stops_a_handler_does_not_get_it_run_again(
    make_shop: MakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Unit, "conflicts", lambda *_: True)

    def stopped(*_: object) -> Any:
        raise KeyboardInterrupt

    shop = make_shop(handler=stopped)
    with pytest.raises(KeyboardInterrupt):
        shop.order()
    assert (shop.runs, shop.orders, shop.claims) == (1, [], 0)
