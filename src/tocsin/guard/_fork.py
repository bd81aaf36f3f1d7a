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


class Resting(Protocol):
    """Something that is better not in use while its process forks."""

    def before_fork(self) -> None:
        """Close what a child could neither use nor open again, if that takes no time."""
        ...

    def after_fork(self) -> None:
        """In the parent: go on."""
        ...


_renewed: WeakSet[Renewable] = WeakSet()
_resting: WeakSet[Resting] = WeakSet()
_here = object()


def process_here() -> object:
    """What stands for this process; a forked child has another one. Asking the system costs several times as much."""
    return _here


def renew_in_children(part: Renewable) -> None:
    """Call `renew_after_fork` of this object in every child that is forked while it lives."""
    _renewed.add(part)


def rest_at_forks(part: Resting) -> None:
    """Call `before_fork` and `after_fork` of this object around every fork while it lives."""
    _resting.add(part)


def _rest_all() -> None:
    for part in list(_resting):
        part.before_fork()


def _go_on() -> None:
    for part in list(_resting):
        part.after_fork()


def _renew_all() -> None:
    global _here  # noqa: PLW0603  one reference, replaced as a whole
    _here = object()
    for part in list(_renewed):
        part.renew_after_fork()


os.register_at_fork(before=_rest_all, after_in_parent=_go_on, after_in_child=_renew_all)
