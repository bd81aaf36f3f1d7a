"""What expected.toml says about the races, seen by a brute force that shares no code with the scanner.

The services are each other's twins: the same bursts that show nothing on one have shown the race on the other.
"""

from lab._bruteforce import OrderDesk

# On flask-vulnerable a burst of 16 showed the race in 0.8 of 60 bursts on two cores; 60 miss it on no machine.
BURSTS = 60
SIZE = 16


def test_flask_vulnerable_applies_one_order_several_times_at_once(vulnerable: OrderDesk) -> None:
    assert any(vulnerable.duplicates(SIZE) > 1 for _ in range(BURSTS))


def test_flask_vulnerable_sells_more_than_it_has(vulnerable: OrderDesk) -> None:
    assert any(vulnerable.oversold(SIZE) > 0 for _ in range(BURSTS))


def test_flask_vulnerable_sells_what_it_has_one_after_the_other(vulnerable: OrderDesk) -> None:
    item = vulnerable.new_item(stock=2)
    assert [vulnerable.send(*vulnerable.order(item)).status for _ in range(3)] == [200, 200, 409]


def test_flask_published_applies_one_order_once_however_many_arrive_together(published: OrderDesk) -> None:
    assert {published.duplicates(SIZE) for _ in range(BURSTS)} == {1}


def test_flask_guarded_applies_one_order_once_however_many_arrive_together(guarded: OrderDesk) -> None:
    assert {guarded.duplicates(SIZE) for _ in range(BURSTS)} == {1}


def test_flask_guarded_never_sells_more_than_it_has(guarded: OrderDesk) -> None:
    assert {guarded.oversold(SIZE) for _ in range(BURSTS)} == {0}
