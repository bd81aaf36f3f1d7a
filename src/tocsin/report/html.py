"""The report as one HTML file that needs nothing else: no script, no font, no network. PURE but for its templates.

Rule: everything from outside goes through autoescape and through `_plain_text`; the page itself allows only its own
style, so that even a hole in both could load nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Severity, Verdict, worst_first, worst_verdict
from tocsin.history import History
from tocsin.report._facts import Shaped, shaped
from tocsin.report._plain_text import line, lines
from tocsin.report._utc import rfc3339
from tocsin.report._words import HEADLINES, VERDICTS, bound, conclusion, counted, duration, effects, not_run
from tocsin.report.layout import Timeline, timeline


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A timeline with its caption."""

    timeline: Timeline
    caption: str


@dataclass(frozen=True, slots=True)
class _Card:
    """A finding with its anchor, and with its facts and its burst ready to be shown."""

    anchor: str
    finding: Finding
    facts: dict[str, Shaped]
    drawing: _Drawing | None


def render(started: RunStarted, findings: Sequence[Finding], ended: RunEnded) -> str:
    """The report as a whole HTML document."""
    verdict = worst_verdict(findings, started.checks)
    cards = [_card(place, finding) for place, finding in enumerate(worst_first(findings), start=1)]
    return _template().render(
        started=started,
        ended=ended,
        verdict=verdict,
        conclusion=conclusion(verdict, started, findings),
        argued=[card for card in cards if card.finding.verdict in {Verdict.VIOLATED, Verdict.INCONCLUSIVE}],
        clean=[card for card in cards if card.finding.verdict is Verdict.NOT_OBSERVED],
        not_applicable=[card for card in cards if card.finding.verdict is Verdict.NOT_APPLICABLE],
        not_run=not_run(started, findings),
        started_at=rfc3339(started.started_at_unix),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("tocsin.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.globals.update(
        HEADLINES=HEADLINES,
        bound=bound,
        counted=counted,
        duration=duration,
        effects=effects,
        severity_or_verdict=_severity_or_verdict,
    )
    return environment.get_template("report.html.jinja")


def _harmless(value: object) -> object:
    """What every expression of the templates passes through. Markup is what a macro of ours has rendered already."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else line(value)


def _code(text: str) -> Markup:
    """Code of ours: the one text whose line breaks are kept."""
    return Markup("\n").join(lines(text))


def _severity_or_verdict(finding: Finding) -> str:
    return VERDICTS[finding.verdict] if finding.severity is Severity.NONE else finding.severity.value


def _card(place: int, finding: Finding) -> _Card:
    facts = {key.replace("_", " "): shaped(value) for key, value in finding.evidence.facts.items()}
    history = finding.evidence.timeline
    return _Card(
        f"finding-{place}", finding, facts, _Drawing(timeline(history), _caption(history)) if history else None
    )


def _caption(history: History) -> str:
    labels = {operation.label for operation in history}
    same = f", all {labels.pop()}" if len(labels) == 1 else ""
    answers = [
        f"{number} {'never answered' if status == 'none' else f'answered {status}'}"
        for status, number in history.statuses().items()
    ]
    return (
        f"{counted(len(history), 'request')}{same}; {', '.join(answers)}; "
        f"at most {history.most_in_flight()} open at one moment."
    )
