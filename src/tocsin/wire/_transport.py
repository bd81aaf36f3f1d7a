"""What the engine needs of a connection. PURE.

Rule: nothing here blocks. Plain TCP is one class with these methods, TLS another; the engine knows neither.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from tocsin.wire._address import Address
from tocsin.wire._proof import Sample


class Arrival(NamedTuple):
    """What has come in, b"" for the orderly end, and when on `time.monotonic_ns()`."""

    data: bytes
    at_ns: int


class Transport(Protocol):
    """One connection on its way from opening to closed."""

    @property
    def awaits_peer(self) -> bool:
        """Whether, while opening, the next step is the peer's: wait for bytes, not for room."""

    @property
    def pending(self) -> bool:
        """Whether bytes that `send` took still wait to leave."""

    @property
    def alpn(self) -> str:
        """The protocol that the server chose, "" where nothing was chosen."""

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def is_open(self) -> bool:
        """Advance the opening as far as it goes without waiting. True: bytes can be sent.

        Raises:
            OSError: the connection cannot be opened.
        """

    def send(self, data: bytes | memoryview) -> int:
        """Send what fits now, what is `pending` first; how many bytes of `data` were taken, 0 if none.

        Raises:
            OSError: the connection has ended.
        """

    def seal(self, withheld: bytes) -> bytes:
        """Turn what is withheld into the octets to write at the gate, ahead of time.

        From here on nothing may be sent until all that was sealed has been released, in the order of the sealing:
        under TLS every record has its number.
        """

    def release(self, sealed: bytes, /) -> int:
        """Write sealed octets, with nothing between the caller and the kernel; how many of them it took.

        Raises:
            OSError: the connection has ended, or the kernel takes nothing now.
        """

    def receive(self) -> Arrival | None:
        """What has arrived, with the instant at which the kernel had the last of it; None for nothing to read yet.

        Raises:
            OSError: the connection was reset.
        """

    def sample(self) -> Sample | None:
        """The kernel's counters, None where it has none to give."""

    def finish(self) -> None:
        """Tell the peer that nothing more will be sent. What it still sends can be read, and the counters too."""

    def close(self, *, reset: bool) -> None:
        """End the connection; with `reset` at once, so that the server drops a request that is not complete."""


Opener: TypeAlias = Callable[[Address], Transport]
"""Begins to open a connection. Raises OSError where this machine has no socket left."""
