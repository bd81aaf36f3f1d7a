"""One connection with several requests: what HTTP/2 and HTTP/3 have in common. Edge."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from tocsin.wire._address import Address
from tocsin.wire._h2 import Parts
from tocsin.wire._h3 import missing
from tocsin.wire._line import Line
from tocsin.wire._member import Member
from tocsin.wire._streams import Stream
from tocsin.wire._styles import Style
from tocsin.wire._transport import Transport


class Multiplexed(Protocol):
    """The requests and answers of one connection, without a socket."""

    all: tuple[Stream, ...]
    last_allowed: int | None

    @property
    def limit(self) -> int:
        """How many streams the server allows."""

    @property
    def short_of_window(self) -> bool:
        """Whether flow control keeps back something that has to be sent before or at the gate."""


class SharedLine(Line):
    """A connection for several requests. It is open once the server has sent its SETTINGS.

    Args:
        transport: the connection, begun.
        members: whose requests go on it; more can join until `begin`.
        streams: what is said on it.
    """

    def __init__(self, transport: Transport, members: Sequence[Member], streams: Multiplexed) -> None:
        super().__init__(transport, members)
        self._shared = streams
        self._at_once = False

    @property
    def parking(self) -> bool:
        """See Line. Parked is what the server itself has confirmed; its kernel's word is not enough."""
        if self.finished or self._cut_off or self._ahead is not None:
            return self.sendable
        return self.sendable or not self.confirmed

    @property
    @abstractmethod
    def confirmed(self) -> bool:
        """Whether the server has told that it has what goes early."""

    @property
    def limit(self) -> int:
        """See Line. It is known once the line is open."""
        return self._shared.limit

    @property
    def ending(self) -> bool:
        """See Line."""
        return self._shared.last_allowed is not None

    @property
    def all_sent(self) -> bool:
        """See Line."""
        return super().all_sent and not self._at_once and bool(self._shared.all)

    @abstractmethod
    def begin(self, members: Sequence[Member], requests: Sequence[Parts], style: Style) -> None:
        """Send of the requests what the style sends early."""

    @abstractmethod
    def send_all(self, request: Parts) -> None:
        """Send the only member's request as fast as flow control lets it through, and hold nothing back."""

    def not_parked(self, within_s: float) -> str:
        """See Line."""
        if not self.parking:
            return ""
        if self._shared.short_of_window:
            return f"did not fit into the server's flow-control window within {within_s:g} s"
        return super().not_parked(within_s) or f"was not confirmed: {self.unconfirmed} within {within_s:g} s"

    @property
    @abstractmethod
    def unconfirmed(self) -> str:
        """What the server did not do, as a clause."""

    def _tell(self, at_ns: int) -> None:
        """Tell the members what has become of their streams."""
        for member, stream in zip(self.members, self._shared.all, strict=False):
            member.status = stream.status
            if stream.outcome is not None and not member.finished:
                member.end(stream.outcome, at_ns, stream.turn)


SharedLines: TypeAlias = Callable[[Transport, Sequence[Member]], SharedLine]


def shared_lines(address: Address) -> SharedLines:
    """What makes connections in an address's protocol, which is not HTTP/1.1.

    Raises:
        RequestError: it is HTTP/3, and aioquic is not installed.
    """
    if address.protocol != "h3":
        from tocsin.wire._h2_line import H2Line  # noqa: PLC0415  it imports this module

        return H2Line
    try:
        from tocsin.wire._h3_line import H3Line  # noqa: PLC0415  the http3 extra is needed only here
    except ModuleNotFoundError as error:
        raise missing() from error
    return H3Line
