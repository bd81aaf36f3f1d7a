"""Plain WSGI: guards an application of the protocol, whatever framework it is written in, or none.

    @guard.wsgi(name="/order", key=json_pointer("/order_id"))
    def order(environ, start_response):
        signed, tx = environ["tocsin.signed"], environ["tocsin.tx"]

The form is an application, so it can be mounted, wrapped and served by anything that speaks WSGI; with `only=` it is a
middleware around a whole one. The answer is what the application returns, its iterable read to the end on the thread
of the request, inside the transaction; `close` follows COMMIT. What frameworks make of their own HTTP errors is an
answer like any other here, except where they say by exc_info that it is made of an error: then all is rolled back.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Generic

from tocsin.guard._answer import Answer, storable
from tocsin.guard._guarded import Guarded
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Returned
from tocsin.guard._store import Tx
from tocsin.guard._wsgi import BodyRefusedError, Collected, begun, environ_of_the_application, received_body
from tocsin.signing import Message
from tocsin.signing.servers import wsgi_headers, wsgi_target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SIGNED = "tocsin.signed"
TX = "tocsin.tx"


class GuardedApp(Generic[Tx]):
    """A WSGI application around another one.

    Args:
        guarded: the operation, named.
        app: what is guarded.
        only: which requests are guarded; None: all.
    """

    def __init__(
        self, guarded: Guarded[Tx], app: "WSGIApplication", only: "Callable[[WSGIEnvironment], bool] | None" = None
    ) -> None:
        update_wrapper(self, app)
        self._guarded = guarded
        self._app = app
        self._only = only

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer a request."""
        if self._only is not None and not self._only(environ):
            return self._app(environ, start_response)
        guarded = self._guarded
        try:
            body = received_body(environ, guarded.limits.max_body_bytes)
        except BodyRefusedError as refused:
            return begun(refused.answer or guarded.too_large(guarded.limits.max_body_bytes), start_response)
        message = Message(
            environ["REQUEST_METHOD"], wsgi_target(environ), wsgi_headers(environ), body, guarded.public_origin
        )
        run = _Run(guarded, self._app, environ, body)
        try:
            return _Body(begun(self._performed(message, run), start_response), run)
        except BaseException:
            run.close()
            raise

    def _performed(self, message: Message, run: "_Run[Tx]") -> Answer:
        try:
            return self._guarded.perform(message, run)
        except BaseException as error:
            # Rolled back whole; and the application has an answer to it, which nobody will get again.
            if run.reported is None or run.reported[0] is not error:
                raise
            return storable(run.reported[1])


class _Run(Generic[Tx]):
    """Runs the application in the transaction that the guard has opened; again where that was undone by a conflict.

    Attributes:
        reported: an error that the application has made an answer of, and that answer.
    """

    def __init__(self, guarded: Guarded[Tx], app: "WSGIApplication", environ: "WSGIEnvironment", body: bytes) -> None:
        self.reported: tuple[BaseException, Answer] | None = None
        self._guarded = guarded
        self._app = app
        self._environ = environ
        self._body = body
        self._collected: Collected | None = None

    def __call__(self, signed: Signed, tx: Tx) -> Returned:
        self.close()
        self._collected = Collected(self._guarded.limits.max_answer_bytes)
        inner = environ_of_the_application(self._environ, self._body)
        answer = self._collected.answer(self._app, {**inner, SIGNED: signed, TX: tx})
        if self._collected.reported is not None:
            self.reported = self._collected.reported, answer
            raise self._collected.reported
        return Returned(answer)

    def close(self) -> None:
        """Close what the application has returned, if it was not yet."""
        if self._collected is not None:
            self._collected.close()


class _Body:
    """The body for the server; when it is done with that, the application is told."""

    def __init__(self, parts: list[bytes], run: _Run[Tx]) -> None:
        self._parts = parts
        self.close = run.close

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def __len__(self) -> int:
        # PEP 3333: by one part alone a server knows the length.
        return len(self._parts)
