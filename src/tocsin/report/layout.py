"""Where the parts of a timeline go. PURE.

Rule: across the page everything is a percentage of the plot, so that one drawing serves a wide screen, a phone and
paper with text of the same size; down the page everything is in pixels, one row an operation, in the order of release.
"""

from dataclasses import dataclass
from typing import Literal

from tocsin.history import History, Operation

# A phone leaves about 240 px for the plot, and the widest tick label takes 40.
_MOST_INTERVALS = 5
# Below this a bar would vanish on a phone: 1 px of 240.
_THINNEST_PERCENT = 0.5
# A burst in which nothing was answered still gets an axis, and its bars some length.
_SHORTEST_US = 1_000
_HEAD_PX = 44

# Up to so many operations get comfortable rows; the dense ones still hold figures 10 px high.
_COMFORTABLE_ROWS = 30
_ROW_PX = 22
_DENSE_ROW_PX = 14

Outcome = Literal["success", "other", "none"]


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the time axis. `text` is in milliseconds, without the unit."""

    at_percent: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One operation, from its call to its return.

    Args:
        number: place in the order of release, from 1.
        outcome: "success" for 2xx, "other" for every other status, "none" for no answer: then it ends with the axis.
        top_px: of the row; the bar is centred in it.
        status: the status code as text, or "none".
        called_ms: since the gate opened, to the microsecond; `returned_ms` likewise, "" without an answer.
    """

    number: int
    label: str
    outcome: Outcome
    start_percent: float
    width_percent: float
    top_px: int
    status: str
    called_ms: str
    returned_ms: str

    @property
    def end_percent(self) -> float:
        """Where the bar ends and its status is written."""
        return self.start_percent + self.width_percent


@dataclass(frozen=True, slots=True)
class Timeline:
    """A drawing of one burst.

    Args:
        gate_percent: where the gate opened.
        head_px: what the axis takes; the first row starts below it.
        dense: whether rows are low, so that figures have to be small.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    gate_percent: float
    head_px: int
    row_px: int
    height_px: int
    dense: bool


def timeline(history: History) -> Timeline:
    """Lay out one burst."""
    known = [moment for operation in history for moment in _moments(operation)]
    first_us = min(0, *known, 0)
    last_us = max(_SHORTEST_US, *known, 0)
    step_us = nice_step_us(last_us - first_us)
    end_us = -(-last_us // step_us) * step_us
    scale = _Scale(first_us, end_us)
    dense = len(history) > _COMFORTABLE_ROWS
    row_px = _DENSE_ROW_PX if dense else _ROW_PX
    return Timeline(
        bars=tuple(
            _bar(operation, number, _HEAD_PX + (number - 1) * row_px, scale)
            for number, operation in enumerate(history, start=1)
        ),
        ticks=tuple(
            Tick(scale.percent(at_us), milliseconds(at_us))
            for at_us in range(-(-first_us // step_us) * step_us, end_us + 1, step_us)
        ),
        gate_percent=scale.percent(0),
        head_px=_HEAD_PX,
        row_px=row_px,
        height_px=_HEAD_PX + len(history) * row_px,
        dense=dense,
    )


def nice_step_us(span_us: int, most_intervals: int = _MOST_INTERVALS) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50... microseconds that cuts the span into at most so many intervals."""
    power = 1
    while True:
        for digit in (1, 2, 5):
            if span_us <= digit * power * most_intervals:
                return digit * power
        power *= 10


def milliseconds(moment_us: int) -> str:
    """Microseconds as milliseconds, without trailing zeros: "0", "0.25", "12.5"."""
    return _exactly(moment_us).rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class _Scale:
    first_us: int
    end_us: int

    def percent(self, moment_us: int) -> float:
        return round(100 * (moment_us - self.first_us) / (self.end_us - self.first_us), 3)


def _moments(operation: Operation) -> tuple[int, ...]:
    if operation.returned_at_us is None:
        return (operation.called_at_us,)
    return (operation.called_at_us, operation.returned_at_us)


def _bar(operation: Operation, number: int, top_px: int, scale: _Scale) -> Bar:
    returned_us = scale.end_us if operation.returned_at_us is None else operation.returned_at_us
    start = min(scale.percent(operation.called_at_us), 100 - _THINNEST_PERCENT)
    return Bar(
        number=number,
        label=operation.label,
        outcome=_outcome(operation.status),
        start_percent=start,
        width_percent=round(max(scale.percent(returned_us) - start, _THINNEST_PERCENT), 3),
        top_px=top_px,
        status="none" if operation.status is None else str(operation.status),
        called_ms=_exactly(operation.called_at_us),
        returned_ms="" if operation.returned_at_us is None else _exactly(operation.returned_at_us),
    )


def _exactly(moment_us: int) -> str:
    return f"{moment_us / 1000:.3f}"


def _outcome(status: int | None) -> Outcome:
    if status is None:
        return "none"
    return "success" if 200 <= status <= 299 else "other"  # noqa: PLR2004  2xx
