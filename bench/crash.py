"""Kill -9 flask-guarded at random moments under load, restart it, send every order again: none lost, none twice.

python -m bench.crash [--rounds 200] [--seed N]

In every round pairs of clients send the same orders, so that duplicates race while the service dies. Afterwards every
order that anybody tried is sent twice more, signed afresh, as a client would that lost its answer. Then, read from the
database file itself: each order is there exactly once, the stock is short by exactly as many pieces, and whoever had an
answer before the crash gets the same status, headers and bytes again. Writes bench/results/crash.json; exit code 1 if
any of that fails.
"""

import argparse
import http.client
import json
import random
import sqlite3
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench._host import facts
from lab._bruteforce import Answer, OrderDesk, Signer, sign_tocsin_v1
from lab._launch import start

RESULTS = Path(__file__).parent / "results"
SERVICE = "flask-guarded"
# Pairs share their orders. 8 clients keep a worker of 16 threads busy and leave the launcher a processor.
PAIRS = 4
# More orders than a pair can send before the kill.
ORDERS_A_PAIR = 400
# The service dies within this time after the first answer: some rounds in their first commit, others after a hundred.
LATEST_KILL_S = 0.12
STOCK = 1_000_000
# Differ between an answer and its replay by design: the hop's own headers, and the mark of a replay.
NOT_STORED = frozenset({"date", "server", "connection", "idempotent-replayed"})
# The guard may ask a duplicate to come again; anything else must be the stored answer.
COME_AGAIN = frozenset({409, 503})


@dataclass(slots=True)
class Ledger:
    """What the clients of one round know: who tried what, and who was answered what."""

    tried: dict[str, None] = field(default_factory=dict)
    answered: dict[str, list[Answer]] = field(default_factory=dict)
    come_again: int = 0
    first_answer: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, order_id: str, answer: Answer) -> None:
        """An answer that a client really has in hand."""
        with self.lock:
            if answer.status in COME_AGAIN:
                self.come_again += 1
            else:
                self.answered.setdefault(order_id, []).append(answer)
        self.first_answer.set()


def main(argv: Sequence[str] | None = None) -> int:
    """Crash `--rounds` times; 0 if no order was lost, applied twice or answered differently."""
    parser = argparse.ArgumentParser(description=f"kill -9 {SERVICE} under load, again and again")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32), help="of the kill times")
    arguments = parser.parse_args(argv)
    result = crash(arguments.rounds, arguments.seed)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / "crash.json"
    target.write_text(json.dumps({"host": facts()} | result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    return 1 if result["wrong"] else 0


def crash(rounds: int, seed: int, *, service: str = SERVICE, sign: Signer = sign_tocsin_v1) -> dict[str, object]:
    """Crash and check that many times, on one database: what was counted, and `wrong`, a sentence for each failure."""
    rng = random.Random(seed)
    began = time.monotonic()
    counts: Counter[str] = Counter()
    wrong: list[str] = []
    with start(service) as running:
        desk = OrderDesk(running, sign)
        item = desk.new_item(STOCK)
        everything: dict[str, None] = {}
        for number in range(rounds):
            ledger = load_until_killed(desk, item, rng.uniform(0, LATEST_KILL_S))
            running.restart()
            applied = in_database(desk, item)
            everything |= ledger.tried
            counts.update(counted(ledger, applied))
            problems = [f"lost after 2xx: {order}" for order in ledger.answered if applied.get(order) != 1]
            problems += send_again(desk, item, ledger)
            wrong += [f"round {number}: {problem}" for problem in problems]
        wrong += judged(desk, item, everything)
    return {
        "rounds": rounds,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "orders": len(everything),
        **counts,
        "wrong": wrong,
    }


def counted(ledger: Ledger, applied: Mapping[str, int]) -> dict[str, int]:
    """What this crash hit: without orders cut off on both sides of their commit, the bench would have shown nothing."""
    unanswered = [order for order in ledger.tried if order not in ledger.answered]
    return {
        "answered_before_the_crash": len(ledger.answered),
        "answered_twice_before_the_crash": sum(len(answers) > 1 for answers in ledger.answered.values()),
        "unanswered_but_applied": sum(order in applied for order in unanswered),
        "unanswered_and_not_applied": sum(order not in applied for order in unanswered),
        "asked_to_come_again": ledger.come_again,
    }


def load_until_killed(desk: OrderDesk, item: str, kill_after_s: float) -> Ledger:
    """Pairs of clients send the same orders until the service dies under them."""
    ledger = Ledger()
    orders = [[uuid.uuid4().hex for _ in range(ORDERS_A_PAIR)] for _ in range(PAIRS)]
    clients = [threading.Thread(target=send_all, args=(desk, item, own, ledger)) for own in orders for _ in range(2)]
    for client in clients:
        client.start()
    ledger.first_answer.wait(30)
    time.sleep(kill_after_s)
    desk.running.kill()
    for client in clients:
        client.join()
    return ledger


def send_all(desk: OrderDesk, item: str, orders: Sequence[str], ledger: Ledger) -> None:
    """One client: order after order, until the service is gone."""
    for order_id in orders:
        ledger.tried[order_id] = None
        try:
            ledger.note(order_id, desk.send(*desk.order(item, order_id)))
        except (OSError, http.client.HTTPException):
            return


def send_again(desk: OrderDesk, item: str, ledger: Ledger) -> list[str]:
    """Send every order twice more; every answer anybody ever got for it must be the same."""
    wrong = []
    for order_id in ledger.tried:
        again = [desk.send(*desk.order(item, order_id)) for _ in range(2)]
        if any(answer.status != http.client.OK for answer in again):
            wrong.append(f"{order_id} sent again: {[answer.status for answer in again]}, expected 200")
        seen = {stored(answer) for answer in [*ledger.answered.get(order_id, []), *again]}
        if len(seen) != 1:
            wrong.append(f"{order_id} has {len(seen)} different answers")
    return wrong


def stored(answer: Answer) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """The part of an answer that a duplicate must get again."""
    kept = tuple(sorted((k.lower(), v) for k, v in answer.headers.items() if k.lower() not in NOT_STORED))
    return answer.status, kept, answer.body


def in_database(desk: OrderDesk, item: str) -> dict[str, int]:
    """How often each order was applied."""
    with closing(sqlite3.connect(desk.running.data / "orders.db")) as db:
        rows = db.execute("SELECT order_id, COUNT(*) FROM orders WHERE item = ? GROUP BY order_id", (item,))
        return {str(order_id): int(count) for order_id, count in rows}


def judged(desk: OrderDesk, item: str, everything: Mapping[str, None]) -> list[str]:
    """Whether the database holds every order once and nothing else, and the stock agrees."""
    applied = in_database(desk, item)
    wrong = [f"{order} was applied {applied.get(order, 0)} times" for order in everything if applied.get(order) != 1]
    wrong += [f"{order} was never sent" for order in applied if order not in everything]
    gone = STOCK - desk.query("SELECT stock FROM items WHERE id = ?", item)
    if gone != len(everything):
        wrong.append(f"{gone} pieces are gone for {len(everything)} orders")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
