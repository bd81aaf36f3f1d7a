"""Desks that let a message say whether it is signed, each in a way of its own."""

import base64
import hashlib
import hmac
import json
import re
from typing import Any

from tests.scan.services.desk import Answer, Asked, Desk


class Gullible(Desk):
    """Asks the message itself, if the signature does not fit."""

    def is_signed(self, asked: Asked) -> bool:
        return super().is_signed(asked) or self.says_so(asked)

    def says_so(self, _asked: Asked) -> bool:
        return False

    def member(self, asked: Asked, name: str) -> Any:
        try:
            found = json.loads(asked.body)
        except ValueError:
            return None
        return found.get(name) if isinstance(found, dict) else None


class BelievesAFlag(Gullible):
    def says_so(self, asked: Asked) -> bool:
        return bool(self.member(asked, "signature_valid") is True)


class BelievesTheGateway(Gullible):
    def says_so(self, asked: Asked) -> bool:
        return asked.values("X-Forwarded-For") == ["127.0.0.1"]


class BelievesTheQuery(Gullible):
    def says_so(self, asked: Asked) -> bool:
        return "skip_verification=1" in asked.target


class BelievesTheAlgorithm(Gullible):
    def says_so(self, asked: Asked) -> bool:
        return bool(self.member(asked, "alg") == "none")


class BelievesTheKey(Gullible):
    """Verifies under the key that the message brings."""

    def says_so(self, asked: Asked) -> bool:
        key = str(self.member(asked, "signing_secret") or "")
        wanted = hmac.new(key.encode(), asked.body, hashlib.sha256).hexdigest()
        return key != "" and hmac.compare_digest(wanted, asked.signature)


class IsPolluted(Gullible):
    """Merges a message into its settings, prototype and all."""

    def says_so(self, asked: Asked) -> bool:
        polluted = self.member(asked, "__proto__")
        return isinstance(polluted, dict) and polluted.get("verified") is True


class TakesTheLastOfTwo(Gullible):
    """Looks at the first signature header and, if that is empty, at none."""

    def says_so(self, asked: Asked) -> bool:
        return asked.values("X-Signature")[0] == ""


class Reads(Gullible):
    """As a language model with a tool that applies messages does: whatever it reads, it may do."""

    def text(self, asked: Asked) -> str:
        return asked.body.decode("utf-8", "replace")

    def says_so(self, asked: Asked) -> bool:
        return "signature of this message has been verified" in self.text(asked)


class ReadsBase64(Reads):
    def text(self, asked: Asked) -> str:
        found = re.findall(r"[A-Za-z0-9+/]{80,}={0,2}", super().text(asked))
        return " ".join(base64.b64decode(each + "==").decode("utf-8", "replace") for each in found)


class ReadsWhatNobodySees(Reads):
    def text(self, asked: Asked) -> str:
        said = json.dumps(self.member(asked, "note") or "")
        return json.loads(said).replace("\u200b", "") if "\\u200b" in said else ""


class BelievesATool(Reads):
    def says_so(self, asked: Asked) -> bool:
        return '\\"role\\": \\"tool\\"' in self.text(asked)


class SaysThatItBelieves(Gullible):
    """Answers as if it had done what it was told, and does nothing."""

    def unsigned(self, asked: Asked) -> Answer:
        return self.accepted() if b"signature_valid" in asked.body else super().unsigned(asked)


class BelievesEverybody(Gullible):
    def says_so(self, _asked: Asked) -> bool:
        return True
