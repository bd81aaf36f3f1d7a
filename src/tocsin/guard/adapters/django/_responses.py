"""From a view's response to an answer that can be stored, and from an answer to the response that Django sends.

Rule: both the first request and its duplicates get a response that was made from the stored answer, never the view's
own, so they cannot differ.
"""

from collections.abc import Container
from http.cookies import Morsel
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.http.response import HttpResponseBase

from tocsin.guard._answer import NO_CONTENT, Answer, collect, collect_async
from tocsin.guard._errors import AnswerTooLarge
from tocsin.signing import Header

_SET_COOKIE = "Set-Cookie"


class Rendered:
    """The responses of one request's runs; there are several where a transaction conflicted.

    Args:
        most_bytes: the longest body.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._responses: list[HttpResponseBase] = []

    def answer(self, response: Any) -> Answer:  # noqa: ANN401  whatever a view has returned
        """The response, rendered and read to its end.

        Raises:
            TypeError: it is no response.
            AnswerTooLarge: it is longer than `most_bytes`.
        """
        if callable(getattr(response, "render", None)):
            response = response.render()
        self._keep(response)
        body = collect(response, self._most_bytes) if response.streaming else self._whole(response)
        return Answer(response.status_code, _headers(response), body)

    async def answer_async(self, response: Any) -> Answer:  # noqa: ANN401  likewise
        """Like `answer`, on an event loop: templates may ask the database, and belong on its thread."""
        if callable(getattr(response, "render", None)):
            response = await sync_to_async(response.render)()
        self._keep(response)
        if not response.streaming:
            body = self._whole(response)
        elif response.is_async:
            body = await collect_async(response, self._most_bytes)
        else:
            body = await sync_to_async(collect)(response, self._most_bytes)
        return Answer(response.status_code, _headers(response), body)

    def close(self) -> None:
        """Let go of the responses; not by their own `close`, which would tell Django that the request is over."""
        while self._responses:
            for closer in self._responses.pop()._resource_closers:  # noqa: SLF001
                closer()

    def response(self, answer: Answer) -> HttpResponse:
        """What Django sends. What the view's response has to close is closed when that has been sent."""
        response = HttpResponse(answer.body, status=answer.status)
        # Not added to the default: an answer without a content type has none the second time either.
        del response["Content-Type"]
        for name, value in answer.headers:
            if name.lower() == _SET_COOKIE.lower():
                cookie = _StoredCookie(value)
                dict.__setitem__(response.cookies, cookie.key, cookie)
            else:
                response[name] = value
        if answer.status not in NO_CONTENT:
            response["Content-Length"] = str(len(answer.body))
        response._resource_closers.append(self.close)  # noqa: SLF001  Django's own for what comes after the answer
        return response

    def _keep(self, response: Any) -> None:  # noqa: ANN401  likewise
        if not isinstance(response, HttpResponseBase):
            raise TypeError(f"a guarded view returned {type(response).__name__}; wanted a response of Django's")
        self._responses.append(response)

    def _whole(self, response: HttpResponse) -> bytes:
        body: bytes = response.content
        if len(body) > self._most_bytes:
            raise AnswerTooLarge(self._most_bytes)
        return body


class _StoredCookie(Morsel[str]):
    """A cookie that is sent as it was stored, byte for byte."""

    def __init__(self, stored: str) -> None:
        super().__init__()
        name, _, rest = stored.partition("=")
        self._stored = stored
        # For middlewares that look at the cookies of a response.
        value = rest.partition(";")[0]
        self.set(name, value, value)

    def output(self, attrs: Container[str] | None = None, header: str = f"{_SET_COOKIE}:") -> str:  # noqa: ARG002  Morsel's
        return f"{header} {self._stored}".lstrip()


def _headers(response: HttpResponseBase) -> tuple[Header, ...]:
    cookies = [(_SET_COOKIE, cookie.output(header="").strip()) for cookie in response.cookies.values()]
    return (*response.items(), *cookies)
