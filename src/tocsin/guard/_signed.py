"""What a guarded handler gets to see of its request. PURE."""

from dataclasses import dataclass

from tocsin.signing import Json, Message, Verified, parse_json


@dataclass(frozen=True, slots=True)
class Signed:
    """A verified request.

    Args:
        message: the request as it was signed, raw.
        verified: what its signature proves: tenant, key id, timestamp, message id.
    """

    message: Message
    verified: Verified

    @property
    def body(self) -> bytes:
        """The raw body: the bytes that were verified."""
        return self.message.body

    @property
    def tenant(self) -> str:
        """Whose secret signed it."""
        return self.verified.tenant

    def json(self) -> Json:
        """The body as JSON, parsed strictly.

        Raises:
            ValueError: it is none, or ambiguous: not UTF-8, a member given twice, NaN, too deep. A request whose key
                is a json_pointer() has been parsed before and does not raise.
        """
        return parse_json(self.message.body)
