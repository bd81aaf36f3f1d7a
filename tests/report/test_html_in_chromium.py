"""The HTML report as a browser shows it, on a desk and on a phone."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Bound, Evidence, Finding, Remedy, Reproducer, Verdict
from tocsin.report.html import render

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Open = Callable[[Run, int], Page]

DESK_PX = 1280
PHONE_PX = 390
WIDTHS = pytest.mark.parametrize("width_px", [DESK_PX, PHONE_PX])

# Boxes of the parts of each timeline, in the pixels of the page; text without the room that a line box adds.
BOXES = """() => [...document.querySelectorAll('svg.timeline')].map(svg => {
    const box = part => { const b = part.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
    return {
        frame: box(svg),
        bars: [...svg.querySelectorAll('rect')].map(box),
        texts: [...svg.querySelectorAll('text')].map(text => ({box: box(text), says: text.textContent})),
    };
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--no-first-run", *quiet]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a run's report in a window so many pixels wide. Whatever a page loads or complains about fails the test."""
    path = tmp_path / "report.html"
    loaded: list[str] = []
    said: list[str] = []
    context = browser.new_context()

    def opened(run: Run, width_px: int) -> Page:
        path.write_text(render(*run), encoding="utf-8")
        page = context.new_page()
        page.set_viewport_size({"width": width_px, "height": 900})
        page.on("request", lambda request: loaded.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield opened
    context.close()
    assert set(loaded) == {path.as_uri()}
    assert said == []


def overlaps(one: list[float], other: list[float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def inside(part: list[float], frame: list[float]) -> bool:
    return part[0] >= frame[0] and part[1] >= frame[1] and part[2] <= frame[2] and part[3] <= frame[3]


def fits(page: Page) -> bool:
    """Whether the page can be read without scrolling sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@WIDTHS
@pytest.mark.parametrize("sample", ["run", "clean_run", "crowded_run"])
def test_nothing_sticks_out_to_the_side(
    open_report: Open, sample: str, width_px: int, request: pytest.FixtureRequest
) -> None:
    page = open_report(request.getfixturevalue(sample), width_px)
    assert fits(page)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert fits(page)


@WIDTHS
@pytest.mark.parametrize("sample", ["run", "crowded_run"])
def test_every_part_of_a_timeline_is_in_its_frame_and_no_text_covers_another(
    open_report: Open, sample: str, width_px: int, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(sample)
    drawings: list[dict[str, Any]] = open_report(run, width_px).evaluate(BOXES)
    assert [len(drawing["bars"]) for drawing in drawings] == ([12, 20] if sample == "run" else [100])
    for drawing in drawings:
        texts = drawing["texts"]
        assert [bar for bar in drawing["bars"] if not inside(bar, drawing["frame"])] == []
        assert [text for text in texts if not inside(text["box"], drawing["frame"])] == []
        assert [
            (one["says"], other["says"])
            for place, one in enumerate(texts)
            for other in texts[:place]
            if overlaps(one["box"], other["box"])
        ] == []


def test_a_hundred_rows_stay_legible(open_report: Open, crowded_run: Run) -> None:
    page = open_report(crowded_run, PHONE_PX)
    sizes = page.evaluate(
        "[...document.querySelectorAll('svg.timeline text')].map(t => parseFloat(getComputedStyle(t).fontSize))"
    )
    assert min(sizes) >= 10
    (drawing,) = page.evaluate(BOXES)
    assert min(bar[2] - bar[0] for bar in drawing["bars"]) >= 1


@WIDTHS
def test_words_without_a_space_break_rather_than_push_the_page_wide(
    open_report: Open, make_run: Callable[..., Run], width_px: int
) -> None:
    word = "a" * 400
    finding = Finding(
        word,
        word,
        Verdict.INCONCLUSIVE,
        Evidence(word, {word: word, "rows": [{word: word}, {"b": word}], "deep": {"a": {"b": [[word]]}}}),
        effects=10**9,
        allowed_effects=10**9,
        bound=Bound(1, word, None, word),
        reproducer=Reproducer(word, (word,)),
        remedy=Remedy(word, word),
        owasp=word,
    )
    _, findings, _ = make_run(finding)
    started = RunStarted(word, f"http://{word}", f"POST /{word}", word, (word, f"{word}b"), 1, 0.0, 60.0)
    page = open_report((started, findings, RunEnded(1.0, 2, 3, word, word)), width_px)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert fits(page)


def test_verdict_target_and_what_was_found_are_on_the_first_screen(open_report: Open, run: Run) -> None:
    page = open_report(run, DESK_PX)
    for text in (
        "Violated",
        "http://127.0.0.1:8000",
        "2 of 7 checks",
        "7 effects (allowed 5)",
        "3 effects (allowed 1)",
    ):
        box = page.get_by_text(text).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 900


def test_the_reader_s_own_preference_decides_between_light_and_dark(open_report: Open, clean_run: Run) -> None:
    page = open_report(clean_run, DESK_PX)
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 245, 241)", "rgb(20, 22, 26)"]


@WIDTHS
def test_a_reader_can_look_at_one_verdict_alone(open_report: Open, run: Run, width_px: int) -> None:
    page = open_report(run, width_px)
    shown = {
        "Violated": ["over-allocation", "concurrent-duplicate"],
        "Inconclusive": ["signature-bypass"],
        "Not observed": ["sequential-replay", "effect-before-verification"],
        "Not applicable": ["stale-timestamp"],
    }
    every = [check for checks in shown.values() for check in checks]
    for verdict, checks in shown.items():
        page.get_by_role("radio", name=verdict).check()
        assert [check for check in every if page.locator(f"[id={check}]").is_visible()] == checks
        assert page.locator("#not-run").is_visible() == (verdict == "Inconclusive")
    page.emulate_media(media="print")
    assert all(page.locator(f"[id={check}]").is_visible() for check in every)
    page.emulate_media(media="screen")
    page.get_by_role("link", name="over-allocation").first.click()
    assert page.locator("[id=over-allocation]").is_visible()
    page.get_by_role("radio", name="All").check()
    assert all(page.locator(f"[id={check}]").is_visible() for check in every)


def test_where_there_is_one_verdict_there_is_nothing_to_choose(open_report: Open, clean_run: Run) -> None:
    assert open_report(clean_run, DESK_PX).get_by_role("radio").count() == 0


def test_paper_shows_what_a_screen_folds_away(open_report: Open, run: Run) -> None:
    page = open_report(run, DESK_PX)
    fact = page.get_by_text("also sequential")
    assert not fact.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert fact.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_a_screen_reader_hears_the_timeline_as_one_picture_with_its_meaning(open_report: Open, run: Run) -> None:
    page = open_report(run, DESK_PX)
    picture = page.get_by_role("img", name="Timeline of the decisive burst").first
    told = "12 requests; 7 answered 201, 5 answered 409; at most 12 open at one moment."
    assert told in (picture.text_content() or "")
