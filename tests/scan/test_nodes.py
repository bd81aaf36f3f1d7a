"""Several instances of one service: the members of a burst take turns, and so do requests one after the other."""

import pytest

from tests.scan.services.desk import SECRET, Asked, Desk
from tests.scan.services.plans import merged, shortest
from tests.scan.services.scanning import DUPLICATES, REPLAYS, planned
from tests.scan.services.serving import serving
from tocsin.events import Event, FindingMade
from tocsin.findings import Verdict
from tocsin.scan import CHECKS, Options, RailError, addresses, authorise, plan_from_tables, run
from tocsin.signing import Secret

pytestmark = pytest.mark.usefixtures("brisk")


class Node(Desk):
    """Shares its state with the first node, and remembers orders of its own alone."""

    def __init__(self, first: Desk | None = None) -> None:
        super().__init__()
        self.mine: set[str] = set()
        if first is not None:
            self.lock, self.stock, self.orders = first.lock, first.stock, first.orders

    def is_new(self, order: object, _asked: Asked) -> bool:
        assert isinstance(order, dict)
        is_new = order["order_id"] not in self.mine
        self.mine.add(order["order_id"])
        return is_new


@pytest.mark.parametrize("check", [DUPLICATES, REPLAYS])
def test_what_each_node_remembers_alone_shows_when_members_take_turns(check: str) -> None:
    first = Node()
    second = Node(first)
    events: list[Event] = []
    with serving(first), serving(second):
        plan = planned(first, target={"base_url": first.base_url, "nodes": [first.base_url, second.base_url]})
        chosen = [one for one in CHECKS if one.id == check]
        run(plan, Secret(SECRET.encode()), addresses(plan), Options(chosen, 1, ("tocsin",)), events.append)
        alone = planned(first)
        run(alone, Secret(SECRET.encode()), addresses(alone), Options(chosen, 1, ("tocsin",)), events.append)
    verdicts = [event.finding.verdict for event in events if isinstance(event, FindingMade)]
    assert verdicts == [Verdict.VIOLATED, Verdict.NOT_OBSERVED]
    assert first.orders_asked()
    assert second.orders_asked()


def test_a_node_elsewhere_needs_a_permission_of_its_own() -> None:
    tables = merged(shortest(), {"target": {"nodes": ["http://127.0.0.1:8000", "http://node.example"]}})
    with pytest.raises(RailError, match=r"--authorized-for node\.example"):
        authorise(plan_from_tables(tables, "x"), [], accept_effects=5)
