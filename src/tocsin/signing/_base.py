"""The signature base and its MAC: the only canonicalisation. PURE.

Rule: signer, verifier and scanner all come through here.
"""

from collections.abc import Iterable
from dataclasses import replace

from tocsin.signing._components import Parameters
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._message import Message
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret

_NONE = Parameters()


def base_pieces(message: Message, scheme: Scheme, parameters: Parameters) -> tuple[bytes, ...]:
    """The signature base of a message as it is on the wire, in pieces, the body as it is.

    Raises:
        Missing: a parameter is not there.
        Malformed: a component is no text of a request.
        WrongDigest: the message carries a digest of another body.
        SchemeError: the public origin is not configured.
    """
    return scheme.compiled.content.octets(message, parameters)


def signature_base(message: Message, scheme: Scheme, parameters: Parameters) -> bytes:
    """The octets that the signature is computed over.

    Args:
        message: with or without the headers that signing adds.
        scheme: how it is signed.
        parameters: what is signed besides the message.

    Raises:
        Missing, Malformed, WrongDigest, SchemeError: see `base_pieces`.
    """
    return b"".join(base_pieces(completed(message, scheme, parameters), scheme, parameters))


def completed(message: Message, scheme: Scheme, parameters: Parameters) -> Message:
    """The message with the parameters' own headers, where it has none: some schemes sign those as headers."""
    texts = parameters._asdict()
    added = [
        (name, texts[kind])
        for kind, name in scheme.compiled.parameter_headers
        if texts[kind] is not None and not message.values(name)
    ]
    return replace(message, headers=(*message.headers, *added)) if added else message


def signature_text(pieces: Iterable[bytes], scheme: Scheme, secret: Secret, parameters: Parameters = _NONE) -> str:
    """The signature over a base, as the scheme spells it."""
    derivation = scheme.compiled.derivation
    if derivation is None:
        keyed = secret.keyed(scheme.hash)
    else:
        keyed = secret.derived(scheme.hash, derivation.prefix, derivation.chain(parameters.date, scheme.scope))
    return ENCODINGS[scheme.encoding](keyed.digest(pieces))
