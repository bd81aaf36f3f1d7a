"""What a forked child must not share with its parent: locks that somebody held, connections that are in use.

Rule: everything opens per process. A server that loads the application before it forks (gunicorn --preload) gives every
worker its own locks and connections.
"""

import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something that a forked child has to begin anew."""

    def renew_after_fork(self) -> None:
        """Forget, without touching, whatever belongs to the parent."""
        ...


_renewed: WeakSet[Renewable] = WeakSet()
_here = object()


def process_here() -> object:
    """What stands for this process; a forked child has another one. Asking the system costs several times as much."""
    return _here


def renew_in_children(part: Renewable) -> None:
    """Call `renew_after_fork` of this object in every child that is forked while it lives."""
    _renewed.add(part)


def _renew_all() -> None:
    global _here  # noqa: PLW0603  one reference, replaced as a whole
    _here = object()
    for part in list(_renewed):
        part.renew_after_fork()


os.register_at_fork(after_in_child=_renew_all)
