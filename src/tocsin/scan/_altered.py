"""Requests in which one part is not what was signed.

Rule: two messages differ in one part, and the signature of one is sent on the other. Whoever accepts it does not look
at that part, or not at its octets.
"""

import time
from collections.abc import Callable
from dataclasses import replace

from tocsin.scan._compose import Composer, Draft, Shot
from tocsin.scan._plan import RequestTemplate
from tocsin.signing import Message, attach, compute_signature, make_parameters

Change = Callable[[Message], Message]


def unchanged(message: Message) -> Message:
    """For a side of the pair that is as the plan says."""
    return message


def altered(composer: Composer, draft: Draft, *, signed: Change = unchanged, sent: Change = unchanged) -> Shot:
    """The plan's request with another message's signature.

    Args:
        composer: renders and signs.
        draft: of the request.
        signed: what is changed in the message that is signed.
        sent: what is changed in the message that is sent.
    """
    at = time.time()
    message = composer.message(composer.plan.request, draft, at=at)
    headers = composer.signature(signed(message), draft, at=at)
    sending = sent(message)
    return composer.as_it_stands(replace(sending, headers=sending.headers + headers), draft, at=at)


def restated(composer: Composer, draft: Draft, *, shift_s: float = 0, nonce: str | None = None) -> Shot:
    """The plan's request with another timestamp or nonce beside its signature than the ones that were signed.

    Args:
        composer: renders and signs.
        draft: of the request.
        shift_s: how much later the stated timestamp is than the signed one.
        nonce: the stated one, if not the signed one.
    """
    at = time.time()
    scheme, secret, own = composer.plan.scheme, composer.secret, draft.values.get("nonce")
    message = composer.message(composer.plan.request, draft, at=at)
    signed = make_parameters(scheme, now=at, nonce=own, key_id=secret.key_id, message=message)
    stated = make_parameters(scheme, now=at + shift_s, nonce=nonce or own, key_id=secret.key_id, message=message)
    headers = attach(scheme, compute_signature(message, scheme, secret, signed), stated)
    return composer.as_it_stands(replace(message, headers=message.headers + headers), draft, at=at)


def for_route(composer: Composer, route: RequestTemplate, draft: Draft) -> Shot:
    """An honest request of another route."""
    return _to_route(composer, route, draft, unchanged)


def to_route(composer: Composer, route: RequestTemplate, draft: Draft) -> Shot:
    """A request of another route under the signature for the operation's method and path, as a captured one has it."""
    operation = composer.message(composer.plan.request, draft, at=time.time())

    def as_the_operation(message: Message) -> Message:
        return replace(operation, headers=message.headers, body=message.body)

    return _to_route(composer, route, draft, as_the_operation)


def with_header(message: Message, name: str, value: str) -> Message:
    """The message with another value for a header that it has."""
    headers = tuple((given, value if given.lower() == name.lower() else old) for given, old in message.headers)
    return replace(message, headers=headers)


def _to_route(composer: Composer, route: RequestTemplate, draft: Draft, signed: Change) -> Shot:
    at = time.time()
    message = composer.message(route, draft, at=at)
    headers = composer.signature(signed(message), draft, at=at)
    return composer.as_it_stands(replace(message, headers=message.headers + headers), draft, at=at, origin=route.origin)
