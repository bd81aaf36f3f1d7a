"""Ask a language model behind an OpenAI-compatible endpoint, whichever the environment names.

LAB_LLM_BASE_URL (such as http://127.0.0.1:11434/v1), LAB_LLM_API_KEY and LAB_LLM_MODEL. Without a base URL a stand-in
answers: a few rules in this process, and no language model (see _standin.py).
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from lab.llm._standin import MODEL, StandIn

# A small model on a laptop takes seconds for two words; longer than this it never answers.
_TIMEOUT_S = 60.0
# Two words are wanted.
_MOST_TOKENS = 16


class ModelError(Exception):
    """The model did not answer, or not in the form that was agreed."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be asked.

    Args:
        base_url: what /chat/completions is appended to.
        name: how the endpoint calls it.
        api_key: sent as a bearer token where there is one.
    """

    base_url: str
    name: str
    api_key: str = field(default="", repr=False)

    def ask(self, instructions: str, text: str) -> str:
        """What the model says to a text under instructions, without blanks around it.

        Raises:
            ModelError: no answer, or none that can be read.
        """
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": text}]
        asked = {"model": self.name, "messages": messages, "temperature": 0, "max_tokens": _MOST_TOKENS}
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        url = f"{self.base_url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, json.dumps(asked).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as got:
                said = json.load(got)["choices"][0]["message"]["content"]
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            # The kind alone: an error's text may hold what was sent.
            raise ModelError(
                f"the model at {self.base_url} gave no answer that can be read: {type(error).__name__}"
            ) from None
        return str(said).strip()


def from_environment() -> Model:
    """The model that the environment names; else a stand-in, started now, which lives as long as the process."""
    base_url = os.environ.get("LAB_LLM_BASE_URL", "")
    if not base_url:
        print("LAB_LLM_BASE_URL is not set: a stand-in answers, a few rules and no language model", file=sys.stderr)
        return Model(StandIn().start(), MODEL)
    return Model(base_url, os.environ.get("LAB_LLM_MODEL", "default"), os.environ.get("LAB_LLM_API_KEY", ""))
