"""Kill -9 of a service and of its runner at random moments; then every message is delivered, and none invented.

Clients send orders until each has been answered. The receiver fails some of what it gets, after it has taken note of it
or before: what is sent again comes under its id, and a receiver that keeps the ids sees each message once.
"""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic, sleep
from typing import Self

from bench.outboxing.places import SECRET, Place
from bench.outboxing.receiver import Delivery, receiving
from tocsin.outbox import State
from tocsin.signing import Message, preset, sign

ROOT = Path(__file__).parents[2]
CLIENTS = 4
# In most rounds somebody dies among the first dozens of orders; more would only make the rounds longer.
MOST_ANSWERS = 30
LONGEST_DELAY_S = 0.01
PATIENCE_S = 120.0
_FAILS = 0.1
_SCHEME = preset("hex-sha256-body")
_CONFIG = """
[store]
{store}
[runner]
retry_s = [{steps}]
poll_s = 0.02
[destination.partner]
url = "{url}"
secret = {{ env = "PARTNER_SECRET" }}
secret_encoding = "utf8"
secret_prefix = ""
timeout_s = 1
"""


@dataclass
class Stormed:
    """What came of it.

    Args:
        rounds: how many times somebody was killed.
        orders: how many were sent and answered.
        sendings: how many the receiver got.
        repeated: how many of them were of a message that it had.
        wrong: a sentence for each broken promise.
    """

    rounds: int
    orders: int
    sendings: int
    repeated: int
    wrong: list[str]


class Process:
    """A process that is started again and again; leaving the context kills it, and all of its own."""

    def __init__(self, command: list[str], log: Path, fd: int | None = None, **environment: str) -> None:
        self._command = command
        self._environment = environment
        self._log = log
        self._fds = () if fd is None else (fd,)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=os.environ | self._environment,
                pass_fds=self._fds,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def restart(self) -> None:
        """Kill -9, and begin again."""
        self.__exit__()
        self.__enter__()


@dataclass
class Orders:
    """Clients that send orders, each until it has been answered 201."""

    port: int
    answered: list[str] = field(default_factory=list)
    changed: Condition = field(default_factory=Condition)
    over: Event = field(default_factory=Event)

    def send_all(self, client: int) -> None:
        """One client, until it is over."""
        number = 0
        while not self.over.is_set():
            self._insist(f"{client}-{number}")
            number += 1

    def await_more(self, count: int) -> None:
        """Wait until so many more orders have been answered."""
        with self.changed:
            wanted = len(self.answered) + count
            assert self.changed.wait_for(lambda: len(self.answered) >= wanted, PATIENCE_S), "no answers any more"

    def _insist(self, order_id: str) -> None:
        until = monotonic() + PATIENCE_S
        while monotonic() < until:
            if self._send(order_id) == 201:
                with self.changed:
                    self.answered.append(order_id)
                    self.changed.notify_all()
                return

    def _send(self, order_id: str) -> int:
        body = json.dumps({"order_id": order_id}).encode()
        headers = dict(sign(Message("POST", "/order", (), body), _SCHEME, SECRET, now=0))
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
                connection.request("POST", "/order", body, headers)
                return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


def storm(place: Place, folder: Path, *, rounds: int, seed: int) -> Stormed:
    """Kill somebody that many times.

    Args:
        place: with all of its tables, empty.
        folder: for configuration and logs.
        rounds: how many kills.
        seed: of their moments.
    """
    rng = random.Random(seed)

    def answers(_delivery: Delivery) -> tuple[int, dict[str, str]]:
        return (500 if rng.random() < _FAILS else 204), {}

    with receiving(answers) as receiver, closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as listener:
        _write_config(folder / "outbox.toml", place, receiver.url)
        orders = Orders(listener.getsockname()[1])
        clients = [Thread(target=orders.send_all, args=(client,)) for client in range(CLIENTS)]
        # The port outlives the service: who calls in between waits for its next life.
        with _service(place, folder, listener) as service, _runner(place, folder) as runner:
            for client in clients:
                client.start()
            try:
                _kill_at_random(orders, service, runner, rounds, rng)
            except AssertionError as error:
                said = (folder / "service.log").read_text(encoding="utf-8", errors="replace")
                raise AssertionError(f"{error}: {said[-2000:]}") from None
            finally:
                orders.over.set()
                for client in clients:
                    client.join()
            _await_delivered(place)
        return _judged(rounds, orders.answered, place.orders(), receiver.came)


def _kill_at_random(orders: Orders, service: Process, runner: Process, rounds: int, rng: random.Random) -> None:
    for _ in range(rounds):
        orders.await_more(rng.randrange(1, MOST_ANSWERS))
        orders.over.wait(rng.uniform(0, LONGEST_DELAY_S))
        for victim in rng.choice([(service,), (runner,), (service, runner)]):
            victim.restart()


def _await_delivered(place: Place) -> None:
    """Until nothing waits: a lease that the last kill left behind has to end first."""
    until = monotonic() + PATIENCE_S
    with place.outbox.connected() as session:
        while any(state is State.WAITING for _, state in session.counts()) and monotonic() < until:
            sleep(0.1)


def _judged(rounds: int, answered: list[str], committed: list[str], came: list[Delivery]) -> Stormed:
    bodies: dict[str, set[str]] = {}
    for one in came:
        bodies.setdefault(one.id, set()).add(json.loads(one.body)["order_id"])
    told = Counter(order_id for named in bodies.values() for order_id in named)
    wrong = [
        *_each("answered and not committed", set(answered) - set(committed)),
        *_each("committed twice", (order_id for order_id, times in Counter(committed).items() if times > 1)),
        *_each("committed and never delivered", set(committed) - told.keys()),
        *_each("delivered and never committed", told.keys() - set(committed)),
        *_each("delivered under two ids", (order_id for order_id, times in told.items() if times > 1)),
        *_each("one id for two messages", (name for name, named in bodies.items() if len(named) > 1)),
        *_each("not verified", (one.id for one in came if not one.verified)),
    ]
    return Stormed(rounds, len(answered), len(came), len(came) - len(bodies), wrong)


def _each(what: str, which: Iterable[str]) -> list[str]:
    return [f"{one}: {what}" for one in sorted(which)]


def _service(place: Place, folder: Path, listener: socket.socket) -> Process:
    bind = f"--bind=fd://{listener.fileno()}"
    command = [sys.executable, "-m", "gunicorn", "bench.outboxing.service:app", bind, "--worker-class=gthread"]
    command += ["--threads=8", "--no-control-socket"]
    return Process(command, folder / "service.log", listener.fileno(), OUTBOX_PLACE=place.name)


def _runner(place: Place, folder: Path) -> Process:
    command = [sys.executable, "-m", "tocsin", "outbox", "run", "--config", str(folder / "outbox.toml"), "--quiet"]
    secret = "a secret of the bench, 32 octets"
    return Process(command, folder / "runner.log", OUTBOX_PLACE=place.name, PARTNER_SECRET=secret)


def _write_config(path: Path, place: Place, url: str) -> None:
    steps = ", ".join(["0.05"] * 50)
    path.write_text(_CONFIG.format(store=place.config, steps=steps, url=url))
