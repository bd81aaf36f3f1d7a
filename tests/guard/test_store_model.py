"""The store against a model of it: whatever is done in whatever order, both say the same."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.guard.subjects import SQLiteSubject
from tocsin.guard.stores import Forgotten, Granted, Record
from tocsin.guard.stores.sqlite import Transaction
from tocsin.guard.testing import ANSWER, NOW_UNIX_MS, claim

KEPT_MS = 1000
NAMES = st.sampled_from(["a", "b", "c"])


class StoreMachine(RuleBasedStateMachine):
    """Takes, settles and abandons claims that are kept for a second, while the clock goes forward and back."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.subject = SQLiteSubject(Path(self.directory.name, "store.db"))
        self.store = self.subject.open()
        self.now = NOW_UNIX_MS
        self.taken_at: dict[str, int] = {}
        self.open: tuple[str, Granted[Transaction]] | None = None
        self.effects = 0

    def is_kept(self, name: str) -> bool:
        return name in self.taken_at and self.now < self.taken_at[name] + KEPT_MS

    @precondition(lambda self: self.open is None)
    @rule(name=NAMES)
    def take(self, name: str) -> None:
        taken = self.store.take(claim(name, taken_unix_ms=self.now, kept_ms=KEPT_MS), 10)
        assert not isinstance(taken, Forgotten)
        assert isinstance(taken, Record) == self.is_kept(name)
        if isinstance(taken, Granted):
            self.subject.write_effect(taken.tx)
            self.open = name, taken

    @precondition(lambda self: self.open is not None)
    @rule()
    def settle(self) -> None:
        assert self.open is not None
        name, granted = self.open
        granted.settle(ANSWER)
        self.open = None
        self.taken_at[name] = self.now
        self.effects += 1

    @precondition(lambda self: self.open is not None)
    @rule()
    def abandon(self) -> None:
        assert self.open is not None
        self.open[1].abandon()
        self.open = None

    @precondition(lambda self: self.open is None)
    @rule(by_ms=st.integers(-2 * KEPT_MS, 2 * KEPT_MS))
    def set_the_clock(self, by_ms: int) -> None:
        self.now += by_ms

    @precondition(lambda self: self.open is None)
    @rule()
    def sweep(self) -> None:
        due = [name for name in self.taken_at if not self.is_kept(name)]
        assert self.store.sweep(self.now) == len(due)
        for name in due:
            del self.taken_at[name]

    @precondition(lambda self: self.open is None)
    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.subject.open()

    @rule(name=NAMES)
    def look(self, name: str) -> None:
        found = self.store.look(claim(name).key)
        assert (found is not None) == (name in self.taken_at)
        assert found is None or (found.status, found.body) == (ANSWER.status, ANSWER.body)

    @invariant()
    def every_effect_belongs_to_a_settled_claim(self) -> None:
        assert self.subject.effects() == self.effects

    def teardown(self) -> None:
        if self.open is not None:
            self.open[1].abandon()
        self.store.close()
        self.directory.cleanup()


StoreMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestStoreAgainstItsModel = StoreMachine.TestCase
