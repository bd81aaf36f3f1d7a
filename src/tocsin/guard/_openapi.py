"""What an OpenAPI document says of a guarded operation, beside what its framework says already. PURE.

Rule: the document says what the guard does: the header fields of the scheme, and every answer that the guard gives by
itself. What the developer has said of an answer stays as it is.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from tocsin.signing import Scheme

Document: TypeAlias = dict[str, Any]

_PROBLEM: Document = {
    "type": "object",
    "title": "Problem",
    "description": "Problem details, RFC 9457",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}
_RETRY_AFTER: Document = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}}
_CHALLENGE: Document = {"WWW-Authenticate": {"schema": {"type": "string"}}}
_ANSWERS: Mapping[str, tuple[str, Document]] = {
    "400": ("Validly signed, and without a usable idempotency key", {}),
    "401": ("Not validly signed", _CHALLENGE),
    "409": ("The first request with this idempotency key is still running", _RETRY_AFTER),
    "413": ("The body is longer than is verified", {}),
    "422": ("The idempotency key belongs to another request, or the request is not valid", {}),
    "503": ("It cannot be applied at the moment, and nothing is known to have changed", _RETRY_AFTER),
}
_REPLAYED: Document = {
    "Idempotent-Replayed": {
        "description": '"true" where the request was applied before and this is the stored answer',
        "schema": {"type": "string"},
    }
}


_SUPERSEDED: Document = {
    "description": "A message as new as this one, or newer, was applied before: nothing changed",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "title": "Superseded",
                "properties": {"status": {"const": "superseded"}, "detail": {"type": "string"}},
                "required": ["status", "detail"],
            }
        }
    },
}


def with_the_guards(
    said: Document | None, answers: Mapping[int | str, Any], scheme: Scheme, success: int, *, is_ordered: bool = False
) -> Document:
    """The additions to an operation object.

    Args:
        said: what the developer adds to it.
        answers: what the developer says of single statuses.
        scheme: how its requests are signed.
        success: the status of the usual answer.
        is_ordered: whether older messages are answered 200 "superseded". Where that is the status of the usual answer
            too, the document keeps to what the developer says of it.
    """
    extra = dict(said or {})
    parameters = list(extra.get("parameters", ()))
    named = {str(parameter.get("name", "")).lower() for parameter in parameters}
    parameters += [field for field in _header_fields(scheme) if field["name"].lower() not in named]
    described = {str(status) for status, answer in answers.items() if answer.get("description")}
    own = {status: _answer(status, is_described=status in described) for status in _ANSWERS}
    if is_ordered:
        own["200"] = _SUPERSEDED
    own[str(int(success))] = {"headers": _REPLAYED}
    return extra | {"parameters": parameters, "responses": own | extra.get("responses", {})}


def documented(made: Document, scheme: Scheme, success: int, *, is_ordered: bool = False) -> Document:
    """An operation object as its framework has made it, with the additions; what the framework says already stays.

    Args:
        made: the operation object.
        scheme: as for `with_the_guards`.
        success: likewise.
        is_ordered: likewise.
    """
    own = with_the_guards({"parameters": made.get("parameters", ())}, {}, scheme, success, is_ordered=is_ordered)
    return _merged(own, made) | {"parameters": own["parameters"]}


def _merged(own: Document, made: Document) -> Document:
    return own | {
        name: _merged(own[name], value) if isinstance(value, dict) and name in own else value
        for name, value in made.items()
    }


def _header_fields(scheme: Scheme) -> list[Document]:
    signed = [(name, f"Signed, scheme {scheme.name}") for name in scheme.covered_headers]
    written = [(name, f"Of the signature, scheme {scheme.name}") for name in scheme.written_headers]
    return [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in dict([*signed, *written]).items()
    ]


def _answer(status: str, *, is_described: bool) -> Document:
    description, headers = _ANSWERS[status]
    answer: Document = {"content": {"application/problem+json": {"schema": _PROBLEM}}}
    if headers:
        answer["headers"] = headers
    return answer if is_described else {"description": description, **answer}
