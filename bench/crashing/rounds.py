"""One round of the crash matrix: a fault under load, everything sent again, every promise looked at."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event

from bench.crashing.relay import Cut, Relay
from bench.crashing.running import APPLIED, COME_AGAIN, Attempt, Database, Service, insist, load
from bench.crashing.steps import Step

# The step is met by one of so many requests: the first of a life, or one among others.
LATEST = 12
# A COMMIT that lands late does so after so many other claims, of a handful of clients.
MOST_CLAIMS = 3


@dataclass(slots=True)
class Row:
    """A step of one service: what has been counted, and what was wrong.

    Args:
        orders: how many were tried.
        applied_unanswered: of those that nobody had an answer to at the fault, how many were committed.
        not_applied: and how many were not.
        groups: how many rounds ended a process whose last COMMIT was for several requests.
        ms: a round each: from when the service listened again, or the connection was cut, to an answer of one that was
            without.
        statuses: of the answers that asked a client to come again.
        wrong: a sentence for each broken promise.
    """

    orders: int = 0
    applied_unanswered: int = 0
    not_applied: int = 0
    groups: int = 0
    ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Rounds:
    """One service, whose lives and connections are ended again and again.

    Args:
        service: in a life.
        database: its own, directly.
        rng: which request meets the step.
    """

    service: Service
    database: Database
    rng: random.Random

    def kill(self, step: Step, count: int) -> Row:
        """Kill -9 at a step, under load, that many times; the service lives before and afterwards."""
        row = Row()
        for number in range(count):
            self._kill(step, f"{step.name}-{number}-", row)
        return row

    def cut(self, relay: Relay, cut: Cut, count: int) -> Row:
        """Cut a connection to the database at a step, under load; the service lives on, and clients insist."""
        row = Row()
        for number in range(count):
            self._cut(relay, cut, f"{cut.name}-{number}-", row)
        return row

    def _kill(self, step: Step, like: str, row: Row) -> None:
        self.service.arm(step, self.rng.randint(1, LATEST))
        over = Event()

        def send(order_id: str) -> list[Attempt]:
            attempt = self.service.send(order_id)
            if attempt.returned_at is None:
                over.set()
            return [attempt]

        attempts = load(send, like, over)
        row.groups += self.service.end() > 0
        at_the_fault = self.database.applied(like)
        tried = list(dict.fromkeys(attempt.order_id for attempt in attempts))
        answered = {attempt.order_id: None for attempt in attempts if attempt.status == APPLIED}
        unanswered = [order_id for order_id in tried if order_id not in answered]
        row.applied_unanswered += sum(at_the_fault[order_id] > 0 for order_id in unanswered)
        row.not_applied += sum(at_the_fault[order_id] == 0 for order_id in unanswered)
        row.wrong += [f"{order_id}: lost after {APPLIED}" for order_id in answered if at_the_fault[order_id] != 1]
        listened_at = self.service.start()
        again = self._again([*unanswered, *answered])
        row.ms += [((each.returned_at or 0.0) - listened_at) * 1000 for each in again if each.status == APPLIED][:1]
        _judge(row, [*attempts, *again], self.database.applied(like))

    def _cut(self, relay: Relay, cut: Cut, like: str, row: Row) -> None:
        relay.arm(cut, self.rng.randint(1, MOST_CLAIMS if cut is Cut.COMMIT_LATE else LATEST))
        attempts = load(lambda order_id: insist(self.service, order_id), like, relay.done)
        in_flight = {attempt.order_id for attempt in attempts if attempt.called_at <= relay.cut_at}
        # Where idle connections were cut there was none.
        in_flight = in_flight or {attempts[0].order_id}
        ends = [each.returned_at or 0.0 for each in attempts if each.order_id in in_flight and each.status == APPLIED]
        row.ms += [(end - relay.cut_at) * 1000 for end in sorted(ends)[-1:]]
        attempts += self._again(dict.fromkeys(attempt.order_id for attempt in attempts))
        _judge(row, attempts, self.database.applied(like))

    def _again(self, orders: Iterable[str]) -> list[Attempt]:
        """Send them again, as clients do that have lost their answer, and as attackers do that have not."""
        return [attempt for order_id in orders for attempt in insist(self.service, order_id)]


def _judge(row: Row, attempts: Sequence[Attempt], applied: Counter[str]) -> None:
    """Every order that was tried is there once by now, all of its answers are the same, and nothing is stuck."""
    last = {attempt.order_id: attempt for attempt in attempts}
    answers: dict[str, set[object]] = {}
    for attempt in attempts:
        if attempt.status in COME_AGAIN:
            row.statuses[attempt.status] += 1
        elif attempt.status is not None:
            answers.setdefault(attempt.order_id, set()).add(attempt.stored)
    row.orders += len(last)
    for order_id, attempt in last.items():
        if attempt.status != APPLIED:
            row.wrong.append(f"{order_id}: stuck at {attempt.status}")
        if applied[order_id] != 1:
            row.wrong.append(f"{order_id}: applied {applied[order_id]} times")
        if len(answers.get(order_id, ())) > 1:
            row.wrong.append(f"{order_id}: {len(answers[order_id])} different answers")
