"""Guard: the one object that a service declares."""

import time
from collections.abc import Callable, Container

from tocsin.guard._answer import HeaderFilter, Seal
from tocsin.guard._declare import Options, check_scheme, declare, key_rule
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._frameworks import Frameworks
from tocsin.guard._guarded import Guarded, Limits
from tocsin.guard._keys import BodyDigest
from tocsin.guard._operation import Operation
from tocsin.guard._registry import Route, handler_name, registry_of
from tocsin.guard._sequence import Sequence, check_sequence, check_store
from tocsin.guard._store import AsyncStore, Store, Tx
from tocsin.guard._sweeping import Sweeping
from tocsin.guard._waiting import InFlight
from tocsin.signing import JsonPointer, KeyRing, Scheme

_MIB = 1 << 20


class Guard(Frameworks[Tx]):
    """At most one effect for each signed message.

    Verifies the signature, takes the claim that this message is being applied, runs the handler and stores its answer;
    claim, the handler's writes and the answer are one commit, and every duplicate gets the stored answer.

    Args:
        scheme: how requests are signed.
        keys: whose signatures count.
        store: where claims are kept: the database that the handlers write to. For threads (Flask, and `def` in
            FastAPI), for tasks of an event loop (ASGI, and `async def` in FastAPI), or for both, as SQLiteStore is.
        remember: the statuses that are committed and replayed. Default: 2xx and 3xx for webhooks, whose sender retries
            anything else; 2xx to 4xx, less 408, 423, 425 and 429, where clients choose the key.
        fingerprint: what must be equal, besides the key, for a request to be a duplicate. Default: the whole request,
            or nothing where the provider names its own message ids.
        answer_days: how long duplicates get the stored answer; then they get its status alone. Default 7.
        claim_days: how long the claim is kept at all. Default: for ever where the key is a business id or no timestamp
            is signed, else a day longer than any retry can arrive.
        sequence: how the messages of an operation are ordered: sequence(number=json_pointer("/version"),
            stream=json_pointer("/item")). One that is not newer than all before it is answered 200 `superseded`, and
            changes nothing. Default: they have no order.
        headers: picks the header fields that duplicates get. Whoever replays a captured request reads the stored
            answer, Set-Cookie too; leave that out here if it must not be.
        seal: encrypts stored answers.
        wait_s: how long a request may wait: for the first one with its key, and for other writers. Slack gives up
            after 3 s.
        max_body_bytes: a longer body is answered 413, before it is hashed.
        max_answer_bytes: a longer answer is answered 500, and nothing is applied.
        public_origin: "https://api.example.com", for schemes that sign the URL.
        shared_secret: permits several routes with one secret under a scheme that does not sign the path. A captured
            message may then take effect once on each of them.
        unsigned_body: permits a scheme that does not sign the body.
        clock: the wall clock, in Unix seconds.

    Raises:
        GuardError: the declaration would let one message take effect twice.
        SchemeError: the key ring cannot serve the scheme.
    """

    def __init__(
        self,
        scheme: Scheme,
        keys: KeyRing,
        store: Store[Tx] | AsyncStore[Tx],
        *,
        remember: Container[int] | None = None,
        fingerprint: Fingerprint | None = None,
        answer_days: float | None = None,
        claim_days: float | None = None,
        sequence: Sequence | None = None,
        headers: HeaderFilter | None = None,
        seal: Seal | None = None,
        wait_s: float = 2.0,
        max_body_bytes: int = _MIB,
        max_answer_bytes: int = _MIB,
        public_origin: str = "",
        shared_secret: bool = False,
        unsigned_body: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_scheme(scheme, keys, public_origin=public_origin, unsigned_body=unsigned_body)
        self._scheme = scheme
        self._keys = keys
        self._store = store
        self._check_order(sequence)
        self._options = Options(remember, fingerprint, answer_days, claim_days, sequence)
        self._keep = headers
        self._seal = seal
        self._limits = Limits(wait_s, max_body_bytes, max_answer_bytes)
        self._public_origin = public_origin
        self._shared_secret = shared_secret
        self._clock = clock
        self._in_flight = InFlight()
        self._sweeping = Sweeping(getattr(store, "sweep", None), getattr(store, "sweep_async", None))

    def guarded(
        self,
        handler: Callable[..., object],
        *,
        key: JsonPointer | BodyDigest | None,
        name: str | None,
        options: Options,
        store: Store[Tx] | None = None,
        async_store: AsyncStore[Tx] | None = None,
    ) -> Guarded[Tx]:
        """Declare an operation, for an adapter.

        Raises:
            GuardError: see Guard.
        """
        rule = key_rule(self._scheme, key)
        options = options.over(self._options)

        def declared(operation: str) -> Operation:
            return declare(
                operation,
                scheme=self._scheme,
                keys=self._keys,
                rule=rule,
                options=options,
                keep=self._keep,
                seal=self._seal,
            )

        self._check_order(options.sequence)
        # Once without its name, so that what is wrong with it is said now and not at the first request.
        declared("")
        route = Route(handler_name(handler), name, self._scheme, self._keys, self._shared_secret)
        registry = registry_of(self._store)
        registry.add(route)
        return Guarded(
            declared,
            route=route,
            registry=registry,
            store=store,
            async_store=async_store,
            in_flight=self._in_flight,
            limits=self._limits,
            public_origin=self._public_origin,
            clock=self._clock,
            sweeping=self._sweeping,
        )

    def _check_order(self, rule: Sequence | None) -> None:
        if rule is not None:
            check_sequence(rule, self._scheme)
            check_store(self._store.declares)
