"""Foreign documents as the beginning of a plan: curl, raw HTTP, HTTP archives, mitmproxy flows, OpenAPI.

Rule: what a document cannot say is asked for, never guessed in silence; and no secret or live signature in it gets into
a plan.
"""

from tocsin.inputs._errors import InputError
from tocsin.inputs._exchange import Exchange, chosen
from tocsin.inputs._har import read_har
from tocsin.inputs._mitm import read_flows
from tocsin.inputs._recorded import sketch_of
from tocsin.inputs._signature import Signing, of_preset
from tocsin.inputs._sketch import Sketch, plan_text

__all__ = [
    "Exchange",
    "InputError",
    "Signing",
    "Sketch",
    "chosen",
    "of_preset",
    "plan_text",
    "read_flows",
    "read_har",
    "sketch_of",
]
