"""Kill -9 a guarded service at random moments under load, restart it, send everything again.

Knows nothing of the service but how to start it, how to send an order and how to count what was applied.
"""

import http.client
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Protocol

from tests.guard.server import Reply

# Pairs of clients send the same orders, so that duplicates race while the service dies.
PAIRS = 4
# In most rounds the service dies among its first dozens of orders; more would only make the rounds longer.
MOST_ANSWERS = 60
LONGEST_DELAY_S = 0.004
# The guard may ask a duplicate to come again; everything else is an answer that has to stay the same.
COME_AGAIN = frozenset({409, 503})


class Running(Protocol):
    """A service that is up."""

    def order(self, order_id: str) -> Reply:
        """Send a signed order. Raises OSError or HTTPException when the service is gone."""
        ...

    def kill(self) -> None:
        """Kill -9 every process of it."""
        ...


@dataclass(slots=True)
class Ledger:
    """What the clients know: which orders were tried, and who got which answer."""

    tried: dict[str, None] = field(default_factory=dict)
    answers: dict[str, list[Reply]] = field(default_factory=dict)
    changed: Condition = field(default_factory=Condition)

    def note(self, order_id: str, reply: Reply) -> None:
        """An answer that a client has in hand."""
        if reply.status in COME_AGAIN:
            return
        with self.changed:
            self.answers.setdefault(order_id, []).append(reply)
            self.changed.notify_all()

    def await_answers(self, count: int) -> None:
        """Wait until that many orders have been answered."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.answers) >= count, timeout=60), "the service does not answer"


@dataclass(slots=True)
class Crashed:
    """What came of it.

    Args:
        orders: every order that was tried.
        unanswered: how many of them were cut off before anybody had an answer.
        wrong: a sentence for each broken promise.
    """

    orders: list[str] = field(default_factory=list)
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)


def crash(start: Callable[[], Running], applied: Callable[[], Sequence[str]], *, rounds: int, seed: int) -> Crashed:
    """Crash a service that many times.

    Args:
        start: starts it, on what the last crash left behind, and waits until it answers.
        applied: the orders that are applied, each as often as it was, read from where they are kept.
        rounds: how many crashes.
        seed: of their moments.
    """
    rng = random.Random(seed)
    result = Crashed()
    service = start()
    try:
        for number in range(rounds):
            ledger = _load_until_killed(service, number, rng)
            result.unanswered += sum(order_id not in ledger.answers for order_id in ledger.tried)
            # The one that answers again is the next one to be killed: a start takes longer than all that follows it.
            service = start()
            _send_again(service, ledger)
            result.orders += ledger.tried
            result.wrong += [f"round {number}: {problem}" for problem in _broken_promises(ledger, applied())]
    finally:
        service.kill()
    return result


def _load_until_killed(service: Running, number: int, rng: random.Random) -> Ledger:
    ledger, over = Ledger(), Event()
    names = [[f"{number}-{pair}-{count}" for count in range(10 * MOST_ANSWERS)] for pair in range(PAIRS)]
    clients = [Thread(target=_send_until_over, args=(service, own, ledger, over)) for own in names for _ in range(2)]
    for client in clients:
        client.start()
    try:
        ledger.await_answers(rng.randrange(MOST_ANSWERS))
        over.wait(rng.uniform(0, LONGEST_DELAY_S))
    finally:
        service.kill()
        over.set()
    for client in clients:
        client.join()
    return ledger


def _send_until_over(service: Running, names: Sequence[str], ledger: Ledger, over: Event) -> None:
    for order_id in names:
        if over.is_set():
            return
        ledger.tried[order_id] = None
        try:
            ledger.note(order_id, service.order(order_id))
        except (OSError, http.client.HTTPException):
            return


def _send_again(service: Running, ledger: Ledger) -> None:
    """As clients do that have lost their answer, and as attackers do that have not."""
    for order_id in ledger.tried:
        for _ in range(2):
            ledger.note(order_id, service.order(order_id))


def _broken_promises(ledger: Ledger, applied: Sequence[str]) -> list[str]:
    wrong = []
    counts = {order_id: applied.count(order_id) for order_id in ledger.tried}
    for order_id, count in counts.items():
        answers = {answer.stored() for answer in ledger.answers.get(order_id, [])}
        if count != 1:
            wrong.append(f"{order_id} was applied {count} times")
        if len(answers) != 1:
            wrong.append(f"{order_id} got {len(answers)} different answers")
    return wrong
