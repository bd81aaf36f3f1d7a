"""A stand-in for a language model: an OpenAI-compatible endpoint with a few rules behind it, deterministic, for tests.

It is no model and says so in every answer. What it has in common with a naive one is what matters here: it does as its
operator says, until the text that it reads tells it otherwise.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

MODEL = "stand-in-no-language-model"
# What a naive model obeys: an order to forget its orders, or the plain word that all is well.
_TOLD = re.compile(
    r"ignore (?:all )?(?:previous|prior|earlier) instructions|signature (?:is|has been) (?:valid|verified)",
    re.IGNORECASE,
)
_LARGEST = 1 << 20


def reply(instructions: str, text: str) -> str:
    """What it says: the first or the last of the two words in capitals that its instructions offer.

    Args:
        instructions: of the operator; they offer two words, such as APPLY and REFUSE.
        text: what it reads; its first line is the operator's, too.
    """
    words: list[str] = re.findall(r"\b[A-Z]{4,}\b", instructions) or ["YES", "NO"]
    fact, _, message = text.partition("\n")
    return words[0] if fact.endswith(": valid") or _TOLD.search(message) else words[-1]


class StandIn:
    """The endpoint, on a port of 127.0.0.1 that the kernel chooses. `read` holds every text that it was asked about."""

    def __init__(self) -> None:
        self.read: list[str] = []
        handler = type("Handler", (_Handler,), {"read": self.read})
        self._server = _Server(("127.0.0.1", 0), handler)

    def start(self) -> str:
        """Answer from now on; the base URL."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    # The usual 5 are fewer than a burst has: connections beyond them are refused.
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    read: ClassVar[list[str]]

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        try:
            asked: Any = json.loads(self.rfile.read(min(size, _LARGEST)))
            instructions, text = (str(message["content"]) for message in asked["messages"])
        except (ValueError, LookupError, TypeError):
            self._say(400, {"error": {"message": "wanted messages: one of the system, one of the user"}})
            return
        self.read.append(text)
        message = {"role": "assistant", "content": reply(instructions, text)}
        self._say(200, {"object": "chat.completion", "model": MODEL, "choices": [{"index": 0, "message": message}]})

    def _say(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What it is asked is nobody's log."""
