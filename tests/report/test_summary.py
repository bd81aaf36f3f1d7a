import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.report import json_report
from tocsin.report.summary import ReportError, finding_id, read_summary, summary_of, violated_variants

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Change = Callable[[dict[str, Any]], object]


def test_a_report_says_the_same_as_the_run_itself(run: Run) -> None:
    assert read_summary(json_report.render(*run)) == summary_of(run[0], run[1])


def test_a_summary_knows_which_variants_were_violated(run: Run) -> None:
    found = summary_of(run[0], run[1]).checks
    assert found["concurrent-duplicate"].variants == {"identical", "resigned"}
    assert found["over-allocation"].variants == frozenset()
    assert (found["effect-before-verification"].trials, found["effect-before-verification"].upper_limit) == (
        150,
        0.0198,
    )


@pytest.mark.parametrize("variants", [None, 3, ["identical"], {"identical": "VIOLATED"}])
def test_variants_in_another_shape_are_none(variants: Any) -> None:
    assert violated_variants({"variants": variants}) == frozenset()


def test_an_id_is_the_holes_and_not_the_runs() -> None:
    assert finding_id("POST /order", "over-allocation") == finding_id("POST /order", "over-allocation")
    others = {finding_id("POST /order", "sequential-replay"), finding_id("POST /orders", "over-allocation")}
    assert finding_id("POST /order", "over-allocation") not in others
    assert finding_id("POST /order", "over-allocation").isalnum()


WRONG: dict[str, tuple[Change, str]] = {
    "no operation": (lambda report: report.pop("operation"), "the report has no operation"),
    "a target that is a number": (lambda report: report.update(target=1), "the report has no target"),
    "no findings": (lambda report: report.pop("findings"), "no findings"),
    "findings that are text": (lambda report: report.update(findings="none"), "no findings"),
    "a finding that is text": (lambda report: report["findings"].insert(0, "a"), "finding 1 is no JSON object"),
    "a finding without check": (lambda report: report["findings"][2].pop("check"), "finding 3 has no check"),
    "another verdict": (lambda report: report["findings"][0].update(verdict="SAFE"), "finding 1: 'SAFE'"),
    "another severity": (lambda report: report["findings"][0].update(severity="huge"), "finding 1: 'huge'"),
    "a violation without severity": (
        lambda report: report["findings"][0].update(severity="none"),
        "finding 1: a severity goes with VIOLATED",
    ),
    "a bound that is text": (lambda report: report["findings"][1].update(bound="0 of 2"), "the bound of finding 2"),
    "no evidence": (lambda report: report["findings"][0].pop("evidence"), "the evidence of finding 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_report_is_refused_with_its_place(wrong: str, run: Run) -> None:
    change, said = WRONG[wrong]
    report = json.loads(json_report.render(*run))
    change(report)
    with pytest.raises(ReportError, match=said):
        read_summary(json.dumps(report))


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000, '"a"'])
def test_any_other_file_is_refused(text: str) -> None:
    with pytest.raises(ReportError, match="wanted a report of tocsin scan --json"):
        read_summary(text)


def test_numbers_that_are_none_are_not_taken_for_some(make_run: Callable[..., Run]) -> None:
    finding = Finding("a", "?", Verdict.VIOLATED, Evidence("because"), Severity.LOW, effects=3)
    report = json.loads(json_report.render(*make_run(finding)))
    for limit in ("2 %", None, float("nan"), 10**400, -0.1):
        report["findings"][0] |= {"effects": "3", "bound": {"upper_limit": limit, "trials": -1}}
        found = read_summary(json.dumps(report)).checks["a"]
        assert (found.effects, found.upper_limit, found.trials) == (None, None, None)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, *path: Any) -> list[tuple[Any, ...]]:
    """The ways to everything within."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, *path, key))]


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_report_is_read_or_refused(data: st.DataObject, run: Run) -> None:
    report = json.loads(json_report.render(*run))
    *way, last = data.draw(st.sampled_from(places(report)[1:]))
    holder = report
    for key in way:
        holder = holder[key]
    holder[last] = data.draw(JSON)
    with contextlib.suppress(ReportError):
        read_summary(json.dumps(report))
