"""The signature base and its MAC: the only canonicalisation. PURE.

Rule: signer, verifier and scanner all come through here.
"""

from collections.abc import Iterable

from tocsin.signing._components import Parameters
from tocsin.signing._encoding import ENCODINGS
from tocsin.signing._message import Message
from tocsin.signing._scheme import Scheme
from tocsin.signing._secret import Secret


def base_pieces(message: Message, scheme: Scheme, parameters: Parameters) -> tuple[bytes, ...]:
    """The signature base in pieces, the body as it is.

    Raises:
        Missing: a parameter or the public origin is not there.
        Malformed: a component is no text of a request.
    """
    return scheme.compiled.content.octets(message, parameters)


def signature_base(message: Message, scheme: Scheme, parameters: Parameters) -> bytes:
    """The octets that the signature is computed over.

    Raises:
        Missing, Malformed: see `base_pieces`.
    """
    return b"".join(base_pieces(message, scheme, parameters))


def signature_text(pieces: Iterable[bytes], scheme: Scheme, secret: Secret) -> str:
    """The signature over a base, as the scheme's header spells it."""
    return ENCODINGS[scheme.encoding](secret.keyed(scheme.hash).digest(pieces))
