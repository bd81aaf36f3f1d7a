"""Why a message is refused, and why a declaration is. PURE.

Rule: a Rejected says what a stranger sent; a SchemeError says what we ourselves configured. Neither ever holds a secret
or a signature. Sending a rejected message again, unchanged, does not help, except after OutsideTolerance caused by a
clock that has been set right since.
"""

# A misplaced signature is longer than any timestamp or sane key id: longer texts are counted, not shown.
_SHOWN_CHARACTERS = 24


def shown(text: str) -> str:
    """The text as a log may hold it: quoted, ASCII, and only its length where it is long."""
    return ascii(text) if len(text) <= _SHOWN_CHARACTERS else f"({len(text)} characters)"


class SchemeError(ValueError):
    """A scheme, secret, key ring or call is wrong: our own misuse, never a stranger's fault."""


class Rejected(Exception):  # noqa: N818  it is a verdict on a message, not a fault of the program
    """The message is not accepted. Only the kinds below are raised.

    Answer every kind alike (401, one wording): the difference is for the log, not for the sender.
    """

    @property
    def kind(self) -> str:
        """The kind's name, for a log: "Missing", "WrongSignature"."""
        return type(self).__name__


class Missing(Rejected):
    """Something that the scheme needs is not there.

    Args:
        part: what is missing: "header X-Signature".
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def __str__(self) -> str:
        return f"{self.part} is missing"


class Duplicated(Rejected):
    """Something is there twice, so that two readers might take a different one.

    Args:
        part: what is there more than once: "header X-Signature".
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def __str__(self) -> str:
        return f"{self.part} is given more than once"


class Malformed(Rejected):
    """Something is not spelled as the scheme wants it.

    Args:
        part: what is malformed: "header X-Signature".
        reason: what was found and what was wanted, without the signature itself.
    """

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(part, reason)
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.part} {self.reason}"


class WrongDigest(Rejected):
    """The message carries a digest of its body, and the body has another one.

    Args:
        part: where the digest stands: "header Content-Digest".
    """

    def __init__(self, part: str) -> None:
        super().__init__(part)
        self.part = part

    def __str__(self) -> str:
        return f"{self.part} is not the digest of the body"


class UnknownKey(Rejected):
    """No secret in the ring is active now for this message.

    Args:
        key_id: the key id that the message names, or None where the scheme has none.
    """

    def __init__(self, key_id: str | None) -> None:
        super().__init__(key_id)
        self.key_id = key_id

    def __str__(self) -> str:
        if self.key_id is None:
            return "no secret in the key ring is active"
        return f"no active secret has the key id {shown(self.key_id)}"


class WrongSignature(Rejected):
    """The signature is well formed and fits no active secret: other content, other secret, or a forgery."""

    def __str__(self) -> str:
        return "the signature fits no active secret"


class OutsideTolerance(Rejected):
    """The signature is right, and its timestamp too old or too far ahead.

    Args:
        age_s: how old the timestamp is, in seconds; below 0 it lies in the future.
        tolerance_s: how old, or how far ahead, it may be.
    """

    def __init__(self, age_s: float, tolerance_s: float) -> None:
        super().__init__(age_s, tolerance_s)
        self.age_s = age_s
        self.tolerance_s = tolerance_s

    def __str__(self) -> str:
        where = "in the future" if self.age_s < 0 else "old"
        return f"the timestamp is {abs(self.age_s):g} s {where}, and {self.tolerance_s:g} s are tolerated"
