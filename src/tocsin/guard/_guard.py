"""Guard: the one object that a service declares."""

import inspect
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from tocsin.guard._answer import HeaderFilter, Seal
from tocsin.guard._declare import Options, check_scheme, declare, key_rule
from tocsin.guard._errors import GuardError
from tocsin.guard._fingerprint import Fingerprint
from tocsin.guard._frameworks import Frameworks
from tocsin.guard._guarded import Guarded, Limits
from tocsin.guard._keys import BodyDigest
from tocsin.guard._kinds import store_for_tasks, store_for_threads
from tocsin.guard._operation import Operation
from tocsin.guard._registry import Route, handler_name, registry_of
from tocsin.guard._sequence import Sequence, check_sequence, check_store
from tocsin.guard._signed import Signed
from tocsin.guard._store import AsyncStore, Store, Tx
from tocsin.guard._sweeping import Sweeping
from tocsin.guard._waiting import InFlight
from tocsin.signing import JsonPointer, KeyRing, Scheme

if TYPE_CHECKING:  # a service on another framework has no Flask
    from flask import Response
    from flask.typing import ResponseReturnValue

    from tocsin.guard._asgi import App
    from tocsin.guard.adapters.asgi import GuardedApp

P = ParamSpec("P")
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

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

    def flask(
        self,
        *,
        key: JsonPointer | BodyDigest | None = None,
        name: str | None = None,
        remember: Container[int] | None = None,
        fingerprint: Fingerprint | None = None,
        answer_days: float | None = None,
        claim_days: float | None = None,
        sequence: Sequence | None = None,
    ) -> "Callable[[Callable[Concatenate[Signed, Tx, P], ResponseReturnValue]], Callable[P, Response]]":
        """Guard a Flask view: between the route and a function that takes (signed, tx) and the route's arguments.

        Args:
            key: what makes two requests the same operation: json_pointer("/order_id"), or body_digest(days=3). Default:
                the scheme's own message id.
            name: the operation's name, part of every stored key. Default: the path template, "/order/<id>"; a name lets
                the path change, and two paths be one operation.
            remember: as for Guard, for this operation.
            fingerprint: as for Guard, for this operation.
            answer_days: as for Guard, for this operation.
            claim_days: as for Guard, for this operation.
            sequence: as for Guard, for this operation.

        Raises:
            GuardError: the declaration would let one message take effect twice; or Flask is not installed.
        """
        try:
            from tocsin.guard.adapters.flask import flask_view  # noqa: PLC0415  only services on Flask have Flask
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.flask: {error}; wanted: pip install 'tocsin[flask]'") from error
        store = store_for_threads(self._store, "guard.flask")
        options = Options(remember, fingerprint, answer_days, claim_days, sequence)
        return lambda handler: flask_view(
            self.guarded(handler, key=key, name=name, options=options, store=store), handler
        )

    def asgi(
        self,
        *,
        name: str,
        key: JsonPointer | BodyDigest | None = None,
        remember: Container[int] | None = None,
        fingerprint: Fingerprint | None = None,
        answer_days: float | None = None,
        claim_days: float | None = None,
        sequence: Sequence | None = None,
    ) -> "Callable[[App], GuardedApp[Tx]]":
        """Guard an ASGI application, which finds scope["tocsin.signed"] and scope["tocsin.tx"].

        Args:
            name: the operation's name, part of every stored key. An application has no path of its own to be named by.
            key: as for `flask`.
            remember: as for Guard, for this operation.
            fingerprint: as for Guard, for this operation.
            answer_days: as for Guard, for this operation.
            claim_days: as for Guard, for this operation.
            sequence: as for Guard, for this operation.

        Raises:
            GuardError: the declaration would let one message take effect twice; or the store is for threads only.
        """
        from tocsin.guard.adapters.asgi import GuardedApp  # noqa: PLC0415  a service on WSGI needs no asyncio

        store = store_for_tasks(self._store, "guard.asgi")
        options = Options(remember, fingerprint, answer_days, claim_days, sequence)
        return lambda app: GuardedApp(self.guarded(app, key=key, name=name, options=options, async_store=store), app)

    def fastapi(
        self,
        *,
        key: JsonPointer | BodyDigest | None = None,
        name: str | None = None,
        writes: bool = True,
        remember: Container[int] | None = None,
        fingerprint: Fingerprint | None = None,
        answer_days: float | None = None,
        claim_days: float | None = None,
        sequence: Sequence | None = None,
    ) -> Callable[[Endpoint], Endpoint]:
        """Guard a FastAPI endpoint: between the path operation and a function that takes `tx`, and perhaps `signed`.

        Args:
            key: as for `flask`.
            name: as for `flask`. Default: the whole path template, prefixes and mounts included.
            writes: False says that the endpoint writes nothing, and need not take `tx`. Whatever it writes through
                another connection, such as Depends(get_db), is not covered.
            remember: as for Guard, for this operation.
            fingerprint: as for Guard, for this operation.
            answer_days: as for Guard, for this operation.
            claim_days: as for Guard, for this operation.
            sequence: as for Guard, for this operation.

        Raises:
            GuardError: the declaration would let one message take effect twice; the endpoint takes no `tx`; it is
                `async def` and the store is for threads, or the other way round; or FastAPI is not installed.
        """
        try:
            from tocsin.guard._threads import ThreadedStore  # noqa: PLC0415  likewise
            from tocsin.guard.adapters.fastapi import fastapi_endpoint  # noqa: PLC0415  only services on it have it
        except ModuleNotFoundError as error:
            raise GuardError(f"guard.fastapi: {error}; wanted: pip install 'tocsin[fastapi]'") from error
        options = Options(remember, fingerprint, answer_days, claim_days, sequence)

        def guarded(handler: Endpoint) -> Endpoint:
            who = f"{getattr(handler, '__qualname__', handler)}, guarded by guard.fastapi"
            store: AsyncStore[Tx] = (
                store_for_tasks(self._store, who)
                if inspect.iscoroutinefunction(handler)
                else ThreadedStore(store_for_threads(self._store, who))
            )
            declared = self.guarded(handler, key=key, name=name, options=options, async_store=store)
            return fastapi_endpoint(declared, handler, self._scheme, writes=writes)

        return guarded

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
