"""A guarded request over ASGI: an application runs between its claim and its COMMIT.

Rule: no event of an answer leaves before COMMIT. The application's answer is collected whole; when its last event is
there, the flow goes on inside that very `send`, so that whatever the application does after it (background tasks,
the exits of its dependencies) happens after COMMIT, once, and not at all where nothing was applied. Where an adapter
knows that it does nothing after it, the application returns first: then nothing of it is held while COMMIT is awaited.
"""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Generic

from tocsin.guard import _problems
from tocsin.guard._answer import Answer, storable
from tocsin.guard._asgi_events import (
    App,
    BodyTooLargeError,
    Collected,
    Event,
    Receive,
    Scope,
    Send,
    received_body,
    send_answer,
)
from tocsin.guard._async_driver import ClientGoneError
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Guarded
from tocsin.guard._performing import Performing
from tocsin.guard._steps import Refused, Returned, Run
from tocsin.guard._store import Tx
from tocsin.signing import Message
from tocsin.signing.servers import asgi_headers, asgi_target

# The answer is collected, so nothing of it can be handed to the server in another way than by its events; and `send`
# fails for nobody, which is what this version of the specification allows an application to rely on.
_ANSWER_EXTENSIONS = "http.response."
_SPEC_VERSION = "2.4"


class _Stop(BaseException):
    """What is left of the application must not happen: nothing was applied, or it begins anew."""


class Exchange(Generic[Tx]):
    """One guarded request.

    Args:
        guarded: the operation, named.
        scope: of the request.
        receive: of the server.
        send: of the server.

    Attributes:
        guarded: the operation.
        scope: what the application gets in place of the server's.
        body: the raw body.
        run: the granted claim, once `grant` has taken it.
        refusal: one of the framework's HTTP errors below 500, where that is what the answer is rendered from.
        is_last_word: whether the application does nothing after the end of its answer but return; for the adapter to
            say, before it.
    """

    __slots__ = (
        "_answer",
        "_collected",
        "_decided",
        "_is_answered",
        "_is_body_taken",
        "_is_settling",
        "_outer",
        "_performing",
        "_receive",
        "_send",
        "body",
        "guarded",
        "is_last_word",
        "refusal",
        "run",
        "scope",
    )

    def __init__(self, guarded: Guarded[Tx], scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.body = b""
        self.run: Run | None = None
        self.refusal: BaseException | None = None
        self.is_last_word = False
        self.guarded = guarded
        self._outer = scope
        self._receive = receive
        self._send = send
        self._performing: Performing[Tx]
        self._collected: Collected
        # What the application has answered, where that is its last word.
        self._answer: Answer | None = None
        # What is sent in place of whatever the application sends.
        self._decided: Answer | None = None
        self._is_body_taken = False
        self._is_settling = False
        self._is_answered = False

    async def answer(self, app: App, most_bytes: int) -> None:
        """Answer the request, by the application if it is the first of its kind.

        Args:
            app: gets this object's scope, `receive` and `send`, and calls `grant` before its handler starts.
            most_bytes: a longer body is answered 413.

        Raises:
            BaseException: what the application raised.
        """
        headers = self._outer["headers"]
        try:
            body = await received_body(headers, self._receive, most_bytes)
        except BodyTooLargeError as too_large:
            await self._reply(self.guarded.too_large(too_large.most_bytes))
            return
        if body is None:
            await self._reply(_problems.CUT_OFF)
            return
        self.body = body
        message = Message(
            self._outer["method"], asgi_target(self._outer), asgi_headers(headers), body, self.guarded.public_origin
        )
        # Not by a method of this object: what refers to itself is only freed by the garbage collector.
        self._performing = self.guarded.begin(message, partial(_gone, self._receive))
        try:
            await self._perform(app)
        except ClientGoneError:
            await self._reply(_problems.IN_PROGRESS)
        finally:
            await self._performing.close()
        await self._performing.sweep()

    async def grant(self) -> Run | None:
        """Take the claim; the handler starts next. None: it must not, and whatever is sent, another answer leaves."""
        taken = await self._performing.to_handler()
        if isinstance(taken, Run):
            self.run = taken
            return taken
        self._decided = taken
        return None

    async def receive(self) -> Event:
        """The body once more, then what the server says: that the client has gone."""
        if self._is_body_taken:
            return await self._receive()
        self._is_body_taken = True
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, event: Event) -> None:
        """Collect the application's answer; at its end, commit it and send it."""
        if self._is_answered or self._answer is not None:
            raise GuardError(f"{event['type']} after the end of the answer")
        if not self._collected.add(event):
            return
        ended = self._collected.answer()
        if self.is_last_word and self.refusal is None:
            self._answer = ended
            return
        answer = await self._ended(ended)
        if answer is None:
            raise _Stop
        await self._reply(answer)
        if self._decided is not None or (self.run is not None and not self._performing.is_applied):
            raise _Stop

    async def _perform(self, app: App) -> None:
        answer = await self._performing.to_claim()
        if answer is not None:
            await self._reply(answer)
            return
        while not self._is_answered:
            await self._attempt(app)

    async def _attempt(self, app: App) -> None:
        """Run the application once; it runs again where its transaction was undone for the sake of another one."""
        self._begin_anew()
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:  # noqa: BLE001  raised again, unless the guard has an answer to it
            if not _is_stop(error):
                await self._raised(error)
            return
        if self._answer is not None:
            # What the framework has put there, and what it has sent, need nobody hold until COMMIT.
            self.scope = self._outer
            del self._collected
            answer = await self._ended(self._answer)
            if answer is not None:
                await self._reply(answer)
        elif not self._is_answered:
            await self._raised(GuardError("the application ended before its answer did"))

    def _begin_anew(self) -> None:
        self.scope = _scope_of_the_application(self._outer)
        self.run = self.refusal = self._decided = self._answer = None
        self._is_body_taken = self._is_settling = self.is_last_word = False
        self._collected = Collected(self.guarded.limits.max_answer_bytes)

    async def _raised(self, error: BaseException) -> None:
        if isinstance(error, Exception) and self._collected.failure is not None:
            # What the framework has made of it.
            error = self._collected.failure
        # Not the handler's, but of what comes before it or after it: a cancellation at COMMIT, a background task.
        if self.run is None or self._is_settling or self._is_answered:
            raise error
        answer = await self._performing.raised(error)
        if answer is not None:
            await self._reply(answer)

    def _ended(self, answer: Answer) -> Awaitable[Answer | None]:
        """What to send where the application has answered; None: it runs again."""
        if self.run is None or self._decided is not None:
            return self._without_handler(answer)
        self._is_settling = True
        return self._performing.returned(Returned(answer) if self.refusal is None else Refused(answer))

    async def _without_handler(self, answer: Answer) -> Answer:
        if self._decided is not None:
            return self._decided
        # Routing, authentication, validation: the handler has not started, and nothing is remembered.
        await self._performing.close()
        return storable(answer)

    def _reply(self, answer: Answer) -> Awaitable[None]:
        self._is_answered = True
        return send_answer(answer, self._outer, self._send)


def _gone(receive: Receive) -> "asyncio.Future[object]":
    """What is done as soon as the client has gone; its body has come, so nothing else is there to be missed."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    return asyncio.ensure_future(disconnected())


def _scope_of_the_application(scope: Scope) -> Scope:
    inner = {**scope, "asgi": {**scope.get("asgi", {}), "spec_version": _SPEC_VERSION}}
    extensions = scope.get("extensions")
    if extensions:
        inner["extensions"] = {
            name: value for name, value in extensions.items() if not name.startswith(_ANSWER_EXTENSIONS)
        }
    return inner


def _is_stop(error: BaseException) -> bool:
    """Whether nothing but _Stop came out of the application; task groups wrap what their tasks raise."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_Stop)[1] is None
    return isinstance(error, _Stop)
