"""The report as one HTML file that needs nothing else: no script, no font, no network. PURE but for its templates.

Rule: everything from outside goes through autoescape and through `_plain_text`; the page itself allows only its own
style, so that even a hole in both could load nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Finding, Severity, Verdict, worst_first
from tocsin.history import History
from tocsin.report._facts import Shaped, shaped
from tocsin.report._plain_text import line, lines
from tocsin.report._utc import rfc3339
from tocsin.report._words import HEADLINES, VERDICTS, bound, conclusion, counted, duration, effects, joint, not_run
from tocsin.report.explanation import explained
from tocsin.report.layout import Timeline, timeline
from tocsin.report.scan_bound import joint_limits
from tocsin.report.standing import NO_TERMS, Terms, standing
from tocsin.report.summary import finding_id

# In the order of the page.
_FILTERS = (Verdict.VIOLATED, Verdict.INCONCLUSIVE, Verdict.NOT_OBSERVED, Verdict.NOT_APPLICABLE)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A timeline with its caption."""

    timeline: Timeline
    caption: str


@dataclass(frozen=True, slots=True)
class _Card:
    """A finding with its anchor, and with its facts and its burst ready to be shown.

    Args:
        anchor: made of the check's id, so that a link into one report leads to the same check in the next.
        identity: see `finding_id`.
        known: by the baseline.
    """

    anchor: str
    finding: Finding
    identity: str
    known: bool
    facts: dict[str, Shaped]
    drawing: _Drawing | None

    @property
    def explained(self) -> bool:
        """Whether `tocsin explain` has something to say."""
        return self.finding.check in explained()


def render(started: RunStarted, findings: Sequence[Finding], ended: RunEnded, terms: Terms = NO_TERMS) -> str:
    """The report as a whole HTML document."""
    stood = standing(started, findings, terms)
    missing = not_run(started, findings)
    cards = [
        _card(place, finding, started.operation, known=finding.check in stood.known)
        for place, finding in enumerate(worst_first(findings), start=1)
    ]
    groups = {verdict: [card for card in cards if card.finding.verdict is verdict] for verdict in Verdict}
    return _template().render(
        started=started,
        ended=ended,
        verdict=stood.verdict,
        stood=stood,
        joint=joint(joint_limits(findings, ended.bounds_asked), ended),
        conclusion=conclusion(stood.verdict, started, findings),
        argued=[*groups[Verdict.VIOLATED], *groups[Verdict.INCONCLUSIVE]],
        clean=groups[Verdict.NOT_OBSERVED],
        not_applicable=groups[Verdict.NOT_APPLICABLE],
        not_run=missing,
        choices=_choices(groups, len(missing)),
        started_at=rfc3339(started.started_at_unix),
    )


def _choices(groups: dict[Verdict, list[_Card]], missing: int) -> list[tuple[Verdict, int]]:
    """How many checks of each verdict there are to choose from; none where there is nothing to choose."""
    counts = {verdict: len(cards) for verdict, cards in groups.items()}
    counts[Verdict.INCONCLUSIVE] += missing
    chosen = [(verdict, counts[verdict]) for verdict in _FILTERS if counts[verdict]]
    return chosen if len(chosen) > 1 else []


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
        VERDICTS=VERDICTS,
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


def _card(place: int, finding: Finding, operation: str, *, known: bool) -> _Card:
    facts = {key.replace("_", " "): shaped(value) for key, value in finding.evidence.facts.items()}
    history = finding.evidence.timeline
    drawing = _Drawing(timeline(history), _caption(history)) if history else None
    identity = finding_id(operation, finding.check)
    return _Card(_anchor(finding.check, place), finding, identity, known, facts, drawing)


def _anchor(check: str, place: int) -> str:
    """The id of a check of ours as it is; of any other, something that cannot do harm or be taken twice."""
    return check if re.fullmatch(r"[a-z]+(-[a-z]+)+", check) else f"finding-{place}"


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
