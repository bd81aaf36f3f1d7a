"""The JUnit report, read back by a parser that others wrote."""

from collections.abc import Callable
from xml.etree.ElementTree import ParseError

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped, TestSuite

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.report import junit
from tocsin.report.junit import render
from tocsin.report.standing import NO_TERMS, Terms
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def read(run: Run, terms: Terms = NO_TERMS) -> TestSuite:
    xml = JUnitXml.fromstring(render(*run, terms).encode())
    [suite] = list(xml)
    assert isinstance(suite, TestSuite)
    return suite


def test_the_sample(run: Run, assert_snapshot: Callable[[str, str], None]) -> None:
    assert_snapshot(render(*run), "report.junit.xml")


def test_one_suite_a_scan_and_one_case_a_check(run: Run) -> None:
    suite = read(run)
    assert suite.name == "tocsin POST /order"
    assert [case.name for case in suite] == list(run[0].checks)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 2, 2, 1)
    assert suite.time == 23.44
    assert suite.timestamp == "2026-11-21T21:24:05"
    properties = {one.name: one.value for one in suite.properties()}  # type: ignore[no-untyped-call]
    assert properties["score"] == "0"
    assert properties["grade"] == "F"
    assert properties["verdict"] == "VIOLATED"


def test_every_verdict_becomes_what_a_test_server_shows(run: Run) -> None:
    results = {case.name: [type(result) for result in case.result] for case in read(run)}
    assert results == {
        "concurrent-duplicate": [Failure],
        "sequential-replay": [],
        "over-allocation": [Failure],
        "signature-bypass": [Error],
        "effect-before-verification": [],
        "stale-timestamp": [Skipped],
        "reordering": [Error],
    }


def test_a_failure_argues_and_a_pass_says_its_bound(run: Run) -> None:
    cases = {case.name: case for case in read(run)}
    [failure] = cases["over-allocation"].result
    assert failure.type == "critical"
    assert "the stock is -2" in failure.message
    assert "Rerun: tocsin scan plans/orders.toml --only over-allocation --seed 17" in (failure.text or "")
    assert "at most 2.0 % a probe" in (cases["effect-before-verification"].system_out or "")


def test_what_the_baseline_knows_is_skipped(run: Run) -> None:
    cases = {case.name: case for case in read(run, Terms(baseline=summary_of(run[0], run[1])))}
    [known] = cases["over-allocation"].result
    assert isinstance(known, Skipped)
    assert known.message.startswith("known by the baseline (critical): 12 orders")


def test_a_run_that_went_well_has_no_error_output(clean_run: Run) -> None:
    assert "system-err" not in render(*clean_run)


def test_a_bare_violation_says_no_more_than_it_has(make_run: Callable[..., Run]) -> None:
    bare = Finding("a", "?", Verdict.VIOLATED, Evidence("A stranger got a 500."), Severity.MEDIUM)
    [case] = read(make_run(bare))
    [failure] = case.result
    assert failure.text == "?\nA stranger got a 500."


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\ufffe", "\uffff", "\ud800", "\u202e", "]]>", "&<\"'"])
def test_any_character_of_a_service_gives_a_document(character: str, make_run: Callable[..., Run]) -> None:
    finding = Finding(character, character, Verdict.INCONCLUSIVE, Evidence(f"said {character}"))
    started, findings, _ = make_run(finding)
    run = (started, findings, RunEnded(1.0, 1, 1, character, character))
    suite = read(run)
    assert (suite.tests, suite.errors) == (1, 1)


@pytest.mark.parametrize("character", ["\x00", "\uffff", "\ud800"])
def test_a_report_that_shows_text_as_it_came_is_caught(
    character: str, make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(junit, "_line", lambda text: text)
    with pytest.raises((ParseError, UnicodeEncodeError)):
        test_any_character_of_a_service_gives_a_document(character, make_run)
