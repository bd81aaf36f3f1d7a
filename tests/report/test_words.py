from collections.abc import Callable

import pytest

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Bound, Evidence, Finding, Verdict, worst_verdict
from tocsin.report._words import VERDICTS, bound, conclusion, counted, duration, effects, graded, joint, not_run
from tocsin.report.scan_bound import JointLimit
from tocsin.report.score import Score

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def finding(**changes: int | Bound | None) -> Finding:
    return Finding("a", "?", Verdict.INCONCLUSIVE, Evidence("because"), **changes)  # type: ignore[arg-type]  # any field


def test_every_verdict_has_its_words_and_none_is_safe() -> None:
    assert set(VERDICTS) == set(Verdict)
    assert not any("safe" in words.lower() for words in VERDICTS.values())


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 checks"), (1, "1 check"), (2, "2 checks"), (20_000, "20,000 checks")]
)
def test_a_number_agrees_with_its_noun(count: int, said: str) -> None:
    assert counted(count, "check") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (23.44, "23.4 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (125, "2 min 05 s")],
)
def test_a_duration_in_seconds_or_minutes(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_effects_with_what_was_allowed() -> None:
    assert effects(finding()) == ""
    assert effects(finding(effects=3)) == "3"
    assert effects(finding(effects=3, allowed_effects=1)) == "3 (allowed 1)"
    assert effects(finding(effects=1, allowed_effects=0), "effect") == "1 effect (allowed 0)"


def test_a_bound_tells_what_did_not_count() -> None:
    assert bound(finding()) == ""
    assert bound(finding(bound=Bound(8, "replays"))) == "0 of 8 replays"
    assert bound(finding(bound=Bound(8, "replays", void=2))) == "0 of 8 replays; 2 void"


def test_checks_without_a_finding_did_not_run(run: Run) -> None:
    started, findings, _ = run
    assert not_run(started, findings) == ("reordering",)


@pytest.mark.parametrize(
    ("missing", "verdicts", "said"),
    [
        (1, (Verdict.VIOLATED, Verdict.INCONCLUSIVE), "1 of 3 checks found"),
        (0, (Verdict.NOT_OBSERVED, Verdict.INCONCLUSIVE), "1 of 2 checks came to no conclusion"),
        (1, (Verdict.NOT_OBSERVED,), "1 of 2 checks came to no conclusion"),
        (0, (Verdict.NOT_OBSERVED,), "1 of 1 check ran clean"),
        (0, (Verdict.NOT_APPLICABLE,), "nothing was tested"),
    ],
)
def test_a_run_in_a_sentence(
    run: Run, make_run: Callable[..., Run], missing: int, verdicts: tuple[Verdict, ...], said: str
) -> None:
    of_each = {finding.verdict: finding for finding in run[1]}
    findings = [of_each[verdict] for verdict in verdicts]
    checks = [*(finding.check for finding in findings), *["never-ran"] * missing]
    started, concluded, _ = make_run(*findings, checks=checks)
    assert said in conclusion(worst_verdict(concluded, started.checks), started, concluded)


def test_a_score_says_what_it_was_lost_by() -> None:
    assert graded(Score(100, (), ())) == "Grade A, 100 of 100."
    assert graded(Score(49, (("a", 40), ("b", 11)), ("b",))) == "Grade F, 49 of 100 (a -40, b -11)."


def test_limits_are_stated_together_only_where_there_are_several() -> None:
    limit, ended = JointLimit("a", 150, "bursts", 0.0198), RunEnded(1.0, 2, 3)
    assert joint([], ended) == joint([limit], ended) == ""
    assert joint([limit, limit], RunEnded(1.0, 2, 3, statement="All 2 together")) == "All 2 together."
    assert joint([limit, limit], ended) == "All at once, with 95 %: a: at most 2.0 % a burst; a: at most 2.0 % a burst."
