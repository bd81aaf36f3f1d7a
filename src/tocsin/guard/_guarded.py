"""One guarded operation as an adapter sees it: a request in, an answer out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, Generic, TypeAlias
from weakref import WeakValueDictionary

from tocsin.guard import _log, _problems
from tocsin.guard._answer import Answer
from tocsin.guard._async_driver import AsyncDriver
from tocsin.guard._drivers import BlockingDriver, Handler
from tocsin.guard._errors import GuardError
from tocsin.guard._flow import guarded
from tocsin.guard._operation import Operation
from tocsin.guard._performing import Performing
from tocsin.guard._registry import Registry, Route
from tocsin.guard._steps import Raised
from tocsin.guard._store import AsyncStore, Store, Tx
from tocsin.guard._sweeping import Sweeping
from tocsin.guard._waiting import InFlight
from tocsin.signing import Message


@dataclass(frozen=True, slots=True)
class Limits:
    """How much, and for how long.

    Args:
        wait_s: how long a request may wait for another one with its key, and for other writers, together.
        max_body_bytes: a longer body is answered 413 before it is hashed.
        max_answer_bytes: a longer answer is answered 500, and nothing is applied.
    """

    wait_s: float
    max_body_bytes: int
    max_answer_bytes: int

    def __post_init__(self) -> None:
        if not self.wait_s >= 0:
            raise GuardError(f"wait_s = {self.wait_s!r}; wanted seconds, 0 or more")
        for name in ("max_body_bytes", "max_answer_bytes"):
            if not getattr(self, name) > 0:
                raise GuardError(f"{name} = {getattr(self, name)!r}; wanted a positive number of bytes")


class Guarded(Generic[Tx]):
    """A declared operation and everything that performs it.

    Args:
        declare: makes the operation, once its name is known.
        route: what the registry knows about it.
        registry: of the store.
        store: where the claims are, for requests on threads; None: there are none.
        async_store: likewise, for requests on tasks.
        in_flight: of the guard.
        limits: of the guard.
        public_origin: of the guard.
        clock: the wall clock.
        sweeping: of the guard.
    """

    def __init__(
        self,
        declare: Callable[[str], Operation],
        *,
        route: Route,
        registry: Registry,
        store: Store[Tx] | None,
        async_store: AsyncStore[Tx] | None,
        in_flight: InFlight,
        limits: Limits,
        public_origin: str,
        clock: Callable[[], float],
        sweeping: Sweeping,
    ) -> None:
        self.limits = limits
        self.public_origin = public_origin
        self._declare = declare
        self._route = route
        self._registry = registry
        self._store = store
        self._async_store = async_store
        self._in_flight = in_flight
        self._clock = clock
        self._sweeping = sweeping
        self._operation = None if route.name is None else self._named(route.name)
        self._naming = Lock()
        # By their ids, because not all of them can be hashed; the last one that has asked is met again at once.
        self._applications: WeakValueDictionary[int, object] = WeakValueDictionary()
        self._last_application: object = None

    def is_named_by(self, application: object) -> bool:
        """Whether the operation has its name; without one of its own, whether this application has agreed to it.

        Args:
            application: what a path belongs to, by its identity: an object that lives as long as the application.
        """
        return (
            application is self._last_application
            or self._route.name is not None
            or self._applications.get(id(application)) is application
        )

    @property
    def is_ordered(self) -> bool:
        """Whether its messages are numbered."""
        return self._declare("").sequence is not None

    def name(self, path: str, application: object) -> None:
        """Name the operation after its path in an application, once: claims are stored under that name.

        Args:
            path: the whole template.
            application: see is_named_by.

        Raises:
            GuardError: the name is taken; or the operation has another one, of another application.
        """
        with self._naming:
            if self._operation is None:
                self._operation = self._named(path)
            elif self._operation.name != path:
                # Which of them is asked first is chance, and differs between processes: so would the claims.
                raise GuardError(
                    f"{self._route.handler} is registered under 2 paths ({self._operation.name}, {path}), each in an "
                    "application of its own; wanted a name="
                )
            self._applications[id(application)] = self._last_application = application

    def perform(self, message: Message, handler: Handler[Tx]) -> Answer:
        """Answer a request on this thread, applying it if it is the first of its kind.

        Args:
            message: the request, as it came.
            handler: runs the developer's handler.

        Raises:
            BaseException: what the handler raised, unless that was one of its framework's HTTP errors below 500, after
                everything was rolled back.
        """
        operation, store = self._operation, self._store
        assert operation is not None, "an adapter names its operation before it performs it"
        assert store is not None, "an adapter for threads is declared with a store for threads"
        driver = BlockingDriver(store, self._in_flight, handler, self.limits.wait_s)
        started = monotonic()
        now_unix = self._clock()
        try:
            ended = driver.drive(guarded(operation, message, now_unix))
        except BaseException as error:
            waited_s = self.limits.wait_s - driver.wait_left_s
            _log.request_given_up(operation.name, error, started=started, waited_s=waited_s)
            raise
        _log.request_ended(operation.name, ended, started=started, waited_s=self.limits.wait_s - driver.wait_left_s)
        if isinstance(ended, Raised):
            raise ended.error
        self._sweeping.sweep_if_due(now_unix)
        return ended.answer

    def begin(self, message: Message, gone: "Callable[[], asyncio.Future[object]]") -> Performing[Tx]:
        """Begin to answer a request on this task; to be closed in any case.

        Args:
            message: the request, as it came.
            gone: begins to listen; what it gives is done as soon as the client has gone.
        """
        operation, store = self._operation, self._async_store
        assert operation is not None, "an adapter names its operation before it performs it"
        assert store is not None, "an adapter for tasks is declared with a store for tasks"
        now_unix = self._clock()
        flow = guarded(operation, message, now_unix)
        driver = AsyncDriver(flow, store, self._in_flight, self.limits.wait_s, gone)
        return Performing(operation.name, driver, self.limits.wait_s, self._sweeping, now_unix)

    def too_large(self, most_bytes: int) -> Answer:
        """The answer to a request whose body is longer than that."""
        operation = self._operation
        _log.body_too_large(self._route.handler if operation is None else operation.name, most_bytes)
        return _problems.content_too_large(most_bytes)

    def _named(self, name: str) -> Operation:
        self._registry.name(self._route, name)
        return self._declare(name)


# What an adapter declares a handler by, when it has seen that the handler is one that it can guard.
Declare: TypeAlias = Callable[[Callable[..., Any]], Guarded[Tx]]
