import dataclasses
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources

import pytest

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Verdict
from tocsin.history import History
from tocsin.report.html import render
from tocsin.report.standing import Terms
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Every element with its attributes, and whether what was opened was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


def test_the_sample(run: Run, assert_snapshot: Callable[[str, str], None]) -> None:
    assert_snapshot(render(*run), "report.html")


@pytest.mark.parametrize("sample", ["run", "clean_run", "crowded_run"])
def test_the_document_is_well_formed(sample: str, request: pytest.FixtureRequest) -> None:
    outline = Outline(render(*request.getfixturevalue(sample)))
    assert outline.open == []
    assert [outline.count(tag) for tag in ("html", "main", "h1", "header", "footer")] == [1] * 5
    assert len(set(outline.values("id"))) == len(outline.values("id"))


def test_everything_that_is_referred_to_is_there(run: Run) -> None:
    outline = Outline(render(*run))
    ids = set(outline.values("id"))
    assert {part for value in outline.values("aria-labelledby") for part in value.split()} <= ids
    assert {value.removeprefix("#") for value in outline.values("href") if value.startswith("#")} <= ids


def test_nothing_is_loaded_and_nothing_runs(run: Run) -> None:
    outline = Outline(render(*run))
    assert outline.count("script") == outline.count("link") == outline.count("img") == 0
    assert outline.values("src") == []
    assert not any(name.startswith("on") for _, attributes in outline.elements for name in attributes)
    assert outline.values("style") == []
    content = outline.values("content")[0]
    assert content.startswith("default-src 'none'; style-src 'unsafe-inline'")
    css = resources.files("tocsin.report").joinpath("_report.css").read_text(encoding="utf-8")
    assert "url(" not in css
    assert "@import" not in css


def test_links_lead_only_within_the_page_and_to_the_list_of_weaknesses(run: Run) -> None:
    for target in Outline(render(*run)).values("href"):
        assert re.fullmatch(r"#[a-z-]+|https://cwe\.mitre\.org/data/definitions/\d+\.html", target)


def test_hostile_text_is_shown_and_does_nothing(run: Run) -> None:
    text = render(*run)
    assert "\\x1b[2J[red]&lt;script&gt;alert(1)&lt;/script&gt;\\u202egnp.exe\\nsequential-replay" in text
    assert {character for character in text if not character.isprintable()} == {"\n"}


def test_a_hostile_name_of_everything_does_nothing(make_run: Callable[..., Run], hostile: str) -> None:
    finding = Finding(hostile, hostile, Verdict.INCONCLUSIVE, Evidence(hostile, {hostile: [hostile]}), owasp=hostile)
    _, findings, _ = make_run(finding)
    started = RunStarted(hostile, hostile, hostile, hostile, (hostile, f"{hostile}2"), 1, 0.0, 60.0)
    outline = Outline(render(started, findings, RunEnded(1.0, 2, 3, hostile, hostile)))
    assert outline.count("script") == 0
    assert outline.open == []


def test_every_check_is_named_with_its_argument_or_its_bound(run: Run) -> None:
    text = render(*run)
    for finding in run[1]:
        assert finding.check in text
        assert finding.title in text
        assert finding.bound is None or str(finding.bound) in text
    assert "reordering" in text


def test_an_argument_without_a_burst_has_no_timeline(make_run: Callable[..., Run]) -> None:
    finding = Finding("a", "?", Verdict.INCONCLUSIVE, Evidence("because", timeline=History(())))
    assert Outline(render(*make_run(finding))).count("svg") == 0


def test_a_burst_of_equal_requests_says_what_they_are(crowded_run: Run, run: Run) -> None:
    assert "100 requests; 3 answered 201, 96 answered 409, 1 never answered; at most 100 open" in render(*crowded_run)
    history = run[1][0].evidence.timeline
    assert history is not None
    same = History(history.operations[:2])
    finding = Finding("a", "?", Verdict.INCONCLUSIVE, Evidence("because", timeline=same))
    assert "2 requests, all POST /order order-17; 2 answered 201;" in render(run[0], [finding], run[2])


def test_grade_and_score_are_in_the_header_with_what_cost_them(run: Run) -> None:
    text = render(*run)
    assert '<span class="letter">F</span> <span class="points">0 of 100</span>' in text
    assert re.search(r"over-allocation</td><td[^>]*>&minus;60</td><td></td>", text)
    assert re.search(r"reordering</td><td[^>]*>&minus;11</td><td>no answer</td>", text)


def test_what_was_sent_is_told_by_style_and_size(run: Run) -> None:
    assert re.search(r"<td>new connection</td><td[^>]*>8</td>", render(*run))


def test_all_clean_limits_are_stated_at_once(make_run: Callable[..., Run], run: Run) -> None:
    clean = run[1][4]
    assert "All at once" not in render(*make_run(clean))
    twice = make_run(clean, dataclasses.replace(clean, check="signature-bypass"))
    assert "All at once, with 95 %: effect-before-verification: at most 2.5 % a probe; signature-" in render(*twice)


def test_a_check_can_be_linked_to_by_its_id(run: Run) -> None:
    outline = Outline(render(*run))
    assert {finding.check for finding in run[1]} <= set(outline.values("id"))
    assert {f"#{finding.check}" for finding in run[1]} <= set(outline.values("href"))


def test_what_the_baseline_knows_is_marked(run: Run) -> None:
    text = render(*run, Terms(baseline=summary_of(run[0], run[1][:1])))
    assert "High, known" not in text
    assert '<span class="label">high, known by the baseline</span>' in text
    assert '<span class="label">critical</span>' in text
    assert "<b>Known by the baseline:</b> 1 violation</p>" in text


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ink", ["ink", "muted", "violated", "inconclusive", "quiet"])
@pytest.mark.parametrize("ground", ["ground", "surface", "sunken"])
def test_text_stands_out_from_its_ground_in_every_palette(ink: str, ground: str) -> None:
    css = resources.files("tocsin.report").joinpath("_report.css").read_text(encoding="utf-8")
    roots = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    palettes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", root)) for root in roots]
    assert len(palettes) == 3  # light, dark, paper
    for palette in palettes:
        assert contrast(palette[ink], palette[ground]) >= 4.5
        # A bar is no text: WCAG 2.2 asks for 3 to 1 there.
        assert contrast(palette["violated-fill"], palette["surface"]) >= 3
