"""How far a run has come, and how that looks on a terminal. PURE.

Rule: the state is replaced and never changed, because the thread that redraws the screen reads it at any moment.
"""

from dataclasses import dataclass, replace

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tocsin.events import BurstCollected, CheckStarted, Event, FindingMade, Progressed, RunStarted
from tocsin.findings import Finding
from tocsin.report._lines import verdict_line, widest
from tocsin.report._plain_text import line
from tocsin.report._words import counted, duration

_BAR_COLUMNS = 16


@dataclass(frozen=True, slots=True)
class Progress:
    """A run so far; `began_s` is on the clock that `view` is asked with."""

    started: RunStarted
    began_s: float
    concluded: tuple[Finding, ...] = ()
    check: str = ""
    phase: str = ""
    done: int = 0
    total: int = 0
    bursts: int = 0
    void: int = 0

    def after(self, event: Event) -> "Progress":
        """The state once the event has happened."""
        match event:
            case CheckStarted():
                return replace(self, check=event.check, phase="", done=0, total=0)
            case Progressed():
                return replace(self, check=event.check, phase=event.phase, done=event.done, total=event.total)
            case BurstCollected():
                return replace(self, bursts=self.bursts + 1, void=self.void + bool(event.void))
            case FindingMade():
                return replace(self, concluded=(*self.concluded, event.finding), check="")
            case _:
                return self


def view(progress: Progress, now_s: float) -> RenderableType:
    """What the terminal shows while the run goes on: the checks so far, the current one, the totals."""
    columns = widest(progress.started.checks)
    rows: list[RenderableType] = [Text.assemble(*verdict_line(finding, columns)) for finding in progress.concluded]
    if progress.check:
        rows.append(_current(progress, columns, now_s))
    return Group(*rows, _totals(progress, now_s))


def _current(progress: Progress, columns: int, now_s: float) -> RenderableType:
    row = Table.grid(padding=(0, 2, 0, 0))
    row.add_column(width=columns)
    row.add_column(width=_BAR_COLUMNS)
    row.add_column(no_wrap=True)
    row.add_column(no_wrap=True, overflow="ellipsis")
    bar = ProgressBar(
        # None makes the bar pulse: the check has not said yet how much there is to do.
        total=progress.total or None,
        completed=progress.done,
        complete_style="cyan",
        finished_style="cyan",
        pulse_style="cyan",
        animation_time=now_s,
    )
    trials = f"{progress.done:,} of {progress.total:,}" if progress.total else ""
    row.add_row(Text(line(progress.check), "bold"), bar, trials, Text(line(progress.phase), "dim"))
    return row


def _totals(progress: Progress, now_s: float) -> Text:
    of_all = f"{len(progress.concluded)} of {counted(len(progress.started.checks), 'check')}"
    bursts = counted(progress.bursts, "burst") + (f" ({progress.void:,} void)" if progress.void else "")
    elapsed = f"{duration(now_s - progress.began_s)} of at most {progress.started.budget_s:g} s"
    return Text(f"{of_all}, {bursts}, {elapsed}", "dim")
