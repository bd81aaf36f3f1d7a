"""What one trial did: how many effects, how many are allowed, and why it may count for nothing. PURE."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tocsin.findings import Json
from tocsin.history import History
from tocsin.scan._oracle import Reading
from tocsin.scan._statuses import LIMITED, UNHEARD
from tocsin.wire import Delivery, Response


@dataclass(frozen=True, slots=True)
class Trial:
    """What a set of requests did.

    Args:
        allowed: how many effects these requests may have together.
        effects: how many they had, as the state shows.
        members: how many requests were sent.
        successes: how many of them were answered with a success status.
        statuses: how often each status was answered.
        state: before and after, in words.
        below_floor: whether a state ended below [limits] floor.
        history: who overlapped whom; None where nothing was meant to overlap.
        took_s: how long the slowest of the requests took, its answer included, where they came one after the other.
        reading: the state after, None where nothing was to overlap.
        responses: the answers, None for a request without one.
        delivery: how the requests were delivered, and how that was proved; None where nothing was to overlap.
        void: why the trial cannot count as clean, or "". An effect too many is one all the same.
    """

    allowed: int
    effects: int
    members: int
    successes: int
    statuses: Mapping[str, int]
    state: tuple[str, str]
    below_floor: bool = False
    history: History | None = field(default=None, repr=False)
    took_s: float = 0.0
    reading: Reading | None = field(default=None, repr=False)
    responses: tuple[Response | None, ...] = field(default=(), repr=False)
    delivery: Delivery | None = field(default=None, repr=False)
    void: str = ""

    @property
    def limited(self) -> int:
        """How many requests a rate limiter or an overloaded service turned away."""
        return self._answered(LIMITED)

    @property
    def unheard(self) -> int:
        """How many requests were answered without a look at them."""
        return self._answered(UNHEARD)

    def _answered(self, so: Collection[int]) -> int:
        return sum(self.statuses.get(str(status), 0) for status in so)

    def facts(self) -> dict[str, Json]:
        """As a report shows it."""
        before, after = self.state
        facts: dict[str, Json] = {
            "requests": self.members,
            "effects": self.effects,
            "allowed_effects": self.allowed,
            "successes": self.successes,
            "statuses": dict(self.statuses),
            "state_before": before,
            "state_after": after,
        }
        if self.delivery is not None:
            facts |= {
                "delivery": delivery_facts(self.delivery),
                "most_in_flight": self.delivery.history.most_in_flight(),
            }
        return facts


def delivery_facts(delivery: Delivery) -> dict[str, Json]:
    """How a burst was delivered, as a report shows it.

    Over QUIC no kernel counts what left, so `proof` says "unverified", and `datagrams` how many sends the release took.
    """
    sends: dict[str, Json] = {"datagrams": delivery.datagrams} if delivery.datagrams else {}
    return {
        "protocol": delivery.protocol,
        "style": delivery.style,
        "connections": delivery.connections,
        "send_skew_us": delivery.send_skew_us,
        "proof": delivery.proof,
        "because": delivery.choice,
        **sends,
    }
