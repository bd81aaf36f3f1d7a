"""The services on an event loop, with what they have loaded taken out of the garbage collector's walks.

As docs/guides/fastapi.md advises, and for the unguarded ones alike: what is compared is the guard.
"""

import gc
import importlib
from functools import partial
from typing import Any


def _frozen(module: str) -> Any:  # noqa: ANN401  an ASGI application
    app = importlib.import_module(module).app
    gc.collect()
    gc.freeze()
    return app


bare_fastapi = partial(_frozen, "bare_fastapi")
queued_fastapi = partial(_frozen, "queued_fastapi")
sharing_fastapi = partial(_frozen, "sharing_fastapi")
guarded_fastapi = partial(_frozen, "guarded_fastapi")
guarded_asgi = partial(_frozen, "guarded_asgi")
