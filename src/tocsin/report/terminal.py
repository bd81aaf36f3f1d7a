"""The report for people at a terminal, and for the log of a pipeline. PURE but for the console it writes to.

Rule: control codes only where somebody looks on. A pipe gets plain lines, those of each check as it concludes.
"""

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tocsin.events import Event, FindingMade, RunEnded, RunStarted
from tocsin.report._lines import Line
from tocsin.report._plain_text import encodable
from tocsin.report._progress import Progress, view
from tocsin.report._result import concluded, heads, opening, result
from tocsin.report.standing import NO_TERMS, Terms

_USUAL_COLUMNS = 80
# Longer lines of prose are hard to read, however wide the screen is.
_WIDEST_PROSE = 96
# Fast enough to look alive and slow enough to take nothing from the bursts, which share the processor.
_REDRAWS_PER_SECOND = 5


class TerminalReport:
    """Shows a run while it goes on, and its result at the end.

    As a context manager it leaves the terminal in order even if the run ends by an exception.

    Args:
        console: where to write; its clock measures what is shown as elapsed.
        terms: what the user accepts.

    Attributes:
        terms: the same; what turns out while a run goes on may change them.
    """

    def __init__(self, console: Console, terms: Terms = NO_TERMS) -> None:
        if console.width < 1:
            # COLUMNS=0, as some shells and pipelines set it, would leave no place for anything.
            console.width = _USUAL_COLUMNS
        self._console = console
        self.terms = terms
        self._progress: Progress | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_live()

    def handle(self, event: Event) -> None:
        """Show one event. Events come in the order that `tocsin.events` states."""
        if isinstance(event, RunStarted):
            self._begin(event)
        elif self._progress is None:
            raise ValueError(f"{type(event).__name__} came before RunStarted")
        else:
            self._progress = self._progress.after(event)
            self._say(event, self._progress)

    def _begin(self, started: RunStarted) -> None:
        self._progress = Progress(started, self._console.get_time())
        self._write(opening(started, self._columns))
        if _is_watched(self._console):
            self._live = Live(
                get_renderable=self._view, console=self._console, transient=True, refresh_per_second=_REDRAWS_PER_SECOND
            )
            self._live.start(refresh=True)
        else:
            self._write([heads(started)])

    def _say(self, event: Event, progress: Progress) -> None:
        if isinstance(event, FindingMade) and self._live is None:
            self._write(concluded(progress.started, event.finding, self._columns, self.terms))
        if isinstance(event, RunEnded):
            if self._live is not None:
                self._stop_live()
                self._write([heads(progress.started)])
                for finding in progress.concluded:
                    self._write(concluded(progress.started, finding, self._columns, self.terms))
            self._write(result(progress.started, progress.concluded, event, self._columns, self.terms))

    def _view(self) -> RenderableType:
        return "" if self._progress is None else view(self._progress, self._console.get_time())

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    @property
    def _columns(self) -> int:
        return min(self._console.width, _WIDEST_PROSE)

    def _write(self, shown: Iterable[Line]) -> None:
        encoding = self._console.encoding
        for line in shown:
            text = Text.assemble(*((encodable(part, encoding), style) for part, style in line))
            self._console.print(text, soft_wrap=True, highlight=False)


def _is_watched(console: Console) -> bool:
    """Whether a person sees the screen. FORCE_COLOR alone makes a console call itself a terminal, in a pipe too."""
    return console.is_interactive and console.file.isatty()
