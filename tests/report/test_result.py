import dataclasses
from collections.abc import Callable

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.report._result import concluded, result
from tocsin.report.standing import NO_TERMS, Terms
from tocsin.report.summary import summary_of

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def text_of(run: Run, columns: int = 80, terms: Terms = NO_TERMS) -> str:
    started, findings, ended = run
    lines = [line for finding in findings for line in concluded(started, finding, columns, terms)]
    lines += result(started, findings, ended, columns, terms)
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_the_worst_violation_is_argued_first(run: Run) -> None:
    shown = text_of(run)
    assert shown.index("- VIOLATED over-allocation, critical") < shown.index("- VIOLATED concurrent-duplicate, high")


def test_a_violation_argues_then_reruns_then_mends(run: Run) -> None:
    shown = text_of(run)
    parts = ["byte-identical copies", "State: 3 effects (allowed 1)", "Rerun:", "Fix: Claim", "With tocsin.guard:"]
    places = [shown.index(part, shown.index("concurrent-duplicate, high")) for part in parts]
    assert places == sorted(places)


def test_a_violation_says_no_more_than_it_has(make_run: Callable[..., Run]) -> None:
    bare = Finding("signature-bypass", "?", Verdict.VIOLATED, Evidence("A stranger got a 500."), Severity.MEDIUM)
    shown = text_of(make_run(bare))
    assert "A stranger got a 500." in shown
    for absent in ("State:", "Rerun:", "Fix:", "With tocsin.guard:", "Not concluded:", "Ended early:", "Left behind:"):
        assert absent not in shown


def test_what_stayed_open_says_why(run: Run) -> None:
    shown = text_of(run)
    assert "- INCONCLUSIVE signature-bypass -" in shown
    assert "Not concluded: reordering" in shown


def test_a_run_that_ended_early_says_so_and_claims_no_exit_code(run: Run) -> None:
    """Ctrl-C, for one, has an exit code of its own."""
    shown = text_of(run)
    assert "Ended early: the budget of 60 s was used up" in shown
    assert "Left behind: 12 orders named order-17 and later" in shown
    assert "Exit code" not in shown


def test_one_reason_for_many_checks_is_said_once(make_run: Callable[..., Run]) -> None:
    """A service that dies leaves every check open, and the screen does not fill with it."""
    gone = Evidence("not asked: the service is gone")
    checks = ("sequential-replay", "over-allocation", "signature-bypass")
    text = text_of(make_run(*(Finding(check, "?", Verdict.INCONCLUSIVE, gone) for check in checks)))

    assert text.count("the service is gone") == 1
    assert "INCONCLUSIVE 3 checks" in text
    assert ", ".join(checks) in text


def test_what_the_baseline_knows_is_marked_and_lets_the_run_pass(run: Run, make_run: Callable[..., Run]) -> None:
    found, clean = run[1][0], run[1][1]
    one = make_run(found, clean)
    text = text_of(one, terms=Terms(baseline=summary_of(one[0], one[1])))
    assert "concurrent-duplicate  VIOLATED        3 (allowed 1)   high, known" in text
    assert "- VIOLATED concurrent-duplicate, high, known -" in text
    assert "1 violation known by the baseline." in text
    assert "Exit code 0: nothing new." in text


def test_clean_limits_are_stated_at_once(run: Run, make_run: Callable[..., Run]) -> None:
    text = text_of(make_run(run[1][4], dataclasses.replace(run[1][4], check="signature-bypass")))
    assert "All at once, with 95 %: effect-before-verification: at most 2.5 % a probe;" in text


def test_a_check_that_nobody_explains_has_no_pointer_to_it(make_run: Callable[..., Run]) -> None:
    text = text_of(make_run(Finding("house-rule", "?", Verdict.VIOLATED, Evidence("No."), Severity.LOW)))
    assert "finding " in text
    assert "tocsin explain" not in text


def test_code_that_closes_two_holes_is_shown_once(run: Run, make_run: Callable[..., Run]) -> None:
    first = run[1][0]
    text = text_of(make_run(first, dataclasses.replace(first, check="sequential-replay")))
    assert text.count("@guard.flask") == 1
    assert "With tocsin.guard: as above." in text
