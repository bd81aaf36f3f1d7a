"""What a caller saw: operations with the times of their call and return. PURE.

Rule: an interval is closed, and times count from the moment the burst's gate opened, in microseconds of a
monotonic clock. An operation that never returned has no `returned_at_us`; its effect may still fall at any later time.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """One request and its answer.

    Args:
        label: what was sent, in words that name no secret: "POST /order order-17".
        called_at_us: when the byte that completes the request left, relative to the gate.
        returned_at_us: when the answer was complete, or None if none came.
        status: the answer's status code, or None if none came.
    """

    label: str
    called_at_us: int
    returned_at_us: int | None
    status: int | None


@dataclass(frozen=True, slots=True)
class History:
    """The operations of one burst, in the order in which they were released."""

    operations: tuple[Operation, ...]

    def __iter__(self) -> Iterator[Operation]:
        return iter(self.operations)

    def __len__(self) -> int:
        return len(self.operations)

    def statuses(self) -> dict[str, int]:
        """How often each status was answered; "none" stands for no answer."""
        counts: dict[str, int] = {}
        for operation in self.operations:
            name = "none" if operation.status is None else str(operation.status)
            counts[name] = counts.get(name, 0) + 1
        return dict(sorted(counts.items()))

    def most_in_flight(self) -> int:
        """The largest number of operations that were open at one moment."""
        edges: list[tuple[float, int]] = []
        for operation in self.operations:
            returned = float("inf") if operation.returned_at_us is None else float(operation.returned_at_us)
            # At equal times a call sorts before a return, because the interval is closed.
            edges += [(float(operation.called_at_us), -1), (returned, 1)]
        open_now = most = 0
        for _, edge in sorted(edges):
            open_now -= edge
            most = max(most, open_now)
        return most
