"""One message, sent again later: on new connections, in other spellings, and after growing waits."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.scan.services.desk import Answer, Asked, Desk
from tests.scan.services.limited import LimitedById
from tests.scan.services.racy import Unlocked
from tests.scan.services.scanning import DUPLICATES, REPLAYS, Scan, scan
from tests.scan.services.stamped import STAMPED, Stamped
from tocsin.findings import Severity, Verdict

pytestmark = pytest.mark.usefixtures("brisk")


def replayed(desk: Desk, **changed: Any) -> Scan:
    return scan(desk, REPLAYS, **{"budget": {"seconds": 4}, **changed})


class Forgetful(Desk):
    """Remembers nothing."""

    def is_new(self, *_: object) -> bool:
        return True


def test_a_replay_with_an_effect_is_violated_and_concurrent_duplicate_says_also_sequential() -> None:
    found = scan(Forgetful(), REPLAYS, DUPLICATES)
    replays, duplicates = found.findings[REPLAYS], found.findings[DUPLICATES]

    assert (replays.verdict, replays.severity, replays.effects) == (Verdict.VIOLATED, Severity.HIGH, 5)
    assert replays.evidence.summary == (
        "8 replays on new connections: 5 effects of one message; 1 is allowed (stock = 5; then stock = 0). "
        "With another message it came back."
    )
    assert replays.remedy is not None
    assert replays.remedy.text.startswith("Nothing remembers the message")
    assert duplicates.verdict is Verdict.VIOLATED
    assert duplicates.evidence.facts["also_sequential"] is True


def test_a_race_alone_is_no_replay() -> None:
    assert replayed(Unlocked()).finding.verdict is Verdict.NOT_OBSERVED


def test_a_clean_result_says_how_many_replays_there_were_and_how_long_was_waited() -> None:
    desk = Desk()
    found = replayed(desk, budget={"seconds": 8})
    bound = found.finding.bound

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert bound is not None
    waits = [step["waited_s"] for step in found.fact("steps") if step["waited_s"]]
    assert waits == sorted(waits)
    assert waits
    assert bound.trials == 8 + 2 + 1 + len(waits) + 2
    assert bound.detail == f"the longest wait before a replay was {found.fact('longest_wait_s')} s"
    assert [step["step"] for step in found.fact("steps")][:2] == [
        "8 replays on new connections",
        "replays in other spellings: header_case, hex_case",
    ]


def test_all_replays_after_waits_are_of_one_message_and_no_reset_comes_between() -> None:
    desk = Desk()
    replayed(desk)
    resets = [place for place, asked in enumerate(desk.asked) if asked.path == "/__reset"]

    assert resets == [0, len(desk.asked) - 1]


class TextOfTheSignature(Desk):
    """Takes a signature in any case, and remembers it as it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def is_signed(self, asked: Asked) -> bool:
        return self.expected(asked) == asked.signature.lower()

    def is_new(self, _order: Mapping[str, Any], asked: Asked) -> bool:
        is_new = asked.signature not in self.seen
        self.seen.add(asked.signature)
        return is_new


def test_a_signature_in_other_letters_is_the_same_message() -> None:
    finding = replayed(TextOfTheSignature()).finding

    assert (finding.verdict, finding.effects) == (Verdict.VIOLATED, 2)
    assert finding.evidence.summary.startswith(
        "replays in other spellings: header_case, hex_case: 2 effects of one message; 1 is allowed"
    )


class ForgetsSoon(Desk):
    """Remembers an order until the stock of its item has been read for the fourth time since."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def read(self, asked: Asked) -> Answer:
        self.reads[asked.path.removeprefix("/items/")] += 1
        return super().read(asked)

    def is_new(self, order: Mapping[str, Any], _asked: Asked) -> bool:
        return order["order_id"] not in self.orders or self.reads[order["item"]] == 5


def test_a_service_that_forgets_is_found_by_a_replay_after_a_wait() -> None:
    finding = replayed(ForgetsSoon()).finding

    assert (finding.verdict, finding.effects) == (Verdict.VIOLATED, 2)
    assert " s later: 2 effects of one message; 1 is allowed" in finding.evidence.summary


def test_no_replay_is_sent_once_its_timestamp_is_too_old_to_be_accepted() -> None:
    found = replayed(Stamped(), signing=STAMPED | {"tolerance_past_s": 0.35}, budget={"seconds": 30})

    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.fact("longest_wait_s") <= 0.4


class RemembersTheLast(Desk):
    """Remembers the last few orders."""

    def __init__(self, few: int) -> None:
        super().__init__(stock=10)
        self.few = few
        self.last: list[str] = []

    def is_new(self, order: Mapping[str, Any], _asked: object) -> bool:
        return order["order_id"] not in self.last

    def take(self, order: Mapping[str, Any]) -> None:
        super().take(order)
        self.last = [*self.last, order["order_id"]][-self.few :]


@pytest.mark.parametrize(("few", "others"), [(1, "another message"), (2, "all other messages")])
def test_a_memory_for_the_last_few_messages_is_found_by_a_replay_after_others(few: int, others: str) -> None:
    finding = replayed(RemembersTheLast(few)).finding
    assert (finding.verdict, finding.effects) == (Verdict.VIOLATED, 2)
    assert finding.evidence.summary.startswith(f"a replay after {others}: 2 effects of one message; 1 is allowed")


def test_no_replay_after_others_is_sent_where_they_use_up_what_only_a_reset_brings_back() -> None:
    found = replayed(Desk(), limits={"effects": 12, "per": []})
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert not [step for step in found.fact("steps") if "after a" in step["step"]]


class ReadsStaleOnce(Desk):
    """The second read after a number of orders shows the stock as it was before the last of them."""

    def __init__(self, at_order: int) -> None:
        super().__init__()
        self.at_order = at_order

    def read(self, asked: Asked) -> Answer:
        answer = super().read(asked)
        with self.lock:
            if len(self.orders_asked()) == self.at_order and self.is_second_read():
                assert isinstance(answer.document, dict)
                return Answer(200, {"stock": answer.document["stock"] + 1})
        return answer

    def is_second_read(self) -> bool:
        """Whether one read has followed the last order: this one is what the next trial begins with."""
        reads = [asked.method == "GET" for asked in self.asked[-3:]]
        return reads == [False, True, True]


def test_a_read_that_shows_an_older_state_makes_no_second_effect() -> None:
    # The control, two that ask for room, two blocks of nine and three, one
    # replay after another message, and then the message that is replayed after waits.
    finding = replayed(ReadsStaleOnce(at_order=17)).finding
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the state moved between two replays (stock = 4; then stock = 5)" in finding.evidence.summary


def test_a_limiter_that_turns_replays_away_is_no_memory() -> None:
    finding = replayed(LimitedById(1)).finding

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.evidence.summary == "a message and its replays had 1 effects and were answered 1 x 200, 8 x 429"


def test_replays_that_a_limiter_turns_away_are_not_counted() -> None:
    found = replayed(LimitedById(3), budget={"seconds": 20})
    replays = [step["replays"] for step in found.fact("steps")]

    # At once two of eight get through, both respellings, and of the replays after waits the first two.
    assert replays[:2] == [2, 2]
    assert 1 <= len(replays[2:]) <= 2
    assert found.finding.bound is not None
    assert found.finding.bound.trials == sum(replays)


class RefusesOneMoreMessage(Desk):
    """Takes some messages and then, without a word of why, no other ones."""

    def __init__(self, messages: int) -> None:
        super().__init__()
        self.messages = messages

    def signed(self, asked: Asked) -> Answer:
        if asked.document["order_id"] not in self.orders and len(self.orders) >= self.messages:
            return Answer(403)
        return super().signed(asked)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (3, "a message and its replays had 0 effects and were answered 9 x 403"),
        (4, "a message and its replays had 0 effects and were answered 1 x 401, 2 x 403"),
        (5, "a message to replay later was answered 403 and had no effect"),
    ],
)
def test_replays_of_a_message_that_was_never_accepted_tell_nothing(messages: int, said: str) -> None:
    finding = replayed(RefusesOneMoreMessage(messages)).finding
    assert (finding.verdict, finding.evidence.summary) == (Verdict.INCONCLUSIVE, said)


def test_what_a_budget_cuts_short_is_said_and_without_any_replay_it_stays_open() -> None:
    found = replayed(Desk(), budget={"requests": 40})
    assert found.finding.verdict is Verdict.NOT_OBSERVED
    assert found.finding.bound is not None
    assert found.finding.bound.detail.endswith("; the budget of 40 requests is used up")

    none = replayed(Desk(), budget={"requests": 14})
    assert none.finding.verdict is Verdict.INCONCLUSIVE
    assert none.finding.evidence.summary == "the budget of 14 requests is used up"
