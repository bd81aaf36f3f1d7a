"""Services that nobody has looked at: a seed decides all of one, and with it what is true of it."""

from lab.generated._generate import SEED_FILE, generate
from lab.generated._traits import Traits, draw

__all__ = ["SEED_FILE", "Traits", "draw", "generate"]
