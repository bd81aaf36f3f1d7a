"""Which exceptions are HTTP errors of Django's or REST framework's, and what those make of them.

Rule: the exception's type decides. What an application's own handler renders of any other exception is not an answer
to remember, because the exception says that the handler failed.
"""

import sys
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.core.handlers.exception import response_for_exception
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase

from tocsin.guard._answer import LEAST_FAILURE

# What response_for_exception answers below 500.
_OF_DJANGO = (Http404, PermissionDenied, BadRequest, SuspiciousOperation, MultiPartParserError)
_OF_BOTH = (Http404, PermissionDenied)


class Plain:
    """A view of Django's.

    Attributes:
        request: as the view gets it.
        http: Django's own.
    """

    def __init__(self, request: HttpRequest) -> None:
        self.request = self.http = request

    def refusal(self, error: Exception) -> HttpResponseBase | None:
        """What Django makes of an exception below 500; None: it is none of its HTTP errors."""
        return response_for_exception(self.http, error) if isinstance(error, _OF_DJANGO) else None

    def finished(self, response: Any) -> Any:  # noqa: ANN401  whatever the view has returned
        """The response, as it is."""
        return response

    def sent(self, response: HttpResponse) -> HttpResponse:
        """The response that was made from the answer, as it is."""
        return response


class Rest(Plain):
    """A view of REST framework's, which has its own request, errors and renderers."""

    def __init__(self, request: Any) -> None:  # noqa: ANN401  rest_framework.request.Request
        self.request = request
        self.http = request._request  # noqa: SLF001  the documented name of Django's request
        self._view = request.parser_context["view"]

    def refusal(self, error: Exception) -> HttpResponseBase | None:
        """See Plain."""
        from rest_framework.exceptions import APIException  # noqa: PLC0415  only its own views have it

        if isinstance(error, APIException):
            if error.status_code >= LEAST_FAILURE:
                return None
        elif not isinstance(error, _OF_BOTH):
            return None
        return self.finished(self._view.handle_exception(error))

    def finished(self, response: Any) -> Any:  # noqa: ANN401  likewise
        """The response with its renderer."""
        view = self._view
        return view.finalize_response(self.request, response, *view.args, **view.kwargs)

    def sent(self, response: HttpResponse) -> HttpResponse:
        """See Plain. REST framework adds its headers to every response; what is stored has them."""
        # Another process may spell them in another way: the methods in Allow come out of a set.
        self._view.headers = {}
        return response


def asked(request: Any) -> Plain:  # noqa: ANN401  one of two kinds
    """Whose request it is."""
    of_rest = sys.modules.get("rest_framework.request")
    return Rest(request) if of_rest is not None and isinstance(request, of_rest.Request) else Plain(request)
