"""What the language-model desks share: the client of an OpenAI-compatible endpoint, and a stand-in for one."""

from lab.llm._client import Model, ModelError, from_environment
from lab.llm._standin import StandIn

__all__ = ["Model", "ModelError", "StandIn", "from_environment"]
