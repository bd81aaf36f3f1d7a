"""The views that Django calls, around the handlers that the developer wrote."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from tocsin.guard._answer import Answer
from tocsin.guard._awaiting import never, performed
from tocsin.guard._errors import GuardError
from tocsin.guard._guarded import Declare, Guarded
from tocsin.guard._handlers import check_function, name_of
from tocsin.guard._signed import Signed
from tocsin.guard._steps import Refused, Returned
from tocsin.guard._store import Tx
from tocsin.guard.adapters.django._paths import path_template, resolver_of
from tocsin.guard.adapters.django._refusals import Plain, asked
from tocsin.guard.adapters.django._requests import message_of
from tocsin.guard.adapters.django._responses import Rendered
from tocsin.signing import Message


def django_view(declared: Declare[Tx], handler: Callable[..., Any], alias: str | None) -> Callable[..., Any]:
    """The view that Django calls.

    Args:
        declared: makes the operation.
        handler: takes (request, signed, tx) and the route's arguments; a method `self` before them.
        alias: the database of the store; None: it is not one of Django's.

    Raises:
        GuardError: the handler is not a function that can take these.
    """
    _check(handler)
    is_method = next(iter(inspect.signature(handler).parameters)) == "self"
    make = _async_view if inspect.iscoroutinefunction(handler) else _blocking_view
    view = make(declared(handler), handler, 1 if is_method else 0)
    # A signature is what shows that nobody else's page has sent this. The middleware would want a cookie, and would
    # parse the body of whoever has one.
    view.csrf_exempt = True  # type: ignore[attr-defined]
    # ATOMIC_REQUESTS would begin before verification, and commit an answer of 500 that was returned.
    transaction.non_atomic_requests(using=alias or DEFAULT_DB_ALIAS)(view)
    return view


def _blocking_view(guarded: Guarded[Tx], handler: Callable[..., Any], before: int) -> Callable[..., HttpResponseBase]:
    @wraps(handler)
    def view(*args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401  the route's own
        call = _Call(guarded, handler, before, args, kwargs)
        if isinstance(call.message, Answer):
            return call.sent(call.message)

        def run(signed: Signed, tx: Tx) -> Returned | Refused:
            try:
                return Returned(call.rendered.answer(call.asked.finished(call.handler(signed, tx))))
            except Exception as error:
                refusal = call.asked.refusal(error)
                if refusal is None:
                    raise
                return Refused(call.rendered.answer(refusal))

        try:
            return call.sent(guarded.perform(call.message, run))
        except BaseException:
            call.rendered.close()
            raise

    return view


def _async_view(guarded: Guarded[Tx], handler: Callable[..., Any], before: int) -> Callable[..., Any]:
    @wraps(handler)
    async def view(*args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ANN401  the route's own
        call = _Call(guarded, handler, before, args, kwargs)
        if isinstance(call.message, Answer):
            return call.sent(call.message)

        async def run(signed: Signed, tx: Tx) -> Returned | Refused:
            try:
                response = call.asked.finished(await call.handler(signed, tx))
                return Returned(await call.rendered.answer_async(response))
            except Exception as error:
                refusal = await sync_to_async(call.asked.refusal)(error)
                if refusal is None:
                    raise
                return Refused(await call.rendered.answer_async(refusal))

        try:
            return call.sent(await performed(guarded.begin(call.message, never), run))
        except BaseException:
            call.rendered.close()
            raise

    return view


class _Call:
    """One call of a guarded view.

    Attributes:
        asked: whose request it is.
        message: what to verify, or what to answer in place of that.
        rendered: what comes of it.
    """

    def __init__(
        self,
        guarded: Guarded[Tx],
        handler: Callable[..., Any],
        before: int,
        args: tuple[Any, ...],
        kwargs: Any,  # noqa: ANN401
    ) -> None:
        self.asked: Plain = asked(args[before])
        resolver = resolver_of(self.asked.http)
        if not guarded.is_named_by(resolver):
            guarded.name(path_template(self.asked.http, resolver), resolver)
        self.rendered = Rendered(guarded.limits.max_answer_bytes)
        self.message: Message | Answer = message_of(self.asked.http, guarded)
        self._handler = handler
        self._args = args[: before + 1], args[before + 1 :], kwargs

    def sent(self, answer: Answer) -> HttpResponse:
        """What Django sends of an answer."""
        return self.asked.sent(self.rendered.response(answer))

    def handler(self, signed: Signed, tx: object) -> Any:  # noqa: ANN401  whatever it returns
        """Call the developer's handler."""
        first, rest, kwargs = self._args
        return self._handler(*first, signed, tx, *rest, **kwargs)


def _check(handler: Callable[..., Any]) -> None:
    if hasattr(handler, "cls") or hasattr(handler, "view_class") or inspect.isclass(handler):
        raise GuardError(
            f"{name_of(handler)} is a whole view: what it refuses before its handler would be remembered; wanted "
            "guard.django directly above the function, below @api_view, or above the method"
        )
    if handler.__module__ == "django.utils.decorators":
        # What it shows to the decorator is a dummy; the method would be guarded anew with every request.
        raise GuardError("guard.django stands inside of @method_decorator; wanted it directly above the method itself")
    check_function(handler, "guard.django wants one that takes (request, signed, tx)", may_be_method=True)
