from collections.abc import Callable

from tocsin.events import RunEnded, RunStarted
from tocsin.findings import Evidence, Finding, Severity, Verdict
from tocsin.report._result import result

Run = tuple[RunStarted, tuple[Finding, ...], RunEnded]


def text_of(run: Run, columns: int = 80) -> str:
    started, findings, ended = run
    return "\n".join("".join(text for text, _ in line) for line in result(started, findings, ended, columns))


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
