"""How a generated service's messages are signed: drawn, written into its plan, and computed for the brute force.

Nothing of tocsin.signing is used here: what it gets wrong, this does not. Only guarded services load it themselves.
"""

import base64
import hmac
import random
import time
from dataclasses import dataclass, replace

# What the service does with the timestamp.
CHECKED, IGNORED, PAST_ONLY, WIDE, UNSIGNED = "checked", "ignored", "past-only", "wide", "unsigned"
TOLERANCE_S = 300
# More than the 15 minutes that a scan asks about, less than its hour.
WIDE_S = 1500


@dataclass(frozen=True, slots=True)
class Signature:
    """A scheme, and how the service keeps to it.

    Args:
        preset: the plan's name for it, or "".
        content: what is signed; {timestamp} {nonce} {method} {path} {body} and literals.
        hash, encoding: words of the plan.
        header: where it stands; value: as what, with {signature} and perhaps {timestamp} between `separator`s.
        timestamp_header, nonce_header: "" where there is none.
        timestamp: what the service does with it, "" if there is none.
    """

    preset: str
    content: str
    hash: str
    encoding: str
    header: str
    value: str = "{signature}"
    separator: str = ""
    timestamp_header: str = ""
    nonce_header: str = ""
    timestamp: str = ""

    @property
    def signs_route(self) -> bool:
        """Whether a message for one route is none for another."""
        return "{path}" in self.content

    @property
    def changes_when_signed_again(self) -> bool:
        """Whether the signature of one message differs each time it is signed."""
        return "{timestamp}" in self.content or "{nonce}" in self.content

    @property
    def tolerance_s(self) -> int:
        """How far from now a timestamp may be."""
        return WIDE_S if self.timestamp == WIDE else TOLERANCE_S

    def headers(
        self, secret: str, method: str, path: str, body: bytes, *, at: float | None = None, nonce: str = ""
    ) -> dict[str, str]:
        """The headers that sign a message.

        Args:
            secret: the shared one.
            method, path, body: of the message.
            at: the instant it says, Unix seconds; None: now.
            nonce: where the scheme has one.
        """
        stamp = str(int(time.time() if at is None else at))
        filled = self.content.split("{body}")
        known = {"timestamp": stamp, "nonce": nonce, "method": method, "path": path}
        content = body.join(_filled(part, known).encode() for part in filled)
        text = encoded(hmac.new(secret.encode(), content, self.hash).digest(), self.encoding)
        headers = {self.header: _filled(self.value, {"signature": text, "timestamp": stamp})}
        if self.timestamp_header:
            headers[self.timestamp_header] = stamp
        if self.nonce_header:
            headers[self.nonce_header] = nonce
        return headers

    def toml(self) -> str:
        """The table [signing] of a plan."""
        secret = 'secret = { env = "LAB_SECRET" }\n'
        if self.preset:
            return f'[signing]\npreset = "{self.preset}"\n{secret}'
        lines = [f'hash = "{self.hash}"', f'encoding = "{self.encoding}"', f'content = "{_escaped(self.content)}"']
        lines += [f'header = "{self.header}"', f'value = "{self.value}"']
        lines += [f'item_separator = "{self.separator}"'] if self.separator else []
        if self.timestamp_header:
            lines += [f'timestamp_header = "{self.timestamp_header}"', 'timestamp_format = "unix"']
        lines += [f'nonce_header = "{self.nonce_header}"'] if self.nonce_header else []
        return "[signing]\n" + "\n".join(lines) + f"\n{secret}"

    def for_guard(self) -> str:
        """The Python expression of the scheme for tocsin.guard."""
        if self.preset:
            return f'preset("{self.preset}")'
        fields = {"name": "generated", "content": self.content, "hash": self.hash, "encoding": self.encoding}
        fields |= {"header": self.header, "value": self.value}
        fields |= {"item_separator": self.separator} if self.separator else {}
        fields |= {"timestamp_header": self.timestamp_header} if self.timestamp_header else {}
        fields |= {"nonce_header": self.nonce_header} if self.nonce_header else {}
        return f"Scheme({', '.join(f'{name}={value!r}' for name, value in fields.items())})"


def encoded(digest: bytes, encoding: str) -> str:
    """A digest as the plan's word for its encoding says."""
    match encoding:
        case "hex":
            return digest.hex()
        case "HEX":
            return digest.hex().upper()
        case "base64":
            return base64.b64encode(digest).decode()
        case _:
            return base64.urlsafe_b64encode(digest).decode().rstrip("=")


# From the providers' own pages (docs/signing.md has them), not from the presets.
_PUBLISHED = (
    Signature("hex-sha256-body", "{body}", "sha256", "hex", "X-Signature"),
    Signature("github", "{body}", "sha256", "hex", "X-Hub-Signature-256", "sha256={signature}"),
    Signature("shopify", "{body}", "sha256", "base64", "X-Shopify-Hmac-SHA256"),
    Signature(
        "stripe", "{timestamp}.{body}", "sha256", "hex", "Stripe-Signature", "t={timestamp},v1={signature}", ",",
        timestamp=CHECKED,
    ),
    Signature(
        "slack", "v0:{timestamp}:{body}", "sha256", "hex", "X-Slack-Signature", "v0={signature}",
        timestamp_header="X-Slack-Request-Timestamp", timestamp=CHECKED,
    ),
    Signature(
        "hex-sha256-timestamp-body", "{timestamp}.{body}", "sha256", "hex", "X-Signature",
        timestamp_header="X-Timestamp", timestamp=CHECKED,
    ),
)  # fmt: skip
_CONTENTS = (
    "{body}",
    "{timestamp}.{body}",
    "{timestamp}|{nonce}|{body}",
    "{method}\n{path}\n{timestamp}\n{body}",
    "{method} {path}\n{body}",
    "{path}:{timestamp}:{nonce}:{body}",
)
_VENDORS = ("Acme", "Orbit", "Pine", "Quay", "Delta")


def draw_signature(dice: random.Random, *, is_sound: bool) -> Signature:
    """A published scheme or a home-made one.

    Args:
        dice: where the choices come from.
        is_sound: the service keeps to it in everything.
    """
    drawn = dice.choice(_PUBLISHED) if dice.random() < 0.4 else _home_made(dice)
    if not drawn.timestamp or is_sound or dice.random() < 0.5:
        return drawn
    word = dice.choice((IGNORED, PAST_ONLY, WIDE, UNSIGNED))
    if word == UNSIGNED and (drawn.preset or not drawn.timestamp_header):
        word = IGNORED
    content = drawn.content.replace("{timestamp}", "v1") if word == UNSIGNED else drawn.content
    return replace(drawn, timestamp=word, content=content)


def _home_made(dice: random.Random) -> Signature:
    content = dice.choice(_CONTENTS)
    vendor = dice.choice(_VENDORS)
    stamped = "{timestamp}" in content
    in_value = stamped and dice.random() < 0.3
    prefix = dice.choice(("", "", "v1=", "hmac ", "sha="))
    return Signature(
        preset="",
        content=content,
        hash=dice.choice(("sha256", "sha256", "sha512", "sha384")),
        encoding=dice.choice(("hex", "hex", "HEX", "base64", "base64url")),
        header=dice.choice((f"X-{vendor}-Signature", f"{vendor}-Hmac", f"X-{vendor}-Auth")),
        value="t={timestamp};s={signature}" if in_value else f"{prefix}{{signature}}",
        separator=";" if in_value else "",
        timestamp_header=f"X-{vendor}-Time" if stamped and not in_value else "",
        nonce_header=f"X-{vendor}-Nonce" if "{nonce}" in content else "",
        timestamp=CHECKED if stamped else "",
    )


def _filled(template: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _escaped(text: str) -> str:
    return text.replace("\n", "\\n")
