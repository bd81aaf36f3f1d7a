"""Sign a message, and render any signature where a scheme would put it. PURE.

Rule: what `sign` returns is what `verify` wants. `attach` does not ask whether a signature is right: forgeries and
respellings are rendered by the same code as the real thing.
"""

from tocsin.signing._base import base_pieces, signature_text
from tocsin.signing._components import NONCE_WANTED, Parameters, is_nonce, wire_octets
from tocsin.signing._errors import Rejected, SchemeError
from tocsin.signing._message import Header, Message
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret
from tocsin.signing._timestamp import render_timestamp


def make_parameters(scheme: Scheme, *, now: float, nonce: str | None = None, key_id: str | None = None) -> Parameters:
    """What the scheme signs with besides the message.

    Args:
        scheme: decides which of the others are used.
        now: the instant that is signed, in Unix seconds.
        nonce: for schemes with a nonce.
        key_id: for schemes with a key id.

    Raises:
        SchemeError: the scheme needs one that is not given.
    """
    if nonce is not None and scheme.has_nonce and not is_nonce(nonce):
        raise SchemeError(f"nonce {nonce!r}: wanted {NONCE_WANTED}")
    parameters = Parameters(
        timestamp=render_timestamp(now, scheme.timestamp_format) if scheme.has_timestamp else None,
        nonce=nonce if scheme.has_nonce else None,
        key_id=key_id if scheme.has_key_id else None,
    )
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
        return signature_text(base_pieces(message, scheme, parameters), scheme, secret)
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
    headers = [(name, texts[kind]) for kind, name in scheme.compiled.parameter_headers]
    headers.append((scheme.header, scheme.compiled.layout.render(signature, texts)))
    for name, value in headers:
        try:
            wire_octets(value, f"header {name}")
        except Rejected as error:
            raise SchemeError(str(error)) from None
    return tuple(headers)


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
    parameters = make_parameters(scheme, now=now, nonce=nonce, key_id=secret.key_id)
    headers = attach(scheme, compute_signature(message, scheme, secret, parameters), parameters)
    if not _reads_back(scheme, headers[-1][1], parameters):
        raise SchemeError(f"value = {scheme.value!r} cannot be read back with {parameters!r} in it")
    return headers


def _check_given(scheme: Scheme, parameters: Parameters) -> None:
    for kind, text in parameters._asdict().items():
        if text is None and scheme.carries(kind):
            raise SchemeError(f"{scheme.name} sends a {kind}, and none is given")


def _reads_back(scheme: Scheme, value: str, parameters: Parameters) -> bool:
    """Whether a verifier finds the parameters again; a nonce may hold what ends it in the value."""
    try:
        found = scheme.compiled.layout.read(value).parameters
    except Rejected:
        return False
    return all(text == getattr(parameters, kind) for kind, text in found.items())
