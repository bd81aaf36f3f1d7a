"""Delivers what waits: some threads for every destination, so that a slow one keeps nobody else waiting.

Rule: a message is taken, sent, settled. A runner that dies in between leaves the message to whoever comes when the
lease ends; it is then sent again under its id. So every message is delivered at least once, and never only half.
"""

import logging
import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field

from tocsin.outbox._delivery import Destination, Sender
from tocsin.outbox._errors import OutboxUnavailable
from tocsin.outbox._message import Sent, Taken
from tocsin.outbox._retry import STANDARD_S, Retries
from tocsin.outbox._store import Outbox, Session

_LOG = logging.getLogger("tocsin.outbox")
_DAY_S = 24 * 3600
# A lease is longer than a sending by so much: for the database, before and after it, and for clocks that differ.
_MARGIN_S = 5.0
_AGAIN_S = 1.0
_PRUNE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a runner works.

    Args:
        retries: the waits after failures.
        poll_s: how often to look for messages where none was due.
        keep_delivered_s: how long delivered messages stay, for people who look; None: for ever.
    """

    retries: Retries = field(default_factory=lambda: Retries(STANDARD_S, random.SystemRandom().random))
    poll_s: float = 1.0
    keep_delivered_s: float | None = 7.0 * _DAY_S


class Runner:
    """Delivers the messages of one outbox.

    Args:
        outbox: where they wait.
        destinations: where they go.
        options: see Options.
    """

    def __init__(self, outbox: Outbox, destinations: Iterable[Destination], options: Options | None = None) -> None:
        self._outbox = outbox
        self._destinations = tuple(destinations)
        self._options = options or Options()
        self._stop = threading.Event()

    def stop(self) -> None:
        """Take no more messages; what is being sent is brought to its end. For any thread, or a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Deliver until `stop` is called. A database that cannot be reached is waited for.

        Raises:
            OutboxError: the database has no outbox.
        """
        self._work(until_idle=False)

    def run_once(self) -> None:
        """Send everything that is due now, once.

        Raises:
            OutboxError: the database has no outbox.
            OutboxUnavailable: it cannot be reached.
        """
        self._work(until_idle=True)

    def _work(self, *, until_idle: bool) -> None:
        with ExitStack() as closing:
            senders = [(one, closing.enter_context(Sender(one))) for one in self._destinations]
            threads = ThreadPoolExecutor(sum(one.workers for one in self._destinations) or 1, "tocsin-outbox")
            with threads:
                running = {
                    threads.submit(self._deliver, destination, sender, until_idle=until_idle)
                    for destination, sender in senders
                    for _ in range(destination.workers)
                }
                try:
                    while running:
                        ended, running = wait(running, timeout=_PRUNE_EVERY_S, return_when=FIRST_EXCEPTION)
                        for one in ended:
                            one.result()
                        self._prune()
                finally:
                    # With an error in one, or Ctrl-C here, the others end as well.
                    self._stop.set()

    def _deliver(self, destination: Destination, sender: Sender, *, until_idle: bool) -> None:
        while not self._stop.is_set():
            try:
                with self._outbox.connected() as session:
                    self._drain(session, destination, sender, until_idle=until_idle)
            except OutboxUnavailable as error:
                if until_idle:
                    raise
                _LOG.warning("the outbox is out of reach: %s", error)
                self._stop.wait(_AGAIN_S)
            else:
                return

    def _drain(self, session: Session, destination: Destination, sender: Sender, *, until_idle: bool) -> None:
        lease_s = destination.timeout_s + _MARGIN_S
        while not self._stop.is_set():
            taken = session.take(destination.name, now_s=time.time(), lease_s=lease_s)
            if taken is not None:
                self._settle(session, taken, self._sent(sender, taken))
            elif until_idle:
                return
            else:
                self._stop.wait(self._options.poll_s)

    def _sent(self, sender: Sender, taken: Taken) -> Sent:
        """Send; an error of ours is a failed sending too, or one message would stop all that come after it."""
        if self._options.retries.used_up(taken.failures):
            # Perhaps it is what killed the runners before.
            return Sent(delivered=False, error="no sending left: the last ones failed, or their runners ended")
        try:
            return sender.send(taken)
        except Exception as error:  # noqa: BLE001  whatever it is, the others go on
            _LOG.exception("%s to %s: this is a bug in tocsin", taken.id, taken.destination)
            return Sent(delivered=False, error=f"not sent: {type(error).__name__}")

    def _settle(self, session: Session, taken: Taken, sent: Sent) -> None:
        now_s, wait_s = time.time(), None
        if sent.delivered:
            is_ours = session.delivered(taken, now_s=now_s)
        else:
            wait_s = self._options.retries.wait_s(taken.failures, sent)
            is_ours = session.failed(taken, now_s=now_s, wait_s=wait_s, error=sent.error)
        _say(taken, sent, wait_s, is_ours=is_ours)

    def _prune(self) -> None:
        keep_s = self._options.keep_delivered_s
        if keep_s is None:
            return
        try:
            with self._outbox.connected() as session:
                while session.prune(before_s=time.time() - keep_s) and not self._stop.is_set():
                    pass
        except OutboxUnavailable as error:
            _LOG.warning("what was delivered is not let go of yet: %s", error)


def _say(taken: Taken, sent: Sent, wait_s: float | None, *, is_ours: bool) -> None:
    """Log what its row says now, and nothing else."""
    name = f"{taken.id} to {taken.destination}"
    if not is_ours:
        _LOG.warning("%s: %s too late; its lease had ended, and somebody else has it", name, sent.error or "answered")
    elif sent.delivered:
        _LOG.info("%s: delivered at attempt %d", name, taken.attempt)
    elif wait_s is None:
        _LOG.error("%s: %s; given up, it is dead", name, sent.error)
    else:
        _LOG.warning("%s: %s; again in %.0f s", name, sent.error, wait_s)
