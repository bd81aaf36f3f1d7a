"""Sign a message, and render any signature where a scheme would put it. PURE.

Rule: what `sign` returns is what `verify` wants. `attach` does not ask whether a signature is right: forgeries and
respellings are rendered by the same code as the real thing.
"""

from dataclasses import replace

from tocsin.signing._base import base_pieces, completed, signature_text
from tocsin.signing._body_fields import with_fields
from tocsin.signing._components import DATE_CHARACTERS, NONCE_WANTED, Parameters, is_nonce, wire_octets
from tocsin.signing._errors import Rejected, SchemeError
from tocsin.signing._message import Header, Message
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret
from tocsin.signing._timestamp import render_timestamp


def make_parameters(
    scheme: Scheme,
    *,
    now: float,
    nonce: str | None = None,
    key_id: str | None = None,
    message: Message | None = None,
) -> Parameters:
    """What the scheme signs with besides the message.

    Args:
        scheme: decides which of the others are used.
        now: the instant that is signed, in Unix seconds.
        nonce: for schemes with a nonce.
        key_id: for schemes with a key id.
        message: for schemes that carry a digest of the body, or list the headers that they sign.

    Raises:
        SchemeError: the scheme needs one that is not given.
    """
    if nonce is not None and scheme.has_nonce and not is_nonce(nonce):
        raise SchemeError(f"nonce {nonce!r}: wanted {NONCE_WANTED}")
    if message is None and (scheme.carries("digest") or scheme.carries("covered")):
        raise SchemeError(f"{scheme.name} carries a digest or a list of what it signs; wanted the message")
    message = message or Message("", "", (), b"")
    timestamp = render_timestamp(now, scheme.timestamp_format) if scheme.has_timestamp else None
    digest = scheme.compiled.digest
    parameters = Parameters(
        timestamp=timestamp,
        nonce=nonce if scheme.has_nonce else None,
        key_id=key_id if scheme.has_key_id else None,
        digest=None if digest is None else digest.render(message),
        date=timestamp[:DATE_CHARACTERS] if timestamp is not None and scheme.carries("date") else None,
    )
    parameters = parameters._replace(covered=scheme.compiled.carrier.list_covered(message, parameters))
    _check_given(scheme, parameters)
    return parameters


def compute_signature(message: Message, scheme: Scheme, secret: Secret, parameters: Parameters) -> str:
    """The signature's text, for `attach`.

    Raises:
        SchemeError: the message cannot be signed under this scheme.
    """
    for name in scheme.covered_headers:
        count = len(message.values(name))
        if count != 1:
            raise SchemeError(f"{scheme.name} signs header {name}, which the message has {count} times; wanted once")
    try:
        pieces = base_pieces(completed(message, scheme, parameters), scheme, parameters)
        return signature_text(pieces, scheme, secret, parameters)
    except Rejected as error:
        raise SchemeError(f"the message cannot be signed: {error}") from None


def attach(scheme: Scheme, signature: str, parameters: Parameters) -> tuple[Header, ...]:
    """The headers that carry a signature, whatever text that is.

    Raises:
        SchemeError: the scheme sends a parameter that is not given, or a header's value would hold a line break, NUL
            or a character that is no octet.
    """
    _check_given(scheme, parameters)
    texts = {kind: text for kind, text in parameters._asdict().items() if text is not None}
    headers = scheme.compiled.carrier.headers(signature, texts)
    if not headers:
        raise SchemeError(f"{scheme.name} carries its signature in the body; wanted signed_message()")
    for name, value in headers:
        try:
            wire_octets(value, f"header {name}")
        except Rejected as error:
            raise SchemeError(str(error)) from None
    return headers


def sign(
    message: Message, scheme: Scheme, secret: Secret, *, now: float, nonce: str | None = None
) -> tuple[Header, ...]:
    """The headers to add to a message.

    Args:
        message: what is sent; without the headers that this adds.
        scheme: how it is signed.
        secret: with a key id, if the scheme has key ids.
        now: the instant to sign, in Unix seconds.
        nonce: for schemes with a nonce; the caller makes it.

    Raises:
        SchemeError: the message cannot be signed under this scheme with these arguments.
    """
    for name in scheme.written_headers:
        if message.values(name):
            raise SchemeError(f"the message already has header {name}; wanted it without a signature")
    parameters = make_parameters(scheme, now=now, nonce=nonce, key_id=secret.key_id, message=message)
    headers = attach(scheme, compute_signature(message, scheme, secret, parameters), parameters)
    _check_reads_back(replace(message, headers=message.headers + headers), scheme, parameters)
    return headers


def signed_message(
    message: Message, scheme: Scheme, secret: Secret, *, now: float, nonce: str | None = None
) -> Message:
    """The message as it is sent: with the headers of `sign`, and with what the scheme carries in the body.

    Args:
        message: what is sent. A body that carries something is rendered anew, with that in its place.
        scheme: how it is signed.
        secret: with a key id, if the scheme has key ids.
        now: the instant to sign, in Unix seconds.
        nonce: for schemes with a nonce; the caller makes it.

    Raises:
        SchemeError: the message cannot be signed under this scheme with these arguments.
    """
    compiled = scheme.compiled
    parameters = make_parameters(scheme, now=now, nonce=nonce, key_id=secret.key_id, message=message)
    texts = parameters._asdict()
    fields = {pointer: texts[kind] for kind, pointer in compiled.pointers.items()}
    if fields:
        message = replace(message, body=with_fields(message.body, scheme.body_format, fields))
    if compiled.signature_pointer is None:
        return replace(message, headers=message.headers + sign(message, scheme, secret, now=now, nonce=nonce))
    fields = {compiled.signature_pointer: compute_signature(message, scheme, secret, parameters)}
    message = replace(message, body=with_fields(message.body, scheme.body_format, fields))
    _check_reads_back(message, scheme, parameters)
    return message


def _check_given(scheme: Scheme, parameters: Parameters) -> None:
    for kind, text in parameters._asdict().items():
        if text is None and scheme.carries(kind):
            raise SchemeError(f"{scheme.name} sends a {kind}, and none is given")


def _check_reads_back(message: Message, scheme: Scheme, parameters: Parameters) -> None:
    """Whether a verifier finds the parameters again; a nonce may hold what ends it in the value."""
    try:
        found = scheme.compiled.carrier.read(message)[0].parameters
    except Rejected as error:
        raise SchemeError(f"the signed message cannot be read back: {error}") from None
    # A timestamp in the body is the caller's, unless signed_message has written it.
    in_body = scheme.compiled.pointers.keys()
    if any(text != getattr(parameters, kind) for kind, text in found.items() if kind not in in_body):
        raise SchemeError(f"value = {scheme.value!r} cannot be read back with {parameters!r} in it")
