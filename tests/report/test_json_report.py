import copy
import dataclasses
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Verdict
from tocsin.report.json_report import render
from tocsin.report.standing import Terms
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The schema that is installed with the package."""
    text = resources.files("tocsin.report").joinpath("report.schema.json").read_text(encoding="utf-8")
    Draft202012Validator.check_schema(json.loads(text))
    return Draft202012Validator(json.loads(text), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_sample(run: Run, assert_snapshot: Callable[[str, str], None]) -> None:
    assert_snapshot(render(*run), "report.json")


@pytest.mark.parametrize("sample", ["run", "clean_run", "crowded_run"])
def test_a_report_is_as_its_schema_says(
    sample: str, schema: Draft202012Validator, request: pytest.FixtureRequest
) -> None:
    schema.validate(json.loads(render(*request.getfixturevalue(sample))))


def test_a_run_that_ended_before_its_first_check_has_a_report(
    schema: Draft202012Validator, make_run: Callable[..., Run]
) -> None:
    report = json.loads(render(*make_run(checks=["a"], interrupted="the service is gone")))
    schema.validate(report)
    assert (report["verdict"], report["not_run"], report["findings"]) == ("INCONCLUSIVE", ["a"], [])


def test_every_check_run_is_in_it_and_the_worst_is_on_top(run: Run) -> None:
    report = json.loads(render(*run))
    assert [finding["check"] for finding in report["findings"]] == [finding.check for finding in run[1]]
    assert report["verdict"] == "VIOLATED"
    assert report["started_at"] == "2026-11-21T21:24:05Z"


def test_the_score_comes_with_what_it_was_lost_by(run: Run) -> None:
    report = json.loads(render(*run))
    assert (report["schema"], report["score"], report["grade"]) == (2, 0, "F")
    assert report["lost"] == {
        "concurrent-duplicate": 40,
        "over-allocation": 60,
        "signature-bypass": 11,
        "reordering": 11,
    }
    assert report["unanswered"] == ["signature-bypass", "reordering"]
    assert [limit["of"] for limit in report["joint_limits"]] == ["effect-before-verification"]


def test_a_finding_says_whether_the_baseline_knew_it(run: Run) -> None:
    terms = Terms(baseline=summary_of(run[0], run[1][:1]))
    known = {finding["check"]: finding["known"] for finding in json.loads(render(*run, terms))["findings"]}
    assert [check for check, is_known in known.items() if is_known] == ["concurrent-duplicate"]


def test_facts_stand_beside_the_summary(run: Run) -> None:
    evidence = json.loads(render(*run))["findings"][0]["evidence"]
    assert evidence["variants"]["identical"]["verdict"] == "VIOLATED"
    assert evidence["timeline"]["statuses"] == {"201": 3, "409": 16, "none": 1}
    assert evidence["timeline"]["most_in_flight"] == 20
    assert evidence["timeline"]["operations"][19]["returned_at_us"] is None


@pytest.mark.parametrize("name", ["summary", "timeline"])
def test_a_fact_cannot_take_the_place_of_the_argument(run: Run, make_run: Callable[..., Run], name: str) -> None:
    finding = dataclasses.replace(run[1][0], evidence=Evidence("because", {name: 1}))
    with pytest.raises(ValueError, match=f"concurrent-duplicate: facts may not be called {name}"):
        render(*make_run(finding))


def test_a_number_that_json_lacks_is_refused(make_run: Callable[..., Run]) -> None:
    finding = Finding("a", "?", Verdict.INCONCLUSIVE, Evidence("because", {"rate": float("nan")}))
    with pytest.raises(ValueError, match="not JSON compliant"):
        render(*make_run(finding))


def test_text_of_others_stays_escaped_wherever_the_file_is_shown(run: Run) -> None:
    text = render(*run)
    assert text.isascii()
    assert {character for character in text if not character.isprintable()} == {"\n"}


WRONG: dict[str, Change] = {
    "a member that nobody documented": lambda report: report.update(points=1),
    "another version of the schema": lambda report: report.update(schema=1),
    "a score above 100": lambda report: report.update(score=101),
    "a grade that is none": lambda report: report.update(grade="E"),
    "a cost of nothing": lambda report: report["lost"].update({"over-allocation": 0}),
    "an id that is none": lambda report: report["findings"][0].update(id="7c1f"),
    "a limit without name": lambda report: report["joint_limits"][0].update(of=""),
    "no findings": lambda report: report.pop("findings"),
    "no seed": lambda report: report.pop("seed"),
    "an unknown verdict": lambda report: report.update(verdict="SAFE"),
    "a moment without zone": lambda report: report.update(started_at="2026-11-21T21:24:05"),
    "a negative count": lambda report: report.update(requests=-1),
    "a count in text": lambda report: report.update(effects="31"),
    "a check without id": lambda report: report["findings"][0].update(check=""),
    "a finding without evidence": lambda report: report["findings"][0].pop("evidence"),
    "a finding with more": lambda report: report["findings"][0].update(confidence=1),
    "a violation without severity": lambda report: report["findings"][0].update(severity="none"),
    "a clean check with severity": lambda report: report["findings"][1].update(severity="low"),
    "a clean check without bound": lambda report: report["findings"][1].update(bound=None),
    "a bound that is only text": lambda report: report["findings"][1].update(bound="0 of 48 replays"),
    "a bound without its sentence": lambda report: report["findings"][1]["bound"].pop("text"),
    "a limit that is no probability": lambda report: report["findings"][1]["bound"].update(upper_limit=1.5),
    "evidence without argument": lambda report: report["findings"][0]["evidence"].update(summary=""),
    "a timeline that is a list": lambda report: report["findings"][0]["evidence"].update(timeline=[]),
    "a status that is none": lambda report: report["findings"][0]["evidence"]["timeline"]["statuses"].update(ok=1),
    "a reproducer without command": lambda report: report["findings"][0]["reproducer"].pop("command"),
    "a remedy with more": lambda report: report["findings"][0]["remedy"].update(patch=""),
    "a weakness by name": lambda report: report["findings"][0].update(cwe=["CWE-362"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schema_refuses(wrong: str, run: Run, schema: Draft202012Validator) -> None:
    report = json.loads(render(*run))
    WRONG[wrong](changed := copy.deepcopy(report))
    assert changed != report
    with pytest.raises(ValidationError):
        schema.validate(changed)


def test_the_schema_requires_everything_that_it_names(schema: Draft202012Validator) -> None:
    """Nothing in a report is there only sometimes; only evidence is open, for the facts of each check."""
    assert isinstance(schema.schema, dict)
    closed = [part for part in [schema.schema, *schema.schema["$defs"].values()] if "properties" in part]
    for part in closed:
        assert set(part["required"]) == set(part["properties"])
    assert [part["additionalProperties"] for part in closed if "additionalProperties" in part] == [False] * 6
