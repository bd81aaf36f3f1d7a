"""The cases: what is sent, what came of it in words, and whether that is right.

Rule: nothing here knows a library. Right is the same for all: one effect, none lost, the same answer for whoever sent
the same request, no answer for whoever did not, and a retry that gets through within two seconds.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread

from bench.peers.running import Reply, Service, statuses

CLIENTS = 64
# After a crash or an error: how long a sender may have to try again.
RETRY_S = 2.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Outcome:
    """One cell of the table."""

    words: str
    is_right: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One column of the results.

    Args:
        name: in words.
        run: does it.
        workers: how many processes serve it.
        lease_s: see Service.
        is_http: whether it is about requests, of which a decorator for functions sees nothing.
    """

    name: str
    run: Callable[[Service], Outcome]
    workers: int = 1
    lease_s: int = 0
    is_http: bool = False


def _effects(count: int) -> str:
    return f"{count} effect" if count == 1 else f"{count} effects"


def _burst(service: Service) -> Outcome:
    document = {"order_id": f"burst-{service.workers}"}
    replies = service.together(CLIENTS, lambda: service.post(f"burst-{service.workers}", document, do="work"))
    effects = service.effects(document["order_id"])
    bodies = {reply.body for reply in replies if reply.status == 201}
    answered = all(reply.status in {201, 409, 423, 425} for reply in replies)
    return Outcome(f"{_effects(effects)}; {statuses(replies)}", effects == 1 and answered and len(bodies) == 1)


def _resent(service: Service) -> Outcome:
    first, again = (service.post("resent", {"order_id": "resent"}) for _ in range(2))
    return _replayed(service, "resent", first, again)


def _replayed(service: Service, order_id: str, first: Reply, again: Reply) -> Outcome:
    effects = service.effects(order_id)
    is_same = (first.status, first.body, first.cookies) == (again.status, again.body, again.cookies)
    words = "same answer" if is_same else f"{first.status}, then {again.status}"
    if not is_same and first.status == again.status:
        words = "another answer" if first.body != again.body else "cookie lost"
    return Outcome(f"{_effects(effects)}; {words}", effects == 1 and is_same and first.status // 100 == 2)


def _twice(order_id: str, do: str, path: str = "/order") -> Callable[[Service], Outcome]:
    def run(service: Service) -> Outcome:
        first, again = (service.post(order_id, {"order_id": order_id}, do=do, path=path) for _ in range(2))
        return _replayed(service, order_id, first, again)

    return run


def _killed(service: Service) -> Outcome:
    service.post("killed", {"order_id": "killed"}, do="kill")
    service.stop()
    service.start()
    return _retried(service, "killed", "kill")


def _killed_and_waited(service: Service) -> Outcome:
    service.post("leased", {"order_id": "leased"}, do="kill")
    service.stop()
    service.start()
    time.sleep(service.lease_s + 1)
    return _retried(service, "leased", "kill")


def _fails_once(order_id: str, do: str) -> Callable[[Service], Outcome]:
    def run(service: Service) -> Outcome:
        service.post(order_id, {"order_id": order_id}, do=do)
        return _retried(service, order_id, do)

    return run


def _retried(service: Service, order_id: str, do: str) -> Outcome:
    """Send the same request until it is answered with success, as a sender does that believes in its message."""
    began = time.monotonic()
    while True:
        reply = service.post(order_id, {"order_id": order_id}, do=do)
        took_s = time.monotonic() - began
        if reply.status == 201 or took_s > RETRY_S:
            break
        time.sleep(_PAUSE_S)
    effects = service.effects(order_id)
    is_through = reply.status == 201 and took_s <= RETRY_S
    words = f"retry gets {reply.status}" if is_through else f"still {reply.status or 'no answer'} after {took_s:.0f} s"
    return Outcome(f"{_effects(effects)}; {words}", effects == 1 and is_through)


def _cancelled(service: Service) -> Outcome:
    gone = Event()
    client = Thread(target=service.post, args=("gone", {"order_id": "gone"}), kwargs={"do": "slow", "gone_after": gone})
    client.start()
    deadline = time.monotonic() + RETRY_S
    while not service.has_run("gone") and time.monotonic() < deadline:
        time.sleep(0.01)
    gone.set()
    client.join()
    return _retried(service, "gone", "slow")


def _too_large(service: Service) -> Outcome:
    document = {"order_id": "large", "padding": "x" * 1_200_000}
    first, again = (service.post("large", document) for _ in range(2))
    effects = service.effects("large")
    if effects == 0:
        return Outcome(f"refused: {first.status}", first.status == again.status == 413)
    return _replayed(service, "large", first, again)


def _other(order_id: str, second: str, path: str = "/order", *, first: str = "") -> Callable[[Service], Outcome]:
    """The same key for another request."""

    def run(service: Service) -> Outcome:
        document = first or f'{{"order_id":"{order_id}","amount":1}}'
        one = service.post(order_id, document)
        other = service.post(order_id, second, path=path)
        if one.status == other.status and one.body == other.body and one.status // 100 == 2:
            return Outcome("answered as the first one", is_right=False)
        is_refused = other.status // 100 == 4
        words = f"refused: {other.status}" if is_refused else f"{_effects(service.effects(order_id))}; {other.status}"
        return Outcome(words, is_refused)

    return run


def _senders(service: Service) -> Outcome:
    document = {"order_id": "shared"}
    alices, bobs = (service.post("shared", document, sender=sender) for sender in ("alice", "bob"))
    if alices.body == bobs.body:
        return Outcome("gets the other's answer", is_right=False)
    return Outcome("apart" if bobs.status == 201 else f"refused: {bobs.status}", bobs.status == 201)


def _spelled(service: Service) -> Outcome:
    document = {"order_id": "spelled"}
    first = service.post("spelled", document)
    again = [service.post("spelled", document, header="IDEMPOTENCY-key"), service.post('"spelled"', document)]
    effects = service.effects("spelled")
    is_same = all((reply.status, reply.body) == (first.status, first.body) for reply in again)
    return Outcome(f"{_effects(effects)}; {'same answers' if is_same else statuses(again)}", effects == 1 and is_same)


CASES = (
    Case("64 identical at once, 1 process", _burst),
    Case("64 identical at once, 2 processes", _burst, workers=2),
    Case("sent again after completion", _resent),
    Case("kill -9 after the effect, before the record", _killed),
    Case("the same, sent again when a lease or TTL of 2 s is over", _killed_and_waited, lease_s=2),
    Case("the handler raises after its effect", _fails_once("raised", "raise")),
    Case("the handler answers 503 after its effect", _fails_once("unavailable", "503")),
    Case("the client hangs up while the handler runs", _cancelled),
    Case("an answer with 204, twice", _twice("empty", "204")),
    Case("an answer with Set-Cookie, twice", _twice("cookie", "cookie"), is_http=True),
    Case("under BaseHTTPMiddleware, twice", _twice("wrapped", "", "/wrapped/order"), is_http=True),
    Case("a body of 1.2 MB, twice", _too_large),
    Case("same key, other body", _other("body", '{"order_id":"body","amount":999}')),
    Case(
        "same key, other query",
        _other("query", '{"order_id":"query","amount":1}', "/order?amount=999"),
        is_http=True,
    ),
    Case(
        "same key, other value of a duplicate member",
        _other(
            "member",
            '{"order_id":"member","to":"mallory","to":"bob"}',
            first='{"order_id":"member","to":"alice","to":"bob"}',
        ),
    ),
    Case("same key and body, another sender", _senders, is_http=True),
    Case("key quoted, header in other case", _spelled, is_http=True),
)
